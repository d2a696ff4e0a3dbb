"""COBS and the deframer: frames come out of any portions, noise comes out as codes."""

from kerbwire import cobs
from kerbwire.limits import FRAME_BYTES
from wire.pair import Random
from wire.vectors import load


def _all(stream: bytes, portion: int) -> "list[bytes | int]":
    """Frames, and the negative lengths of what is none, with the stream given in portions."""
    deframer = cobs.Deframer()
    found: list[bytes | int] = []
    for start in range(0, len(stream), portion):
        data = stream[start : start + portion]
        at = 0
        while at < len(data):
            at = deframer.take(data, at)
            if deframer.length:
                found.append(deframer.frame() if deframer.length > 0 else deframer.length)
    return found


def test_vectors() -> None:
    codes: dict[str, int] = {"cobs": -1, "long": -2}
    for case in load("cobs")["good"]:
        frame, stream = bytes.fromhex(case["frame"]), bytes.fromhex(case["stream"])
        assert cobs.encode(frame) == stream, case
        assert _all(stream, 1000) == [frame], case
    for case in load("cobs")["malformed"]:
        assert _all(bytes.fromhex(case["stream"]), 1000) == [codes[case["error"]]], case


def test_any_portions_give_the_same_frames() -> None:
    random = Random(3)
    frames = [random.bytes(1 + random.below(FRAME_BYTES)) for _ in range(40)]
    frames += [bytes(n) for n in (1, 2, 253, 254)] + [b"\x01" * n for n in (1, 253, 254)]
    stream = b"".join([cobs.encode(frame) for frame in frames])
    for portion in (1, 2, 3, 7, 100, 255, 256, 100_000):
        assert _all(stream, portion) == frames, portion


def test_frame_bytes_is_a_bound_and_the_next_zero_ends_the_noise() -> None:
    frame = b"\x05" * 9
    for noise in (FRAME_BYTES + 2, 1000, 100_000):
        stream = b"\x07" * noise + b"\0" + cobs.encode(frame)
        for portion in (1, 64, 1_000_000):
            assert _all(stream, portion) == [-2, frame]


def test_zeros_alone_are_nothing() -> None:
    assert _all(bytes(100), 7) == []


def test_every_decoded_noise_encodes_within_the_bound() -> None:
    random = Random(5)
    for _ in range(500):
        for found in _all(random.bytes(random.below(300)) + b"\0", 300):
            assert isinstance(found, int) or 0 < len(found) <= FRAME_BYTES


def test_reset_forgets_half_a_frame() -> None:
    deframer = cobs.Deframer()
    deframer.take(b"\x09\x09\x09", 0)
    deframer.reset()
    stream = cobs.encode(b"abc")
    assert deframer.take(stream, 0) == len(stream)
    assert deframer.frame() == b"abc"
