"""Objects: whole files (schemas, updates, logs) over the line in blocks, both ways.

The sender offers, keeps one block under way and all the time-outs; the receiver only answers with
what it still wants. So a lost frame, line or session costs one block at most. Where blocks come
from and go to, and what is kept of them over a restart, is the host's business.
"""

from hashlib import sha256

from kerbwire import cbor, report
from kerbwire import messages as m
from kerbwire.errors import LocalError, RemoteError
from kerbwire.limits import (
    BLOCK_BYTES,
    OBJECT_BYTES,
    OBJECT_HASH_BYTES,
    OBJECTS,
    SCHEMA_HASH_BYTES,
    TRIES,
    WANTED_BLOCKS,
)
from kerbwire.retry import Backoff, RoundTrip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    Event = tuple[object, ...]
    Offer = tuple[int, int, bytes, int, int]  # handle, kind, hash, size, block size

    class Digest(Protocol):
        """A hash under way."""

        def update(self, __data: bytes) -> None: ...
        def digest(self) -> bytes: ...


WINDOW = 8  # blocks that we ask for at a time: a bitmap of one byte
_HASH_MAX = 32


class Retried:
    """A message that is sent until its answer comes; `body` None while the host has to give it."""

    __slots__ = ("_backoff", "body", "due_ms", "sent_ms", "tries")

    def __init__(self, body: "bytes | None", random: "Callable[[int], bytes]"):
        self._backoff = Backoff(random)
        self.put(body)

    def put(self, body: "bytes | None") -> None:
        """Another message, due at once."""
        self.body = body
        self.due_ms = 0
        self.sent_ms = 0
        self.tries = 0
        self._backoff.reset()

    def due(self, now: int) -> bool:
        """Is it time to send it?"""
        return self.body is not None and now >= self.due_ms

    def sent(self, now: int, timeout_ms: int) -> None:
        """It went out."""
        self.tries += 1
        self.sent_ms = now
        self.due_ms = now + (timeout_ms if self.tries < TRIES else self._backoff.next_ms())


class _Outgoing:
    """One object that we offer."""

    __slots__ = ("blocks", "handle", "index", "message", "offer")

    def __init__(self, handle: int, blocks: int, offer: bytes, random: "Callable[[int], bytes]"):
        self.handle = handle
        self.blocks = blocks
        self.offer = offer
        self.index = -1  # of the block under way; -1: the offer is
        self.message = Retried(offer, random)


class _Incoming:
    """One object that is offered to us; `digest` None until the host takes it."""

    __slots__ = ("answer", "blocks", "digest", "handle", "next", "offer")

    def __init__(self, offer: "Offer"):
        self.offer = offer
        self.handle = offer[0]
        self.blocks = -(-offer[3] // offer[4])
        self.digest: Digest | None = None
        self.next = 0  # blocks below are held
        self.answer = False  # a WANT is due

    def length(self, index: int) -> int:
        """Bytes of that block: only the last is shorter."""
        return min(self.offer[4], self.offer[3] - index * self.offer[4])


class Objects:
    """The transfers of one engine. They outlive its sessions.

    Events: ("OFFER", handle, kind, hash, size, block size), ("BLOCK", handle, index, data) in
    rising order, ("OBJECT", handle, ok) at the end of one that came;
    ("WANT", hash), ("WANTED", handle, index), ("SENT", handle, ok) for those that go.
    """

    __slots__ = ("_incoming", "_outgoing", "_random", "round_trip")

    def __init__(self, random: "Callable[[int], bytes]"):
        self._random = random
        self._outgoing: list[_Outgoing] = []
        self._incoming: list[_Incoming] = []
        self.round_trip = RoundTrip()

    def begin(self) -> None:
        """A new session: the peer may know of nothing any more."""
        for sending in self._outgoing:
            sending.index = -1
            sending.message.put(sending.offer)
        for coming in self._incoming:
            coming.answer = False

    def release(self) -> None:
        """The line broke: what was under way goes again at once."""
        for sending in self._outgoing:
            sending.message.put(sending.message.body)

    # What goes out.

    def offer(self, handle: int, kind: int, digest: bytes, size: int, block: int) -> None:
        """Offer an object by SHA-256 (16 to 32 bytes of it); LocalError when it can't be."""
        if not _sound(handle, kind, digest, size, block):
            raise LocalError("object")
        others = [known for known in self._outgoing if known.handle != handle]
        if len(others) == OBJECTS:
            raise LocalError("window")
        body = cbor.encode([m.OFFER, handle, digest, size, block, kind])
        self._outgoing = others + [_Outgoing(handle, -(-size // block), body, self._random)]

    def give(self, handle: int, index: int, data: bytes) -> None:
        """The block that a WANTED event asked for; one that is wanted no more is dropped."""
        for sending in self._outgoing:
            if sending.handle == handle and sending.index == index:
                sending.message.put(cbor.encode([m.BLOCK, handle, index, data]))

    # What comes in.

    def accept(self, handle: int, held: int = 0, digest: "Digest | None" = None) -> "list[Event]":
        """Take what is offered, from block `held` on; `digest` is a SHA-256 fed with those before.

        The events that follow at once: the object's end, if all of it is held.
        """
        for coming in self._incoming:
            if coming.handle == handle and coming.digest is None:
                coming.next = min(held, coming.blocks)
                coming.digest = digest or sha256()
                coming.answer = True
                return self._ended(coming)
        return []

    def refuse(self, handle: int) -> None:
        """Nothing of it is wanted, or no more."""
        for coming in self._incoming:
            if coming.handle == handle:
                coming.blocks = coming.next = 0
                coming.answer = True

    def receive(self, type_: int, items: "list[int | bytes]", now: int) -> "list[Event]":
        """The events of an OFFER, WANT or BLOCK; RemoteError("value") or ("object")."""
        if type_ == m.OFFER:
            return self._offered(items)
        if type_ == m.BLOCK:
            return self._block(items)
        return self._wanted(items, now)

    def pull(self, now: int, *, blocks: bool = True) -> "bytes | None":
        """The next body to seal, or None; `blocks` False: none but answers."""
        for coming in self._incoming:
            if coming.answer:
                coming.answer = False
                return self._answer(coming)
        if not blocks:
            return None
        for sending in self._outgoing:
            if sending.message.due(now):
                sending.message.sent(now, self.round_trip.timeout_ms)
                return sending.message.body
        return None

    @property
    def room(self) -> bool:
        """May one more be offered?"""
        return len(self._outgoing) < OBJECTS

    @property
    def busy(self) -> bool:
        """Is a block of ours on the line?"""
        return any([s.index >= 0 and 0 < s.message.tries < TRIES for s in self._outgoing])

    def deadline(self, *, blocks: bool = True) -> "int | None":
        """When `pull` has something next by itself."""
        if any([coming.answer for coming in self._incoming]):
            return 0
        retried = [sending.message for sending in self._outgoing] if blocks else []
        times = [message.due_ms for message in retried if message.body is not None]
        return min(times) if times else None

    def _offered(self, items: "list[int | bytes]") -> "list[Event]":
        handle, size, block, kind = report.integers(items[1:2] + items[3:6], 4)
        digest = items[2]
        if not isinstance(digest, bytes) or not _sound(handle, kind, digest, size, block):
            raise RemoteError("value")
        offer = (handle, kind, digest, size, block)
        others = []
        dropped: list[Event] = []
        for coming in self._incoming:
            if coming.handle != handle:
                others.append(coming)
            elif coming.offer == offer and coming.blocks:  # again: it goes on where it was, ...
                coming.answer = coming.digest is not None  # ... or the host is thinking still
                return []
            elif coming.next < coming.blocks:  # another one in its place
                if coming.digest is None:
                    return []  # what the host is about to say is not of this one
                dropped = [("OBJECT", handle, False)]
        if len(others) == OBJECTS:
            ended = [coming for coming in others if coming.next == coming.blocks]
            gone = ended[0] if ended else others[0]
            others.remove(gone)
            if not ended:
                dropped = [("OBJECT", gone.handle, False)]
        self._incoming = others + [_Incoming(offer)]
        return dropped + [("OFFER",) + offer]

    def _block(self, items: "list[int | bytes]") -> "list[Event]":
        if len(items) < 4:
            raise RemoteError("value")
        _, handle, index, data = items[:4]
        if not isinstance(index, int) or not isinstance(data, bytes) or index < 0:
            raise RemoteError("value")
        for coming in self._incoming:
            if coming.handle == handle and (coming.digest is not None or coming.blocks == 0):
                coming.answer = True
                if index != coming.next or index >= coming.blocks or coming.digest is None:
                    return []
                if len(data) != coming.length(index):
                    raise RemoteError("value")
                coming.next += 1
                coming.digest.update(data)
                return [("BLOCK", handle, index, data)] + self._ended(coming)
        raise RemoteError("object")

    def _ended(self, coming: _Incoming) -> "list[Event]":
        """The OBJECT event once all blocks are there: whole, or to be refused."""
        if coming.next < coming.blocks or coming.digest is None:
            return []
        digest = coming.offer[2]
        whole = coming.digest.digest()[: len(digest)] == digest
        if not whole:
            coming.blocks = coming.next = 0
        return [("OBJECT", coming.handle, whole)]

    def _answer(self, coming: _Incoming) -> bytes:
        left = min(WINDOW, coming.blocks - coming.next)
        return cbor.encode([m.WANT, coming.handle, coming.next, (1 << left) - 1])

    def _wanted(self, items: "list[int | bytes]", now: int) -> "list[Event]":
        if len(items) > 1 and isinstance(items[1], bytes):
            if not SCHEMA_HASH_BYTES <= len(items[1]) <= _HASH_MAX:
                raise RemoteError("value")
            return [("WANT", items[1])]
        if len(items) < 4:
            raise RemoteError("value")
        _, handle, first, bitmap = items[:4]
        if not isinstance(first, int) or not isinstance(bitmap, int):
            raise RemoteError("value")
        for sending in self._outgoing:
            if sending.handle == handle:
                return self._next(sending, first, bitmap, now)
        return []  # the answer to a repeat of one that has ended

    def _next(self, sending: _Outgoing, first: int, bitmap: int, now: int) -> "list[Event]":
        if not 0 <= first <= sending.blocks or not 0 <= bitmap < 1 << WANTED_BLOCKS:
            raise RemoteError("value")
        if not bitmap:
            self._outgoing.remove(sending)
            return [("SENT", sending.handle, first == sending.blocks)]
        index = first
        while not bitmap & 1:
            bitmap >>= 1
            index += 1
        if index >= sending.blocks:
            raise RemoteError("value")
        if index == sending.index:  # it is under way
            return []
        if sending.index >= 0 and sending.message.tries == 1:
            self.round_trip.sample(now - sending.message.sent_ms)
        sending.index = index
        sending.message.put(None)
        return [("WANTED", sending.handle, index)]


def _sound(handle: int, kind: int, digest: bytes, size: int, block: int) -> bool:
    """Is an offer within its bounds?"""
    return (
        0 <= handle < 256
        and 0 <= kind < 256
        and OBJECT_HASH_BYTES <= len(digest) <= _HASH_MAX
        and 0 < size <= OBJECT_BYTES
        and 0 < block <= BLOCK_BYTES
    )
