"""Shrunk device code does what it did, in fewer bytes."""

import ast
import re
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


def test_names_that_only_their_own_code_knows_get_short() -> None:
    small = shrunk(
        {
            "kerbwire.a": "_WIDE = [7]\nclass Box:\n"
            "    def __init__(self, wide, named=1):\n"
            "        self.inner, self.outer, self.data = wide, named, _WIDE\n"
            "    def data_of(self, others):\n"
            "        return [other(self.inner) for other in others] + self.data\n",
            "main": "from kerbwire.a import Box\ndef main(value):\n"
            "    box = Box(3, named=4)\n    return box.data_of([lambda n: n]), box.outer\n",
        }
    )
    for word in ("wide", "WIDE", "inner", "others"):
        assert word not in small["kerbwire.a"], word
    space: dict[str, object] = {}
    exec(small["kerbwire.a"], space)
    exec(small["main"].replace("from kerbwire.a import Box", ""), space)
    main = space["main"]
    assert callable(main)
    assert main(0) == ([3, 7], 4)


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


def test_a_short_name_is_no_other_thing_s_own() -> None:
    """Not that of an attribute which keeps its name, nor twice over where code is shrunk twice."""
    box = "class Box:\n    def __init__(self):\n        self._left = 1\n        self._right = 2\n"
    use = "    def _a(self):\n        return self._left, self._right, self._left\n"
    main = "from wire.box import Box\ndef main():\n    return Box()._a()\n"
    small = shrunk(shrunk({"wire.box": box + use, "main": main}))
    space: dict[str, Any] = {}
    exec(small["wire.box"], space)
    assert space["Box"]()._a() == (1, 2, 1)


def test_classes_that_never_meet_share_short_names() -> None:
    """A line of descent shares none among its own, nor with what others reach into."""
    lines = [
        "class Left:\n    def __init__(self):\n        self._one = 1\n        self._two = 2\n",
        "    def left(self):\n        return self._one, self._two\n",
        "class Heir(Left):\n    def heir(self):\n        self._three = 3\n",
        "        return self._three, self.left()\n",
        "class Right:\n    def __init__(self):\n        self._four = 4\n        self._open = 5\n",
        "    def right(self):\n        return self._four\n",
        "def main():\n    right = Right()\n    heir = Heir()\n",
        "    return heir.heir(), right.right(), right._open\n",
    ]
    source = "".join(lines)
    for small in (shrunk({"main": source}), shrunk(shrunk({"main": source}))):
        space: dict[str, Any] = {}
        exec(small["main"], space)
        assert space["main"]() == ((3, (1, 2)), 4, 5)
        assert len(set(re.findall(r"\._\w+", small["main"]))) == 4  # for five attributes
