"""Serial telegrams: how the bytes are cut changes nothing; no byte breaks anything or piles up."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from kerbline.config import serial_profile
from kerbline.config.telegram import Checksum, Frame, Length, Profile
from kerbline.counters import Counters
from kerbline.sim import serial as sim
from kerbline.south.serial.framing import Found, Splitter
from kerbline.south.serial.listener import SAMPLE_BYTES, Listener

SHIPPED = {
    name: serial_profile.load(serial_profile.find(name, Path())) for name in serial_profile.names()
}
FRAMES = [profile.frame for profile in SHIPPED.values()] + [
    Frame(end="\n", max_bytes=16),
    Frame(end="\r\n", max_bytes=16, checksum=Checksum("sum8", "raw")),
    Frame(start="$$", end="**", max_bytes=12, checksum=Checksum("sum8", "hex", "inside")),
    Frame(start="BM", bytes=6, checksum=Checksum("crc8")),
    Frame(start="B", length=Length(1, "uint8", 2), max_bytes=20),
]
WHOLE = [device.telegram(1_763_000_000_000) for device in sim.DEVICES.values()]
# what telegrams begin and end with, so that chance finds the borders
PIECES = [b"$", b"*", b"/", b"!", b"\r\n", b"\n", b"\r", b"BM", b"B", b"M", b"\x02", b"\x03", b"00"]
streams = st.lists(
    st.one_of(
        st.sampled_from(PIECES),
        st.sampled_from(WHOLE),
        st.builds(lambda each, n: each[:n], st.sampled_from(WHOLE), st.integers(0, 400)),
        st.binary(max_size=30),
    ),
    max_size=12,
).map(b"".join)


def found(frame: Frame, parts: Sequence[bytes]) -> tuple[list[Found], int, int]:
    splitter = Splitter(frame)
    events = [each for part in parts for each in splitter.receive(part)]
    return events, splitter.skipped, splitter.pending


@given(st.sampled_from(FRAMES), streams, st.integers(0, 1 << 32))
@example(Frame(end="\n", max_bytes=16), b"x" * 40 + b"\n+1.2\n", 1)
def test_any_split_gives_the_same_telegrams(frame: Frame, stream: bytes, seed: int) -> None:
    chance = random.Random(seed)
    cuts = sorted(chance.randrange(len(stream) + 1) for _ in range(chance.randrange(9)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = found(frame, [stream])
    assert found(frame, pieces) == whole
    assert found(frame, [stream[n : n + 1] for n in range(len(stream))]) == whole


@given(st.sampled_from(sorted(SHIPPED)), st.lists(streams, max_size=6))
def test_no_bytes_break_a_listener_or_pile_up(name: str, bursts: list[bytes]) -> None:
    profile: Profile = SHIPPED[name]
    assets = {each.name: each.name for each in profile.readings}
    listener = Listener(profile, assets, profile.line.parity, 1.0, 0.0, Counters())
    listener.opened(0)
    for number, burst in enumerate(bursts):
        for each in listener.receive(burst, 400 * number, 1_763_000_000_000 + 400 * number):
            assert each.asset in assets
            assert each.values or each.quality
        listener.tick(400 * number, 0)
        splitter = listener._splitter
        assert splitter.pending <= profile.frame.max_bytes + 4
        assert len(listener.heard.sample) <= SAMPLE_BYTES


@given(st.sampled_from(sorted(SHIPPED)), st.data())
def test_a_spoilt_telegram_with_a_checksum_is_never_read_as_another(
    name: str, data: st.DataObject
) -> None:
    profile = SHIPPED[name]
    if profile.frame.checksum is None:
        return
    telegram = sim.DEVICES[name].telegram(1_763_000_000_000)
    at = data.draw(st.integers(0, len(telegram) - 1))
    bit = data.draw(st.integers(0, 7))
    spoilt = telegram[:at] + bytes([telegram[at] ^ 1 << bit]) + telegram[at + 1 :]
    assets = {each.name: each.name for each in profile.readings}

    def values(stream: bytes) -> list[object]:
        listener = Listener(profile, assets, profile.line.parity, 1.0, 0.0, Counters())
        listener.opened(0)
        return [each.values for each in listener.receive(stream, 0, 1_763_000_000_000)]

    good = values(telegram)
    assert all(each in good for each in values(spoilt))
