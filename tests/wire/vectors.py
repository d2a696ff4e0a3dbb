"""Reads the golden vectors of protocol/vectors on both interpreters."""

import json
from binascii import unhexlify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FOLDER = __file__.rsplit("/tests/", 1)[0] if "/tests/" in __file__ else "."


def load(name: str) -> "Any":
    """The contents of one file of vectors."""
    with open(_FOLDER + "/protocol/vectors/" + name + ".json") as file:
        return json.load(file)


def unhexed(text: str) -> bytes:
    """Bytes of a vector, which are in hexadecimal."""
    return unhexlify(text)
