"""The engine: one node and one gateway over one line, without I/O and without a clock.

Bytes go in with the time, events and bytes come out; the host moves them. Garbage from the peer
becomes a FAULT event with a code. Any other exception that leaves this class is a bug.
"""

from kerbwire import cbor, cobs, frame
from kerbwire import messages as m
from kerbwire.channel import Channel
from kerbwire.errors import RemoteError
from kerbwire.limits import (
    DATAGRAM,
    FAILED_TAGS,
    SESSION_FRAMES,
    SESSION_MS,
    SILENCE_MS,
    STREAM,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbwire.objects import Objects
    from kerbwire.seal import Buffer

    Event = tuple[object, ...]


class Engine:
    """What both ends share: framing, the channels, the events; `node` and `gateway` add the rest.

    After `receive`, and whenever `deadline` has passed, call `outgoing` and `next_event` until
    they give nothing more. All times are monotonic milliseconds of the host.
    """

    __slots__ = (
        "_deframer",
        "_events",
        "_framing",
        "_header",
        "_heard_ms",
        "_objects",
        "_random",
        "_silent",
        "channel",
    )

    def __init__(self, framing: int, random: "Callable[[int], bytes]"):
        self.channel: Channel | None = None  # the session, once confirmed
        self._framing = framing
        self._deframer = cobs.Deframer()
        self._header = frame.Header()  # of the frame that came last
        self._events: list[Event] = []
        self._heard_ms = 0
        self._silent = False
        self._random = random
        self._objects: Objects | None = None

    def receive(
        self, data: "bytes | bytearray | memoryview", now: int, length: "int | None" = None
    ) -> bool:
        """Take data[:length], bytes of the line in any portions or one datagram.

        True if a frame was authentic. What is noise, for others or a repeat takes no memory.
        """
        if length is None:
            length = len(data)
        if self._framing == DATAGRAM:
            return self._frame(data, length, now)
        deframer = self._deframer
        authentic = False
        at = 0
        while at < length:
            at = deframer.take(data, at, length)
            if deframer.length > 0:
                authentic = self._frame(deframer.buffer, deframer.length, now) or authentic
            elif deframer.length < 0:
                self._events.append(
                    ("FAULT", "cobs") if deframer.length == -1 else ("FAULT", "long")
                )
        return authentic

    def next_event(self) -> "Event | None":
        """The next event, or None."""
        return self._events.pop(0) if self._events else None

    def outgoing(self, now: int) -> bytes:
        """What to write now: all bytes of a stream, or one datagram; b"" when there is nothing."""
        self._watch(now)
        if self._framing != STREAM:
            return self._next_frame(now) or b""
        out = b""
        while True:
            data = self._next_frame(now)
            if data is None:
                return out
            stream = cobs.encode(data)
            out = out + stream if out else stream

    def failed(self, now: int) -> None:
        """The line broke: half a frame is forgotten; the session itself lives on."""
        self._deframer.reset()
        if self._objects:
            self._objects.release()

    @property
    def objects(self) -> "Objects":
        """The transfers of objects; their code is loaded when the first one begins."""
        if self._objects is None:
            from kerbwire.objects import Objects

            self._objects = Objects(self._random)
        return self._objects

    def _frame(self, data: "bytes | bytearray | memoryview", length: int, now: int) -> bool:
        header = self._header
        fault = header.parse(data, length)
        if fault:
            self._events.append(("FAULT", fault))
        elif not self._concerns(header):
            return False
        elif self._repeated(header):
            self._events.append(("FAULT", "replay"))
        else:
            try:
                if header.class_ == m.CLASS_PLAIN:
                    return self._plain(bytes(memoryview(data)[:length]), header, now)
                self._sealed(data, header, now)
                return True
            except RemoteError as error:
                self._events.append(("FAULT", error.code))
        return False

    def _concerns(self, header: frame.Header) -> bool:
        """Is a frame with this header for us? What is for others is dropped unread."""
        return True

    @property
    def _awaited(self) -> "Channel | None":
        """The new session that waits to be confirmed."""
        return None

    def _repeated(self, header: frame.Header) -> bool:
        """Was a sealed frame with this number opened already, or is it too old to know?"""
        channel = self.channel
        return (
            channel is not None
            and header.class_ != m.CLASS_PLAIN
            and channel.parity == header.parity
            and channel.direction != header.direction
            and self._awaited is None
            and channel.number(header) < 0
        )

    def _plain(self, data: bytes, header: frame.Header, now: int) -> bool:
        """Take a plain frame; True if it was authentic."""
        raise RemoteError("type")

    def _sealed(self, data: "Buffer", header: frame.Header, now: int) -> None:
        """Take a sealed frame: data up to the header's `end`."""
        raise RemoteError("unknown_session")

    def _next_frame(self, now: int) -> "bytes | None":
        """The next frame out, if any."""
        return None

    def _open(
        self, data: "Buffer", header: frame.Header, pending: "Channel | None"
    ) -> "tuple[Channel, int, list[int | bytes]]":
        """The channel that a sealed frame belongs to, its type and its items (the type first)."""
        fault = "unknown_session"
        for channel in (pending, self.channel):
            if channel is None or channel.parity != header.parity:
                continue
            if channel.direction == header.direction:
                raise RemoteError("direction")
            try:
                body = channel.open(header, data)
                is_batch = len(body) and body[0] == m.BATCH  # its type, and the bits behind it
                items: list[int | bytes] = (
                    [m.BATCH, bytes(body[1:])] if is_batch else cbor.decode(body)
                )
            except RemoteError as error:
                if error.code == "cbor":
                    raise
                fault = error.code
                continue
            if not items or not isinstance(items[0], int):
                raise RemoteError("type")
            if m.CLASS_OF.get(items[0], m.CLASS_CONTROL) != header.class_:
                raise RemoteError("class")
            return channel, items[0], items
        raise RemoteError(fault)

    def _object(self, now: int, *, blocks: bool) -> "tuple[int, bytes] | None":
        """The next (class, body) of a transfer; `blocks` False: answers and requests only."""
        body = self._objects.pull(now, blocks=blocks) if self._objects else None
        return None if body is None else (m.CLASS_OBJECT, body)

    def _object_deadline(self, *, blocks: bool) -> "int | None":
        """When a transfer has something to send."""
        return self._objects.deadline(blocks=blocks) if self._objects else None

    def _alive(self, now: int) -> bool:
        """A valid frame of the session came; True if the peer had been silent."""
        self._heard_ms = now
        was_silent = self._silent
        self._silent = False
        return was_silent

    def _watch(self, now: int) -> None:
        """What time alone brings."""
        if self.channel and not self._silent and now - self._heard_ms >= SILENCE_MS:
            self._down()

    def _down(self) -> None:
        """The peer is gone for now; said once."""
        if not self._silent:
            self._silent = True
            self._events.append(("DOWN",))

    def _worn(self, now: int) -> bool:
        """Has this session had its frames, its days or too many failed tags?"""
        channel = self.channel
        return channel is not None and (
            channel.sent >= SESSION_FRAMES
            or now - channel.born_ms >= SESSION_MS
            or channel.failed_tags >= FAILED_TAGS
        )

    def _silence_ms(self) -> "int | None":
        """When silence is declared."""
        return self._heard_ms + SILENCE_MS if self.channel and not self._silent else None
