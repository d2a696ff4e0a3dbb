"""Joined modules do what they did apart, and share nothing by accident."""

import sys
import types

import pytest

from kerbline.firmware.joined import NotJoined, joined

SOURCES = {
    "wire.codes": "ONE = [1]\ndef encode(x):\n    return ('codes', x)\n",
    "wire.frames": "from wire import codes\ndef encode(x):\n    return codes.encode(x)\n"
    "def all_of(items):\n    return [encode(codes) for codes in items] + codes.ONE\n",
    "wire.end": "from hashlib import sha256\nfrom wire import frames\nfrom wire.codes import ONE\n"
    "class End:\n    def __init__(self, frames_encode=None):\n        self.encode = frames.encode\n"
    "    def late(self):\n        from wire import far\n        return far.go(ONE[0])\n"
    "    def shadow(self, ONE):\n        return ONE\n"
    "    def digest(self):\n        return sha256(b'').digest()[:1]\n",
    "wire.far": "from wire import codes\nfrom wire.frames import all_of\n"
    "def go(x):\n    return all_of([x]), codes.encode(x)\n",
}


def run(texts: dict[str, str]) -> types.ModuleType:
    """Loads the joined module and what stayed outside it."""
    package = types.ModuleType("wire")
    package.__path__ = []
    made = {"wire": package}
    sys.modules["wire"] = package
    for name in ("wire.end", *(n for n in texts if n != "wire.end")):
        module = types.ModuleType(name)
        made[name] = sys.modules[name] = module
        setattr(package, name.split(".")[1], module)
        exec(texts[name], module.__dict__)
    for name in made:
        del sys.modules[name]
    sys.modules.update({"wire": package, "wire.far": made["wire.far"]})
    return made["wire.end"]


def test_references_lead_where_they_led() -> None:
    texts = joined(SOURCES, ["wire.end"])
    assert sorted(texts) == ["wire.end", "wire.far"]
    stack = run(texts)
    end = stack.End()
    assert end.encode(7) == ("codes", 7)
    assert end.late() == ([("codes", 1), 1], ("codes", 1))
    assert end.shadow(5) == 5
    assert end.digest() == b"\xe3"
    del sys.modules["wire"], sys.modules["wire.far"]


def test_a_module_as_a_value_is_refused() -> None:
    odd = SOURCES | {"wire.end": "from wire import codes\ndef f():\n    return codes\n"}
    with pytest.raises(NotJoined, match="codes"):
        joined(odd, ["wire.end"])


def test_a_name_from_outside_that_hides_what_another_member_makes_is_refused() -> None:
    odd = {
        "wire.end": "from wire.codes import short\ndef sha256(x):\n    return short(x)\n",
        "wire.codes": "from hashlib import sha256\ndef short(x):\n    return sha256(x)\n",
    }
    with pytest.raises(NotJoined, match="sha256"):
        joined(odd, ["wire.end"])
