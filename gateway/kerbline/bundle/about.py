"""bundle.json: what a bundle says of itself, and the SHA-256 of each of its other members."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from kerbline.bundle import ed25519
from kerbline.bundle.faults import BundleFault
from kerbwire.limits import BUILD_BYTES, OBJECT_HASH_BYTES, ROOT_BYTES

FORMAT = 1
NAME = "bundle.json"


@dataclass(frozen=True, slots=True)
class Patch:
    """The parts that lead from the build `from_build` (hex) to this one; a member of the bundle.

    `root` and `index` tell with which signature of which root that build was released; "" and -1
    where it was not signed. A signer that knows less of its own index is a restored one.
    """

    from_build: str
    file: str
    sha256: str
    size: int
    root: str
    index: int


@dataclass(frozen=True, slots=True)
class About:
    """All that bundle.json says; `build`, `objects` (by file name) and hashes are hex.

    `expires_s` counts from 2000-01-01 UTC, 0: never. `next_root` is (Ed25519, HSS) or ("", "").
    """

    version: str
    commit: str
    dirty: bool
    sequence: int
    board: str
    chip: str
    build: str
    expires_s: int
    mpy_cross: str
    messages: int
    objects: Mapping[str, str]
    patches: tuple[Patch, ...]
    image_sha256: str
    next_root: tuple[str, str]
    members: Mapping[str, str]

    def encoded(self) -> bytes:
        """The bytes of bundle.json; the same contents make the same bytes."""
        return _written({"format": FORMAT, **asdict(self)})


def decode(data: bytes, where: object) -> About:
    """What bundle.json says; raises BundleFault for anything but what `encoded` makes."""
    found = _parsed(data, where)
    if found.get("format") != FORMAT:
        raise BundleFault(where, "format", f"is of format {str(found.get('format'))[:20]!a}")
    wanted = {"format", *(each.name for each in fields(About))}
    for name in sorted(wanted ^ found.keys()):
        lack = "lacks" if name in wanted else "has a key that is not known:"
        raise BundleFault(where, "json", f"{NAME} {lack} {name[:40]!a}")
    for name, sound in _SOUND.items():
        if not sound(found[name]):
            raise BundleFault(where, "json", f"{NAME}: {name} is not as it should be")
    if _written(found) != data:
        raise BundleFault(where, "json-form", f"{NAME} was written by another program")
    del found["format"]
    found["patches"] = tuple(Patch(**each) for each in found["patches"])
    found["next_root"] = tuple(found["next_root"])
    return About(**found)


def _written(content: Mapping[str, object]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


class _Twice(Exception):
    """A key that stands twice in one object."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(key)
        found[key] = value
    return found


def _parsed(data: bytes, where: object) -> dict[str, Any]:
    try:
        found = json.loads(data.decode(), object_pairs_hook=_unique)
    except _Twice as twice:
        raise BundleFault(where, "json-twice", f"{NAME} has {str(twice)[:40]!a} twice") from None
    except (ValueError, RecursionError):
        raise BundleFault(where, "json", f"{NAME} is no JSON") from None
    if not isinstance(found, dict):
        raise BundleFault(where, "json", f"{NAME} is no JSON object")
    return found


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 100 and value.isprintable() and value.isascii()


def _number(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 32


def _hex(length: int) -> Callable[[object], bool]:
    pattern = re.compile(rf"[0-9a-f]{{{2 * length}}}")
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _table(sound: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, dict) and all(_text(key) and sound(each) for key, each in value.items())
    )


def _patches(value: object) -> bool:
    sound: Mapping[str, Callable[[object], bool]] = {
        "from_build": _hex(BUILD_BYTES),
        "file": _text,
        "sha256": _hex(32),
        "size": _number,
        "root": lambda root: root == "" or _hex(8)(root),
        "index": lambda index: type(index) is int and -1 <= index < 1 << 32,
    }
    return isinstance(value, list) and all(
        isinstance(each, dict)
        and each.keys() == sound.keys()
        and all(test(each[name]) for name, test in sound.items())
        for each in value
    )


def _next_root(value: object) -> bool:
    return value == ["", ""] or (
        isinstance(value, list)
        and len(value) == 2
        and _hex(ed25519.KEY_BYTES)(value[0])
        and _hex(ROOT_BYTES)(value[1])
    )


_SOUND: Mapping[str, Callable[[object], bool]] = {
    "version": _text,
    "commit": _text,
    "dirty": lambda value: isinstance(value, bool),
    "sequence": _number,
    "board": _text,
    "chip": _text,
    "build": _hex(BUILD_BYTES),
    "expires_s": _number,
    "mpy_cross": _text,
    "messages": _number,
    "objects": _table(_hex(OBJECT_HASH_BYTES)),
    "patches": _patches,
    "image_sha256": lambda value: value == "" or _hex(32)(value),
    "next_root": _next_root,
    "members": _table(_hex(32)),
}
