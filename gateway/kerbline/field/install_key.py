"""The key file that a gateway gets of a node that was put on a board."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kerbline import durable
from kerbline.field.install_board import InstallFault


def check(path: Path, key_hex: str) -> None:
    """A key file that holds another key is another node's."""
    try:
        there = path.read_text()
    except FileNotFoundError:
        if not path.absolute().parent.is_dir():
            raise InstallFault(f"{path.parent}: is no folder; make it first") from None
        there = key_hex
    except (OSError, UnicodeDecodeError):
        raise InstallFault(f"{path}: can't be read; name another --key-file") from None
    if there.strip().lower() != key_hex.lower():
        raise InstallFault(f"{path}: holds another key; name another --key-file")
    try:  # before the board is touched
        draft = durable.draft_of(path)
        durable.fresh(draft, b"")
        draft.unlink()
    except OSError as fault:
        raise InstallFault(
            f"{path}: can't be written: {fault.strerror}; name another --key-file"
        ) from None


def written(path: Path, key_hex: str, say: Callable[[str], None]) -> bool:
    """Write it, mode 0600; False where that fails, which `say` is told."""
    try:
        durable.replace(path, key_hex.lower().encode() + b"\n")
    except OSError as fault:
        say(f"{path}: can't be written: {fault.strerror}; the node has its key: write it there")
        return False
    say(f"{path}: written, mode 0600")
    return True
