"""The golden vectors of updates: manifests, their signatures, and parts."""

import struct
from typing import Any

from tools import second_parts
from tools.second_release import Tree, manifest, signed

TREE = Tree(bytes(range(24)))
OTHER = Tree(bytes(range(1, 25)))
FILES = (("build.json", b"{}"), ("kerbnode/app.mpy", b"app"), ("kerbwire/node.mpy", b"node"))
ABOUT: tuple[int, int, tuple[int, int, int], str] = (7, 900_000_000, (0, 2, 1), "streetlight-esp32")


def manifests() -> dict[str, Any]:
    """Good ones, and what is none; `names` are found in the first."""
    whole = manifest(
        *ABOUT, FILES, commit=b"\x01\x02\x03\x04", next_root=OTHER.public, image=b"micropython"
    )
    bare = manifest(1, 0, (0, 0, 0), "", ())
    plain = manifest(*ABOUT, FILES)
    count = plain.index(b"\0\0\3\x0a") + 1  # behind the image's flag
    swapped = manifest(*ABOUT, FILES[:1] * 2)
    bad = {
        "empty": b"",
        "another magic": b"KBM2" + plain[4:],
        "cut": plain[:-1],
        "a byte more": plain + b"\0",
        "one entry told too few": plain[:count] + b"\0\2" + plain[count + 2 :],
        "one entry told too many": plain[:count] + b"\0\4" + plain[count + 2 :],
        "an image flag of 2": plain[: count - 1] + b"\2" + plain[count:],
        "a root of 51 bytes": manifest(*ABOUT, FILES, next_root=bytes(51)),
        "a file of no bytes": manifest(*ABOUT, [("a", b"")]),
        "a name twice": swapped,
        "names out of order": _turned(),
        "a name without letters": manifest(*ABOUT, [("", b"1")]),
        "a folder above": manifest(*ABOUT, [("a/../b", b"1")]),
        "a name from the root": manifest(*ABOUT, [("/a", b"1")]),
        "a space": manifest(*ABOUT, [("a b", b"1")]),
        "a name of 49": manifest(*ABOUT, [("a" * 49, b"1")]),
        "a board with a line's end": manifest(1, 0, (0, 0, 0), "a\n", ()),
        "8,193 bytes": _long(8193),
    }
    return {
        "good": [
            {"manifest": data.hex(), "files": [name for name, _ in files]}
            for data, files in ((whole, FILES), (plain, FILES), (bare, ()), (_long(8192), ()))
        ],
        "malformed": [{"name": name, "manifest": data.hex()} for name, data in bad.items()],
    }


def _turned() -> bytes:
    one, other = (manifest(*ABOUT, [(name, b"1")]) for name in ("b", "a"))
    head = len(manifest(*ABOUT, ()))
    return one[: head - 2] + b"\0\2" + one[head:] + other[head:]


def _long(size: int) -> bytes:
    """A manifest of that many bytes."""
    entries = [(f"{number:044}", b"1") for number in range(127)]
    left = size - len(manifest(*ABOUT, [*entries, ("", b"1")]))
    return manifest(*ABOUT, [*entries, ("z" * left, b"1")])


def releases() -> dict[str, Any]:
    """One signed manifest, two of its kind, and what is none."""
    plain = manifest(*ABOUT, FILES)
    good = signed(TREE, 5, plain)
    at = len(good) - 1504  # of the signature
    bad = {
        "of another root": signed(OTHER, 5, plain),
        "of another manifest": signed(TREE, 5, plain + b"\0")[:8]
        + good[8 : at - 3]
        + signed(TREE, 5, plain + b"\0")[-1507:],
        "a bit of the manifest": _flipped(good, 40),
        "no tag": good[1:],
        "another algorithm": good.replace(b"\x38\x2d", b"\x38\x2c", 1),
        "a head that is not the shortest": good[:8] + b"\x5a\0\0" + good[9:],
        "cut": good[:-1],
        "a byte more": good + b"\0",
        "empty": b"",
        "only heads": good[:11],
        "a leaf beyond the tree": good[: at + 4] + struct.pack(">I", 1 << 10) + good[at + 8 :],
        "another leaf": good[: at + 4] + struct.pack(">I", 4) + good[at + 8 :],
        "two levels": good[:at] + struct.pack(">I", 1) + good[at + 4 :],
        "another one-time type": _flipped(good, at + 11),
        "another tree type": _flipped(good, len(good) - 241),
    }
    for name, place in (("randomizer", 12), ("first chain", 36), ("last chain", 1259)):
        bad[f"a bit of the {name}"] = _flipped(good, at + place)
    for name, place in (("first step", 1264), ("last step", 1503)):
        bad[f"a bit of the path's {name}"] = _flipped(good, at + place)
    return {
        "root": TREE.public.hex(),
        "good": [
            {"manifest": data.hex(), "signed": signed(TREE, leaf, data).hex()}
            for leaf, data in ((5, plain), (0, b""), (1023, bytes(300)))
        ],
        "malformed": [{"name": name, "signed": data.hex()} for name, data in bad.items()],
    }


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


BEFORE = bytes(range(200)) * 3
AFTER = BEFORE[:100] + b"put in" + BEFORE[150:]
EDITS = [(0, 100, b"put in"), (50, 450, b"")]
NAMES = (*(f"name_{place:03}" for place in range(130)), "17", "late")
USED = (0, 5, 7, 126, 127, 128, 131)
OLD = second_parts.mpy(NAMES, (b"one", b"two"), USED, 0)
NEW = second_parts.mpy(
    ("fresh", "33", *NAMES), (b"zero", b"one", b"two"), [name + 2 for name in USED], 1
)
OLD_MPY, NEW_MPY = b"".join(OLD), b"".join(NEW)
# What is not told by numbers: the tables, and how long each function is.
MPY_EDITS = [
    (len(OLD[0]) + len(OLD[1]), 0, NEW[0] + NEW[1]),
    (0, len(NEW[2]) + len(NEW[3]), NEW[4]),
    (len(OLD[4]), len(NEW[5]), b""),
]
LONG = bytes(5000)


def _by(step: int) -> bytes:
    return second_parts.renumbered(step, OLD_MPY, [(0, 2)], [(0, 1)], MPY_EDITS)


def parts() -> dict[str, Any]:
    """Parts, what a node holds before, which files it makes of them; and what are none."""
    files = (("a", AFTER), ("b", NEW_MPY), ("c", b"small"), ("d", LONG))
    told = manifest(*ABOUT, files)
    end = b"\0"
    head = second_parts.head(told)
    bodies: list[tuple[str, str, bytes]] = [
        ("whole", "acd", _whole(1, AFTER) + _whole(2, b"small") + _whole(1, LONG)),
        ("edited", "a", second_parts.edited(1, BEFORE, EDITS)),
        ("renumbered", "b", _by(2)),
        (
            "one of each",
            "abc",
            second_parts.edited(1, BEFORE, EDITS) + _by(1) + _whole(1, b"small"),
        ),
        ("none", "", b""),
    ]
    bad = {
        "another magic": b"KBP2" + head[4:] + _deflated(_whole(1, AFTER) + end),
        "of another build": head[:-1] + bytes((head[-1] ^ 1,)) + _deflated(_whole(1, AFTER) + end),
        "empty": b"",
        "a head alone": head,
        "no deflate stream": head + b"\x07" + bytes(40),
        "an end too early": head + _deflated(_whole(1, AFTER)[:-1]),
        "without an end": head + _deflated(_whole(1, AFTER)),
        "beyond the manifest": head + _deflated(_whole(5, AFTER) + end),
        "far beyond the manifest": head + _deflated(b"\xff\xff\xff\x7f" + _whole(1, AFTER)),
        "a number of five": head + _deflated(b"\x80\x80\x80\x80\x01" + end),
        "a kind that is none": head + _deflated(b"\1\3" + bytes(600)),
        "other content": head + _deflated(_whole(1, AFTER[::-1]) + end),
        "content of another": head + _deflated(_whole(3, b"SMALL") + end),
        "a base that is not held": head + _deflated(second_parts.edited(1, b"?", EDITS) + end),
        "a copy beyond the base": head + _edited([(0, 700, b"")]),
        "a skip beyond the base": head + _edited([(601, 0, b"1")] * 2 + [(0, 10, b"")]),
        "an edit of nothing": head + _edited([(0, 0, b""), *EDITS]),
        "skips without an end": head + _edited([(1, 0, b"")] * 100_000),
        "more than its size": head + _edited([(0, 100, b"put in"), (50, 451, b"")]),
        "much more than its size": head + _edited([(0, 0, bytes(100_000))]),
        "renumbered, and no .mpy": head
        + _deflated(second_parts.renumbered(1, BEFORE, [], [], [(0, 500, b"")]) + end),
        "renumbered, and native": head
        + _deflated(second_parts.renumbered(2, _native(), [], [], [(0, 500, b"")]) + end),
        "numbers below 0": head
        + _deflated(second_parts.renumbered(2, OLD_MPY, [(0, -1)], [], MPY_EDITS) + end),
        "numbers of another table": head
        + _deflated(second_parts.renumbered(2, OLD_MPY, [(0, 8191)], [(0, 8191)], MPY_EDITS)),
        "numbers of another build": head
        + _deflated(second_parts.renumbered(2, OLD_MPY, [(0, 1)], [(0, 1)], MPY_EDITS) + end),
    }
    return {
        "manifest": told.hex(),
        "held": [each.hex() for each in (BEFORE, OLD_MPY, _native())],
        "good": [
            {"name": name, "made": made, "parts": (head + _deflated(body + end)).hex()}
            for name, made, body in bodies
        ],
        "malformed": [{"name": name, "parts": data.hex()} for name, data in bad.items()],
    }


def _whole(step: int, content: bytes) -> bytes:
    return second_parts.whole(step, content)


def _edited(edits: list[tuple[int, int, bytes]]) -> bytes:
    return _deflated(second_parts.edited(1, BEFORE, edits) + b"\0")


def _native() -> bytes:
    return b"".join(second_parts.mpy(NAMES, (), USED, 0, flags=0x28))


def _deflated(body: bytes) -> bytes:
    return second_parts.deflated(body)


def updates() -> dict[str, Any]:
    return {"manifests": manifests(), "releases": releases(), "parts": parts()}
