"""Shrunk device code does what it did, in fewer bytes."""

import ast

from tools.shrink import shrunk

SOURCES = {
    "wire.limits": "A = 1 << 4\nB = A * 2 - 1\nNAMES = {1: 'one'}\n",
    "wire.words": "from wire import limits as m\nfrom wire.limits import B\n\n"
    "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Any\n\n"
    "class Box:\n    '''Doc.'''\n    __slots__ = ('a',)\n"
    "    def __init__(self, a: 'Any'):\n        '''Doc.'''\n        self.a: int = a\n"
    "    def used(self) -> int:\n        assert self.a\n        return self.a + B + m.A\n"
    "    def idle(self) -> int:\n        return _never()\n"
    "    def readblocks(self) -> None:\n        '''Called by C.'''\n\n"
    "def _never() -> int:\n    return 3\n",
    "main": "from wire.words import Box\n\ndef main() -> int:\n    return Box(2).used()\n",
}


def test_what_is_used_stays_and_does_the_same() -> None:
    small = shrunk(SOURCES)
    space: dict[str, object] = {}
    exec(small["wire.words"], space)
    box = space["Box"]
    assert callable(box)
    assert box(2).used() == 2 + 31 + 16


def test_what_nothing_names_goes() -> None:
    small = shrunk(SOURCES)
    for word in ("slots", "Doc", "idle", "_never", "assert", "typing", "import"):
        assert word not in small["wire.words"], word
    assert small["wire.limits"] == ""


def test_what_c_code_calls_stays() -> None:
    assert "readblocks" in shrunk(SOURCES)["wire.words"]


def test_it_is_source_again() -> None:
    for text in shrunk(SOURCES).values():
        ast.parse(text)
