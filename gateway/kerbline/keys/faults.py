"""What can go wrong with a key."""

from __future__ import annotations

from kerbline.errors import KerblineError


class KeyFault(KerblineError):
    """A key that can't be read or kept; its text never holds the key."""

    code = "key"
