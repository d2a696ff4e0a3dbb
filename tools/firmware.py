"""Compiles every device file with mpy-cross, those of all boards together, as a check.

.venv/bin/python -m tools.firmware [FOLDER]     (FOLDER keeps the files and tells their bytes)

A board's own build is `make firmware BOARD=...`.
"""

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kerbline.firmware import collect, cross, kept
from kerbline.firmware.joined import joined
from kerbline.firmware.names import shortened
from kerbline.firmware.shrink import shrunk

ARCH = "xtensawin"


@dataclass(frozen=True, slots=True)
class Compiled:
    """One device file: its .mpy bytes, or what mpy-cross had against it."""

    file: str
    size_bytes: int
    complaint: str


def small_sources() -> dict[Path, str]:
    """Every device module, by path on the device: shrunk, the wire's joined."""
    modules = collect.tree()
    used = collect.needed(modules, collect.HOST) | collect.needed(modules, "any")
    texts = {n: module.text for n, module in modules.items() if not n.startswith("kerbwire")}
    texts |= {name: text for name, text in used.items() if name.startswith("kerbwire")}
    small = kept.together(texts, kept.folder(), _small)
    return {
        Path(modules[name].path).with_suffix(".py"): text
        for name, text in small.items()
        if name not in collect.NEVER_LOADED
    }


def _small(texts: Mapping[str, str]) -> dict[str, str]:
    small = shrunk(texts)
    done: list[str] = []
    for roots in collect.WIRE_JOINED:
        small = joined(small, roots, apart=done)
        done.append(roots[0])
    return shortened(shrunk(small), all_names=False)[0]


def compile_one(text: str, on_device: Path, out: Path) -> Compiled:
    """Compiles without asserts and line numbers."""
    made = cross.compile_text(text, on_device.stem, ARCH)
    if not made.complaint:
        target = out / on_device.with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(made.content)
    return Compiled(str(on_device), len(made.content), made.complaint)


def main() -> int:
    keep = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    sources = sorted(small_sources().items())
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda pair: _compiled(pair[1], pair[0], keep), sources))
    for result in results:
        if result.complaint:
            print(f"{result.file}: {result.complaint}")
        elif keep:
            print(f"{result.size_bytes:7,}  {result.file}")
    if keep:
        print(f"{sum(r.size_bytes for r in results):7,}  bytes in all")
    return 1 if any(result.complaint for result in results) else 0


def _compiled(text: str, on_device: Path, keep: Path | None) -> Compiled:
    if keep:
        return compile_one(text, on_device, keep)
    made = cross.compile_text(text, on_device.stem, ARCH)
    return Compiled(str(on_device), len(made.content), made.complaint)


if __name__ == "__main__":
    sys.exit(main())
