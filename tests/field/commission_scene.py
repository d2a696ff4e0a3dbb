"""A bench, a laptop's state folder and a gateway's key: `kerbline commission` as it is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerbline import boards
from kerbline.field.commission.places import Places
from kerbline.keys import gateway_key
from kerbline.sim import bench_chip, wiring
from kerbline.sim.bench_board import BenchBoard, on_bench
from tests import in_process
from tests.field import forked

BOARD = "streetlight-esp32"
KILLER = Path(__file__).with_name("killed_at.py")
ASSET = "lamp-7"
MICROPYTHON = "1.31.0"  # of the image that is flashed
PLACE = "52.3731, 4.8922"
SITE = """
technician = "Anna de Vries"
board = "streetlight-esp32"
micropython = "micropython.bin"
gateway_key = "gateway.pub"
prefix = "sl-"

[settings]
link = "uart"
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """How one call ended: its JSON lines, what it said on standard error."""

    status: int
    lines: tuple[Mapping[str, Any], ...]
    error: str

    def states(self, state: str) -> list[str]:
        """The steps that were told with that state."""
        return [line["step"] for line in self.lines if line["state"] == state]

    def codes(self) -> list[str]:
        """Of warnings and faults."""
        return [line["code"] for line in self.lines if "code" in line]


@dataclass
class Scene:
    """The folder of a test; `heard` is all that any call has said.

    `code`: whose folders are imported from, where not this tree's. `forks`: no call imports
    anything, which is what most of its time goes into.
    """

    folder: Path
    heard: list[str] = field(default_factory=list)
    code: tuple[Path, ...] = ()
    forks: bool = False

    @property
    def places(self) -> Places:
        """Of the laptop."""
        return Places(self.folder / "state" / "kerbline" / "commission")

    @property
    def gateway(self) -> gateway_key.GatewayKey:
        """Both halves of the gateway's key."""
        return gateway_key.load_or_make(self.folder / "gateway")

    @property
    def image(self) -> Path:
        """MicroPython's."""
        return self.folder / "micropython.bin"

    @property
    def environment(self) -> dict[str, str]:
        """Where a call keeps what it keeps."""
        folders = {"XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache"}
        return {name: str(self.folder / folder) for name, folder in folders.items()}

    @property
    def site(self) -> Path:
        """The profile of the day."""
        return self.folder / "site.toml"

    def write(self, site: str = SITE) -> None:
        """The files that a technician has."""
        self.image.write_bytes(bench_chip.stock_image(version=MICROPYTHON))
        told = gateway_key.told(self.gateway.public)
        (self.folder / "gateway.pub").write_text(told + "\n")
        self.site.touch(mode=0o600)
        self.site.write_text(site)

    def run(
        self,
        *words: str,
        kill_at: tuple[str, str] | None = None,
        kill_before: str = "",
        limit_kib: int | None = None,
    ) -> Ran:
        """Call it; with `kill_at` it is killed as soon as it tells that (step, state).

        `kill_before`: before that change of a file (killed_at.py); `limit_kib`: no file may become
        larger, as on a full disk.
        """
        if self.forks:
            return self._run_forked(words, kill_at, kill_before, limit_kib)
        command = [sys.executable, "-m", "kerbline", "commission", *words]
        if kill_before:
            command[1:3] = [str(KILLER), str(self.folder / "state"), kill_before]
        if limit_kib is not None:
            command = ["sh", "-c", f'ulimit -f {2 * limit_kib}; exec "$@"', "-", *command]
        state = {**os.environ, **self.environment}
        state["PYTHONPATH"] = ":".join([*map(str, self.code), *sys.path])
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=state, text=True
        ) as process:
            lines, error = self._hear(process, kill_at)
        return self._ended(process.returncode, lines, error)

    def _run_forked(
        self,
        words: Sequence[str],
        kill_at: tuple[str, str] | None,
        kill_before: str,
        limit_kib: int | None,
    ) -> Ran:
        killed = (str(self.folder / "state"), kill_before) if kill_before else None
        limit_bytes = None if limit_kib is None else limit_kib * 1024
        state = {**os.environ, **self.environment}
        call = forked.Call(["commission", *words], state, killed, limit_bytes)
        with forked.running(call) as process:
            lines, error = self._hear(process, kill_at)
            status = process.wait()
        return self._ended(status, lines, error)

    def _hear(
        self, process: subprocess.Popen[str] | forked.Running, kill_at: tuple[str, str] | None
    ) -> tuple[list[Mapping[str, Any]], str]:
        """Its lines to the end, its own or ours; what it complained of."""
        assert process.stdout is not None and process.stderr is not None
        lines: list[Mapping[str, Any]] = []
        for text in process.stdout:
            self.heard.append(text)
            if text.startswith("{"):
                lines.append(json.loads(text))
                if kill_at == (lines[-1]["step"], lines[-1]["state"]):
                    process.kill()
                    break
        return lines, process.stderr.read()

    def _ended(self, status: int, lines: Sequence[Mapping[str, Any]], error: str) -> Ran:
        self.heard.append(error)
        assert "Traceback" not in error and "a fault of ours" not in error, error
        return Ran(status, tuple(lines), error)

    def run_here(self, *words: str) -> Ran:
        """The same in this process, which takes a third of the time."""
        status, out, error = in_process.kerbline("commission", *words, environment=self.environment)
        self.heard += [out, error]
        return Ran(status, tuple(map(json.loads, out.splitlines())), error)

    def commission(self, board: BenchBoard, *words: str, **how: Any) -> Ran:
        """With the profile, for a lamp, proven over the board's own line; `here` as `run_here`."""
        run = self.run_here if how.pop("here", False) else self.run
        given = {"--port": board.url, "--line": board.line_url, "--asset": ASSET}
        given |= {"--location": PLACE, "--profile": str(self.site)}
        for name in words:
            given.pop(name, None)
        both = [word for pair in given.items() for word in pair]
        return run(*both, "--yes", "--json", *words, **how)

    def everything(self) -> dict[str, bytes]:
        """Every file that the laptop keeps but locks."""
        kept = self.folder / "state"
        found = sorted(path for path in kept.rglob("*") if path.is_file())
        return {str(p.relative_to(kept)): p.read_bytes() for p in found if "lock" not in p.name}


@contextmanager
def on_the_bench(folder: Path, micropython: Path | None, **how: Any) -> Iterator[BenchBoard]:
    """A board with all its parts wired, behind its port."""
    (folder / "board").mkdir(parents=True)
    wired(folder)
    board = BenchBoard(folder / "board", micropython, **how)
    with on_bench(board):
        yield board


def wired(folder: Path, **broken: Any) -> None:
    """What is wired to the board from its next reset on."""
    said = wiring.whole(boards.load(boards.find(BOARD)))
    for part, fault in broken.items():
        said[part].update(fault)
    wiring.write(said, folder / "board")
