"""Parts: what a node lacks of a manifest's objects, in one object, applied as it is read.

Behind a head lies one raw deflate stream: of each object its place in the manifest and what it is
made from. An object made from one that the node has is a list of what to skip, to copy and to put
in; where the base is a .mpy, its names and constants are numbered anew before that, since one name
more moves the numbers of all that follow.
"""

import sys
from hashlib import sha256

from kerbwire import manifest as manifests
from kerbwire.errors import RemoteError
from kerbwire.limits import OBJECT_HASH_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    class File(Protocol):
        """A file that is read."""

        def readinto(self, __into: "bytearray | memoryview") -> "int | None": ...
        def read(self, __count: int) -> bytes: ...
        def close(self) -> None: ...

    class Sink(Protocol):
        """Where objects go; each gets its name only at `end`, after its hash was found right."""

        def begin(self, digest: bytes, size: int) -> None: ...
        def write(self, data: memoryview) -> object: ...
        def end(self) -> None: ...

    Ranges = list[tuple[int, int]]  # (first number, what it is now), rising


MAGIC = b"KBP1"
WINDOW_BITS = 10
SHIFT = 0x2000  # numbers move by less, either way
# What an object is made from.
WHOLE = 0
COPIED = 1
RENUMBERED = 2

_CHUNK = 128
_EINVAL = 22

if sys.implementation.name != "micropython":
    import zlib

    class _Inflated:
        """What MicroPython's deflate.DeflateIO is to a reader."""

        def __init__(self, stream: "File"):
            self._stream = stream
            self._inflate = zlib.decompressobj(-WINDOW_BITS)

        def readinto(self, into: "bytearray | memoryview") -> int:
            done = 0
            while done < len(into) and not self._inflate.eof:
                given = self._inflate.unconsumed_tail or self._stream.read(_CHUNK)
                try:
                    got = self._inflate.decompress(given, len(into) - done)
                except zlib.error:
                    raise OSError(_EINVAL)
                if not given and not got:
                    raise OSError(_EINVAL)
                into[done : done + len(got)] = got
                done += len(got)
            return done

    def _inflated(stream: "File") -> "File":
        return _Inflated(stream)  # type: ignore[return-value]

else:
    import deflate

    def _inflated(stream: "File") -> "File":
        return deflate.DeflateIO(stream, deflate.RAW, WINDOW_BITS)


class _Source:
    """The inflated stream, by what stands in it."""

    __slots__ = ("_byte", "_file", "chunk")

    def __init__(self, stream: "File"):
        self._file = _inflated(stream)
        self._byte = bytearray(1)
        self.chunk = bytearray(_CHUNK)

    def fill(self, into: "bytearray | memoryview") -> None:
        """As many bytes as fit; RemoteError("parts") where it ends before, or is no stream."""
        try:
            got = self._file.readinto(into)
        except EOFError:
            got = 0
        except OSError as fault:
            if fault.args[0] != _EINVAL:
                raise  # the flash's, not the sender's
            got = 0
        if got != len(into):
            raise RemoteError("parts")

    def byte(self) -> int:
        self.fill(self._byte)
        return self._byte[0]

    def number(self) -> int:
        """Up to four groups of 7 bits, the highest first."""
        number = 0
        for _ in range(4):
            code = self.byte()
            number = number << 7 | code & 0x7F
            if code < 0x80:
                return number
        raise RemoteError("parts")

    def ranges(self) -> "Ranges":
        """Which numbers are others now: from each range's first on, by so much, less 8,192."""
        found = []
        first = 0
        for _ in range(self.byte()):
            first += self.number()
            found.append((first, first + self.number() - SHIFT))
        return found


class Plain:
    """A base as it is."""

    __slots__ = ("_file", "out")

    def __init__(self, file: "File"):
        self._file = file
        self.out = bytearray(_CHUNK)

    def pieces(self) -> "Iterator[int]":
        """How many bytes of `out` come next."""
        while True:
            count = self._file.readinto(self.out)
            if not count:
                return
            yield count


class Renumbered:
    """A .mpy (version 6, byte code) whose names and constants have other numbers."""

    __slots__ = (
        "_at",
        "_buffer",
        "_constants",
        "_end",
        "_file",
        "_filled",
        "_names",
        "_read",
        "out",
    )

    def __init__(self, file: "File", names: "Ranges", constants: "Ranges"):
        self._file = file
        self._names = names
        self._constants = constants
        self._buffer = bytearray(_CHUNK)
        self._at = 0
        self._end = 0
        self._read = 0  # bytes, in all
        self.out = bytearray(_CHUNK)
        self._filled = 0

    def _byte(self) -> int:
        if self._at == self._end:
            self._end = self._file.readinto(self._buffer) or 0
            self._at = 0
            if not self._end:
                raise RemoteError("parts")
        self._at += 1
        self._read += 1
        return self._buffer[self._at - 1]

    def _put(self, code: int) -> None:
        self.out[self._filled] = code
        self._filled += 1

    def _through(self) -> int:
        code = self._byte()
        self._put(code)
        return code

    def _number(self) -> int:
        """One that stays."""
        number = 0
        for _ in range(5):
            code = self._through()
            number = number << 7 | code & 0x7F
            if code < 0x80:
                return number
        raise RemoteError("parts")

    def _renumber(self, ranges: "Ranges") -> None:
        number = 0
        for _ in range(3):
            code = self._byte()
            number = number << 7 | code & 0x7F
            if code < 0x80:
                break
        low, high = 0, len(ranges)
        while low < high:
            middle = (low + high) // 2
            if ranges[middle][0] <= number:
                low = middle + 1
            else:
                high = middle
        if low:
            number += ranges[low - 1][1] - ranges[low - 1][0]
        if not 0 <= number < 1 << 14:
            raise RemoteError("parts")
        if number >= 0x80:
            self._put(number >> 7 | 0x80)
        self._put(number & 0x7F)

    def pieces(self) -> "Iterator[int]":
        """How many bytes of `out` come next. py/persistentcode.c and py/bc.h have the format."""
        for _ in range(4):
            self._through()
        # Bits 2 to 5: the architecture of native code, which is not read here.
        if self.out[:2] != b"M\x06" or self.out[2] & 0x7C:
            raise RemoteError("parts")
        names = self._number()
        objects = self._number()
        for _ in range(names):
            length = self._number()
            yield from self._as_it_is(0 if length & 1 else (length >> 1) + 1)
        while objects:
            objects -= 1
            kind = self._through()
            length = 0
            if kind > 4:  # 0 to 4: None, truth and the like, which have no more to them
                length = self._number()
                if kind == 10:  # a tuple of so many more
                    objects += length
                    length = 0
                elif kind < 7:  # text and bytes end in a zero
                    length += 1
            yield from self._as_it_is(length)
        functions = 1
        while functions:
            functions -= 1
            kind = self._number()
            if kind & 3:
                raise RemoteError("parts")
            yield from self._function(self._read + (kind >> 3))
            if kind & 4:
                functions += self._number()
        yield self._taken()

    def _taken(self) -> int:
        """What is filled goes: the next byte is the first again."""
        filled = self._filled
        self._filled = 0
        return filled

    def _as_it_is(self, count: int) -> "Iterator[int]":
        """So many bytes; behind them is room for a few more in any case."""
        while True:
            if self._filled > _CHUNK - 32:
                yield self._taken()
            if not count:
                return
            count -= 1
            self._through()

    def _function(self, end: int) -> "Iterator[int]":
        """A function's prelude and its byte code, up to where `end` bytes are read."""
        yield from self._as_it_is(0)
        code = self._through()
        arguments = code & 3
        place = 0
        while code & 0x80 and place < 5:
            code = self._through()
            arguments += ((code & 4) << place) + ((code >> 3 & 1) << place)
            place += 1
        behind = place = 0
        code = 0x80
        while code & 0x80 and place < 5:
            code = self._through()
            behind += ((code & 0x7E) >> 1 << 6 * place) + ((code & 1) << place)
            place += 1
        behind += self._read
        for _ in range(1 + arguments):
            yield from self._as_it_is(0)
            self._renumber(self._names)
        yield from self._as_it_is(behind - self._read)
        while self._read < end:
            if self._filled > _CHUNK - 32:
                yield self._taken()  # as above, at less cost
            code = self._through()
            form = 0x3A4 >> 2 * (code >> 4) & 3
            if form == 1:
                self._renumber(self._names)
                continue
            if code == 0x23:
                self._renumber(self._constants)
            elif form == 2:
                self._number()
            elif form == 3 and self._through() & 0x80:
                self._through()
            if not code & 0x9E:
                self._through()


def steps(
    stream: "File", manifest: bytes, opened: "Callable[[bytes], File | None]", sink: "Sink"
) -> "Iterator[None]":
    """Make the objects that the parts bring, in steps of some 100 bytes: anything may run between.

    `manifest` is a sound one, `opened` gives the object with that digest, or None. Whatever is made
    has the size and the hash that the manifest says. RemoteError("parts"): they are malformed or do
    not fit what is here. OSError is the host's own, of a file.
    """
    if stream.read(12) != MAGIC + manifests.build_id(manifest):
        raise RemoteError("parts")
    source = _Source(stream)
    entries = manifests.objects(manifest)
    step = source.number()
    while step:
        size = 0
        digest = b""
        for _ in range(step):
            size, digest = next(entries, (0, b""))
            if not size:
                raise RemoteError("parts")
        hashed = sha256()
        sink.begin(digest, size)
        kind = source.byte()
        if kind == WHOLE:
            for piece in _inserted(source, size):
                hashed.update(piece)
                sink.write(piece)
                yield
        else:
            named = bytearray(OBJECT_HASH_BYTES)
            source.fill(named)
            names = source.ranges() if kind == RENUMBERED else []
            constants = source.ranges() if kind == RENUMBERED else []
            file = opened(bytes(named)) if kind <= RENUMBERED else None
            if file is None:
                raise RemoteError("parts")
            try:
                base = Renumbered(file, names, constants) if kind > COPIED else Plain(file)
                for piece in _edited(source, base, size):
                    hashed.update(piece)
                    sink.write(piece)
                    yield
            finally:
                file.close()
        if hashed.digest()[:OBJECT_HASH_BYTES] != digest:
            raise RemoteError("parts")
        sink.end()
        step = source.number()


def _inserted(source: _Source, count: int) -> "Iterator[memoryview]":
    while count:
        piece = memoryview(source.chunk)[: min(count, _CHUNK)]
        source.fill(piece)
        count -= len(piece)
        yield piece


def _edited(source: _Source, base: "Plain | Renumbered", size: int) -> "Iterator[memoryview]":
    """`size` bytes: of the base what is not skipped, and between that what the source has."""
    pieces = base.pieces()
    view = memoryview(base.out)
    at = end = 0
    while size:
        skipped = source.number()
        copied = source.number()
        inserted = source.number()
        size -= copied + inserted
        if size < 0 or not copied + inserted:
            raise RemoteError("parts")
        copied += skipped
        while copied:
            if at == end:
                at = 0
                end = next(pieces, 0)
                if not end:
                    raise RemoteError("parts")
            count = min(skipped or copied, end - at)
            yield view[at : at if skipped else at + count]
            if skipped:
                skipped -= count
            at += count
            copied -= count
        yield from _inserted(source, inserted)
