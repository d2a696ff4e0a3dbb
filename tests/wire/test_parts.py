"""Parts: what they bring is what the manifest says, and nothing else gets a name."""

import io

from kerbwire import manifest, parts
from kerbwire.errors import RemoteError
from kerbwire.manifest import Manifest
from wire.pair import Random
from wire.vectors import load, unhexed

_VECTORS = load("updates")["parts"]
_MANIFEST = unhexed(_VECTORS["manifest"])
_SIZES = {digest: size for size, digest in manifest.objects(_MANIFEST)}


class Held:
    """A node's objects: those that it has, and those that parts brought."""

    def __init__(self, objects: "dict[bytes, bytes]"):
        self.objects = dict(objects)
        self.made: dict[bytes, bytes] = {}
        self.open = 0
        self.written = 0
        self._digest = b""
        self._content = bytearray()

    def opened(self, digest: bytes) -> "Held | None":
        if digest not in self.objects:
            return None
        self.open += 1
        self._file = io.BytesIO(self.objects[digest])
        return self

    def readinto(self, into: "bytearray | memoryview") -> int:
        return self._file.readinto(into)

    def close(self) -> None:
        self.open -= 1

    def begin(self, digest: bytes, size: int) -> None:
        self._digest, self._size = digest, size
        self._content = bytearray()

    def write(self, data: memoryview) -> None:
        self._content.extend(data)
        self.written += len(data)
        assert len(self._content) <= self._size

    def end(self) -> None:
        self.made[self._digest] = bytes(self._content)


def applied(told: bytes, whole: bytes, held: Held) -> str:
    """The code of what was wrong, or ""."""
    try:
        for _ in parts.steps(io.BytesIO(told), whole, held.opened, held):
            pass
    except RemoteError as fault:
        return fault.code
    finally:
        assert held.open == 0
    return ""


def _held() -> Held:
    known = [unhexed(content) for content in _VECTORS["held"]]
    return Held({manifest.digest(content): content for content in known})


def _digests(names: str) -> "list[bytes]":
    """Of files whose names have one letter."""
    return [each for name, _, each in manifest.decode(_MANIFEST).entries if name in names]


def test_parts_of_the_vectors_are_applied() -> None:
    for case in _VECTORS["good"]:
        held = _held()
        assert applied(unhexed(case["parts"]), _MANIFEST, held) == "", case["name"]
        assert sorted(held.made) == sorted(_digests(case["made"])), case["name"]
        for digest, content in held.made.items():
            assert manifest.digest(content) == digest


def test_malformed_parts_of_the_vectors_are_refused() -> None:
    for case in _VECTORS["malformed"]:
        held = _held()
        assert applied(unhexed(case["parts"]), _MANIFEST, held) == "parts", case["name"]
        for digest, content in held.made.items():
            assert manifest.digest(content) == digest


def test_each_cut_is_refused() -> None:
    for case in _VECTORS["good"]:
        told = unhexed(case["parts"])
        for end in range(0, len(told) - 2, max(1, len(told) // 60)):
            held = _held()
            code = applied(told[:end], _MANIFEST, held)
            assert code == "parts" or len(held.made) == len(case["made"]), (case["name"], end)


def test_changed_bytes_bring_nothing_that_is_not_signed() -> None:
    """Whatever it is: an object's name is given to its content alone, and no size is exceeded."""
    random = Random(7)
    for case in _VECTORS["good"]:
        told = unhexed(case["parts"])
        for _ in range(60):
            other = bytearray(told)
            for place in random.bytes(1 + random.bytes(1)[0] % 3):
                other[(place * 257 + random.bytes(1)[0]) % len(told)] = random.bytes(1)[0]
            held = _held()
            code = applied(bytes(other), _MANIFEST, held)
            assert code in ("", "parts")
            assert held.written <= sum(_SIZES.values())
            for digest, content in held.made.items():
                assert len(content) == _SIZES[digest] and manifest.digest(content) == digest


def test_a_hosts_own_fault_is_told_as_it_is() -> None:
    """A flash that fails is not the sender's fault."""

    class Worn(Held):
        def write(self, data: memoryview) -> None:
            raise OSError(5)

    class Unread(Held):
        def readinto(self, into: "bytearray | memoryview") -> int:
            raise OSError(5)

    case = _VECTORS["good"][1]
    for kind in (Worn, Unread):
        held = kind(_held().objects)
        try:
            applied(unhexed(case["parts"]), _MANIFEST, held)
            raise AssertionError(kind)
        except OSError as fault:
            assert fault.args[0] == 5


def test_it_takes_small_steps() -> None:
    """Between two of them a node's other concerns run."""
    for case in _VECTORS["good"]:
        held = _held()
        before = 0
        told = io.BytesIO(unhexed(case["parts"]))
        for _ in parts.steps(told, _MANIFEST, held.opened, held):
            assert held.written - before <= 128
            before = held.written


def test_what_is_skipped_is_read_in_small_steps_too() -> None:
    """A long part of the base that is gone: nothing is made of it, and time passes."""

    class Counted(Held):
        read = 0

        def readinto(self, into: "bytearray | memoryview") -> int:
            got = super().readinto(into)
            self.read += got
            return got

    base, content = bytes(5000), b"kept"
    new = Manifest(1, (0, 0, 0), "")
    new.entries = (("a.mpy", len(content), manifest.digest(content)),)
    whole = manifest.encoded(new)
    # Its place, copied, the base, skip 4,996, copy none, put 4 in, no more; stored, not deflated.
    told = b"\x01\x01" + manifest.digest(base) + b"\xa7\x04\x00\x04" + content + b"\0"
    stored = bytes((1, len(told), 0, 255 - len(told), 255)) + told
    held = Counted({manifest.digest(base): base})
    before = 0
    stream = io.BytesIO(parts.MAGIC + manifest.build_id(whole) + stored)
    for _ in parts.steps(stream, whole, held.opened, held):
        assert held.read - before <= 256, held.read
        before = held.read
    assert held.read > 4900 and held.made == {manifest.digest(content): content}


def test_a_manifest_of_another_build_is_refused_at_once() -> None:
    case = _VECTORS["good"][0]
    other = Manifest(1, (0, 0, 0), "")
    held = _held()
    assert applied(unhexed(case["parts"]), manifest.encoded(other), held) == "parts"
    assert held.written == 0
