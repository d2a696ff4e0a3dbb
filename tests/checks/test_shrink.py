"""Shrunk device code does what it did, in fewer bytes."""

import ast
from typing import Any

from kerbline.firmware.shrink import shrunk

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


def test_no_tuple_is_made_to_assign_as_many_names() -> None:
    text = "def main(a, b):\n    é = a, a = b, (a, 2)\n    a, b = (b, a), 1\n    return a, b, é\n"
    small = shrunk({"main": text})["main"]
    assert "= b, (a, 2)\n" in small
    assert "= (b, a), 1\n" in small
    spaces: list[dict[str, Any]] = [{}, {}]
    for space, source in zip(spaces, (text, small), strict=True):
        exec(source, space)
    assert spaces[0]["main"](3, 4) == spaces[1]["main"](3, 4)


def test_text_keeps_no_integer_and_slots_stay_where_they_are_read() -> None:
    source = "UP = 3\nclass Box:\n    __slots__ = ('a',)\n"
    source += "    def main(self):\n        return 'UP', UP, self.__slots__\n"
    small = shrunk({"main": source + "def main():\n    return Box().main()\n"})["main"]
    assert "UP = " not in small
    space: dict[str, object] = {}
    exec(small, space)
    main = space["main"]
    assert callable(main)
    assert main() == ("UP", 3, ("a",))


def test_what_handlers_and_imports_bind_is_no_parameter_s_name() -> None:
    source = "def main(first, e):\n    try:\n        return first[9]\n"
    source += "    except IndexError as a:\n        return first, e, str(a)\n"
    space: dict[str, object] = {}
    exec(shrunk({"main": source})["main"], space)
    main = space["main"]
    assert callable(main)
    assert main((1,), 2) == ((1,), 2, "tuple index out of range")


def test_a_module_is_imported_once() -> None:
    small = shrunk(
        {"main": "import os\nimport os\nimport os as o\ndef main():\n    return os, o\n"}
    )
    assert small["main"].count("import") == 2
