"""Code with short names does what it did, and nobody else's names are changed."""

import ast
import re
from typing import Any

import pytest

from kerbline.firmware import names
from kerbline.firmware.names import shortened
from tests.budgets import whole
from tools.trees import ROOT

STUBS = ROOT / "build" / "stubs"
ASYNCIO = ("stdlib/_asyncio", "stdlib/asyncio/streams")
MODULES = ("machine", "esp32", "network", "socket", "select", "deflate", "cryptolib", "hashlib")
NEVER_MADE = {"ULP", "ADCWiPy", "WLANWiPy", "TimerWiPy", "USBDevice", "I2S", "CAN", "SDCard"}

BOX = {
    "wire.a": "_WIDE = [7]\nLEAST = (1, 2)\nclass Box:\n    MOST = 3\n"
    "    def __init__(self, wide, named=1):\n"
    "        self.inner, self._outer, self.data = wide, named, _WIDE\n"
    "    def data_of(self, others):\n"
    "        return [other(self.inner) for other in others] + self.data\n"
    "    def _all(self):\n        return self._outer, self.MOST, LEAST\n",
    "main": "from wire.a import Box\ndef main(value):\n    box = Box(3, named=4)\n"
    "    return box.data_of([lambda n: n]), box._all(), getattr(box, 'inner')\n",
}
RESULT = ([3, 7], (4, 3, (1, 2)), 3)


def run(texts: dict[str, str], *given: object) -> Any:
    """What `main` gives, with all modules in one space."""
    space: dict[str, Any] = {}
    for text in texts.values():
        exec(re.sub(r"^from (wire|kerbnode).*$", "", text, flags=re.MULTILINE), space)
    return space["main"](*given)


def test_it_does_what_it_did() -> None:
    once, told = shortened(BOX)
    again, _ = shortened(once)
    assert run(BOX, 0) == run(once, 0) == run(again, 0) == RESULT
    for word in ("WIDE", "LEAST", "Box", "MOST", "_outer", "data_of", "_all"):
        assert word not in once["wire.a"], word
    for word in ("inner", "named"):  # asked for as text, given by name
        assert word in once["wire.a"], word
    [line] = [line for line in told.splitlines() if line.endswith(" Box.data_of")]
    module, short, _ = line.split()
    assert f"def {short}(" in once[module]


def test_what_is_public_keeps_its_name_where_others_ask_for_it() -> None:
    small, _ = shortened(BOX, all_names=False)
    assert run(small, 0) == RESULT
    for word in ("Box", "MOST", "data_of", "LEAST"):
        assert word in small["wire.a"], word
    assert "_outer" not in small["wire.a"]
    assert "data_of" in shortened(BOX, {"data_of"})[0]["wire.a"]


def test_a_line_of_descent_has_no_name_twice() -> None:
    """Nor has what others set on something."""
    text = (
        "class Left:\n    def __init__(self):\n        self._one = 1\n        self._two = 2\n"
        "    def left(self):\n        return self._one, self._two\n"
        "class Heir(Left):\n    def heir(self):\n        self._three = 3\n"
        "        return self._three, self.left()\n"
        "class Right:\n    def __init__(self):\n        self._four = 4\n        self._open = 5\n"
        "    def right(self):\n        return self._four\n"
        "def main():\n    right = Right()\n    heir = Heir()\n    heir._set = 6\n"
        "    return heir.heir(), right.right(), right._open, heir._set\n"
    )
    small = shortened({"main": text})[0]
    assert run(small) == ((3, (1, 2)), 4, 5, 6)


def test_what_never_meets_shares_names() -> None:
    """Many classes of many names, some of them heirs: each object still has all of its own."""
    lines = []
    for number in range(40):
        base = f"(C{number - 1})" if number % 4 else ""
        lines.append(f"class C{number}{base}:\n    def __init__(self):")
        lines += ["        super().__init__()"]
        lines += [f"        self._a{number}_{at} = {number + at}" for at in range(3)]
        lines += [f"        self.shared{number % 7} = {number}"]
        told = ", ".join(f"self._a{number}_{at}" for at in range(3))
        lines.append(f"    def told{number}(self):\n        return {told}, self.shared{number % 7}")
    lines.append("def main():\n    made = []")
    for number in range(40):
        first = number - number % 4
        told = ", ".join(f"one.told{at}()" for at in range(first, number + 1))
        lines.append(f"    one = C{number}()\n    made.append(({told},))")
    lines.append("    return made")
    texts = {"main": "\n".join(lines)}
    small = shortened(texts)[0]
    assert run(small) == run(texts)
    used = set(re.findall(r"\b_\w+\b", small["main"])) - {"__init__"}
    assert len(used) <= names.SPREAD < 3 * 40


@pytest.mark.parametrize(
    "text",
    [
        "class Box:\n    def feel_one(self):\n        return 1\n"
        "def main():\n    return getattr(Box(), 'feel_' + 'one')()\n",
        "from wire.none import a as b\nimport struct\nclass Box:\n    calcsize = 3\n"
        "def main():\n    return struct.calcsize('BB'), Box.calcsize\n",
        "class Box:\n    def append(self, many):\n        return many\n"
        "def main():\n    many = []\n    many.append(1)\n    return Box().append(many)\n",
        "def main():\n    def inner(error):\n        return error\n    try:\n        return [][1]\n"
        "    except IndexError as inner_error:\n        return str(inner(inner_error))\n",
        "class Odd(ValueError):\n    pass\ndef main():\n    return Odd.__name__\n",
        "count = 1\ndef step():\n    global count\n    count += 1\n    return count\n"
        "def main():\n    return step() + step()\n",
    ],
)
def test_what_has_a_meaning_elsewhere_stays(text: str) -> None:
    assert run(shortened({"main": text})[0]) == run({"main": text})


def _members() -> set[str]:
    """Names of what the image's classes have, as far as a node meets objects of them."""
    found = set()
    for module in (*MODULES, *ASYNCIO, "vfs"):
        for each in ast.walk(ast.parse((STUBS / f"{module}.pyi").read_text())):
            if not isinstance(each, ast.ClassDef) or each.name in NEVER_MADE:
                continue
            for node in ast.walk(each):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    found.add(node.name)
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    found.add(node.target.id)
    return found


@pytest.mark.parametrize("board", whole.BOARDS)
def test_what_an_object_of_the_image_has_is_renamed_nowhere(board: str) -> None:
    if not STUBS.is_dir():
        pytest.skip("no stubs of the image: make check lays them")
    members = {name for name in _members() if name[0] != "_" and not name.isupper()}
    renamed = {
        called.rpartition(".")[2]
        for line in whole.built(board).names.splitlines()
        for called in line.split()[2:]
    }
    assert len(renamed) > 200
    assert not renamed & members
    assert not renamed & names.FOREIGN
