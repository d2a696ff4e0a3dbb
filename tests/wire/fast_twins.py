"""Compares `fast` with its native twin over vectors and noise; `micropython fast_twins.py`."""

from kerbwire import fast, fast_viper
from wire.pair import Random
from wire.vectors import load


def _decoded(loops: object, stream: bytes) -> "tuple[int, bytes]":
    """Length and bytes of what COBS holds up to the first zero."""
    buffer = bytearray(254)
    end = loops.cobs_copy(stream, 1, len(stream), buffer, 0)
    length = loops.cobs_decode(buffer, min(end - 1, 254), stream[0])
    return length, bytes(buffer[: max(0, length)])


def _encoded(loops: object, frame: bytes) -> bytes:
    out = bytearray(len(frame) + 2)
    return bytes(out[: loops.cobs_encode(frame, out)])


def main() -> None:
    """Ends with the number of comparisons; an assertion says where they differ."""
    random = Random(11)
    count = 0
    for case in load("cobs")["good"]:
        frame, stream = bytes.fromhex(case["frame"]), bytes.fromhex(case["stream"])
        assert _encoded(fast_viper, frame) == stream, case
        assert _decoded(fast_viper, stream) == (len(frame), frame), case
        count += 2
    for _ in range(2000):
        frame = bytes([byte % 7 for byte in random.bytes(1 + random.below(254))])
        stream = b"\x03" + random.bytes(random.below(300)) + b"\0"
        assert _encoded(fast_viper, frame) == _encoded(fast, frame), frame
        assert _decoded(fast_viper, stream) == _decoded(fast, stream), stream
        count += 2
    print(count)


if __name__ == "__main__":
    main()
