"""Finds what is carried beside the code: firmware, boards, the wire's documents and its package.

A checkout comes first (its files are the ones being edited), else what the wheel carries. It
reads no file and knows nothing of what is in them.
"""

from pathlib import Path

import kerbwire

_PACKAGE = Path(__file__).resolve().parent


def root() -> Path:
    """The folder that holds firmware/ and boards/: the checkout, or the wheel's own copy."""
    checkout = _PACKAGE.parents[1]
    if (checkout / "pyproject.toml").is_file() and (checkout / "firmware" / "main.py").is_file():
        return checkout
    return _PACKAGE / "_carried"


def firmware() -> Path:
    """The node's sources: holds main.py and kerbnode/."""
    return root() / "firmware"


def boards() -> Path:
    """One TOML a board."""
    return root() / "boards"


def protocol() -> Path:
    """What binds both ends: wire.md, messages.cddl, vectors/."""
    return root() / "protocol"


def wire() -> Path:
    """The folder to put on a node's path so that it imports kerbwire."""
    return Path(kerbwire.__file__).resolve().parents[1]
