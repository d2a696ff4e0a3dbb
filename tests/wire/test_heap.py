"""What comes in and is not for us takes no memory: proven with MicroPython's heap locked."""

from kerbwire import cobs, frame
from kerbwire.limits import DATAGRAM, STREAM
from wire.pair import drained, frames, up_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

try:
    from micropython import heap_lock, heap_unlock
except ImportError:  # CPython: only the behaviour is looked at

    def heap_lock() -> None:
        """Nothing to lock."""

    def heap_unlock() -> None:
        """Nothing to unlock."""


def _locked(call: "Callable[[], object]") -> object:
    """What it gives; arguments would have to be allocated, so it takes none."""
    heap_lock()
    try:
        return call()
    finally:
        heap_unlock()


def _taken(deframer: cobs.Deframer, buffer: bytearray, portion: int, end: int) -> int:
    """Frames found in buffer[:end], given in portions."""
    found = at = 0
    while at < end:
        stop = min(at + portion, end)
        while at < stop:
            at = deframer.take(buffer, at, stop)
            found += deframer.length > 0
    return found


def test_bytes_become_frames() -> None:
    stream = b"".join([cobs.encode(bytes(n) + b"\x05" * n) for n in range(1, 120)])
    buffer = bytearray(stream) + b"left from before\0"
    for portion in (1, 7, 255, 100_000):
        deframer = cobs.Deframer()
        assert _locked(lambda: _taken(deframer, buffer, portion, len(stream))) == 119


def test_a_header_is_taken_in_place() -> None:
    header = frame.Header()
    for first in range(256):
        data = memoryview(bytes((first,)) + bytes(range(1, 20)))
        for length in (1, 2, 9, 20):
            fault = _locked(lambda: header.parse(data, length))
            assert fault in ("", "short", "layout")
            if not fault:
                assert frame.Header(bytes(data[:length])).fseq == header.fseq


def test_noise_and_half_a_frame() -> None:
    node = up_pair().node
    buffer = bytearray(b"\x07" * 300 + b"\0" + b"\x09\x02\0" + b"\x05" * 200)
    assert not _locked(lambda: node.receive(buffer, 2000, len(buffer)))
    assert drained(node) == [("FAULT", "long"), ("FAULT", "cobs")]


def test_a_repeated_frame() -> None:
    for framing in (STREAM, DATAGRAM):
        pair = up_pair(framing=framing)
        pair.make()
        assert pair.run(1000, pair.drained)
        written = pair.down_line.written[-1]
        drained(pair.node)
        assert framing == DATAGRAM or len(frames([written])) == 1
        buffer = bytearray(written) + bytes(100)
        assert not _locked(lambda: pair.node.receive(buffer, pair.now, len(written)))
        assert drained(pair.node) == [("FAULT", "replay")]


def test_a_buffer_may_be_longer_than_what_it_holds() -> None:
    for framing in (STREAM, DATAGRAM):
        pair = up_pair(framing=framing)
        pair.make()
        pair.send_waiting()
        data = pair.node.outgoing(pair.now)
        buffer = bytearray(data) + b"\x03" * 100
        assert pair.gateway.receive(memoryview(buffer), pair.now, len(data))
        assert [event[0] for event in drained(pair.gateway)] == ["RECORD"]
