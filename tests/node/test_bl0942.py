"""The power meter against its chip, byte for byte; no disturbed answer is ever believed."""

from kerbnode.drivers import asked
from kerbnode.drivers.bl0942 import LENGTH, Bl0942
from kerbnode.sim import bl0942 as chips
from node.metered import Clock, Mains, until_read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from node.metered import Reading

TRUE = (605, 2301, 263)


def lamp() -> Mains:
    return Mains(60.5, 230.1, 0.263)


def close(reading: "Reading | None", wanted: "Reading") -> bool:
    return reading is not None and all(
        [abs(a - b) <= 1 + b // 2000 for a, b in zip(reading, wanted)]
    )


def test_it_reads_what_the_mains_are() -> None:
    for watts, volts, amperes in ((0, 0, 0), (2, 230, 0.03), (60.5, 230.1, 0.263), (2300, 253, 10)):
        meter = Bl0942(chips.Bl0942(Mains(watts, volts, amperes).feel))
        assert meter.sample() is None, "it asks first"
        wanted = int(watts * 10 + 0.5), int(volts * 10 + 0.5), int(amperes * 1000 + 0.5)
        assert close(meter.sample(), wanted), wanted
        assert meter.fault == ""


def test_each_tenth_of_a_watt_is_read_as_it_is() -> None:
    for deciwatts in range(1, 2000, 3):
        meter = Bl0942(chips.Bl0942(Mains(deciwatts / 10, 230, deciwatts / 2300).feel))
        meter.sample()
        assert (meter.sample() or (0,))[0] == deciwatts


def test_the_registers_are_those_of_the_datasheet() -> None:
    chip = chips.Bl0942(lamp().feel)
    chip.write(b"\x58\x04")
    answer = chip.read() or b""
    # 230.1 V on 510 / 1,950,510: 60.16 mV, 73989 times that by 1.218
    assert abs(int.from_bytes(answer[:3], "little") - 3_654_803) < 200
    assert (0x58 + 4 + sum(answer)) & 0xFF == 0xFF
    meter = Bl0942(chip)
    chip.pulses = 0x123456
    meter.sample()
    meter.sample()
    assert (meter.pulses, meter.period_us) == (0x123456, 20_000)


def test_each_rate_brings_the_answer_in_time_and_nobody_waits() -> None:
    for baud in chips.BAUDS:
        for tick_ms in (20, 100):
            clock = Clock()
            meter = Bl0942(chips.Bl0942(lamp().feel, baud, clock.now))
            looks = until_read(meter, clock, tick_ms)
            assert close(meter.sample(), TRUE), (baud, tick_ms)
            line_ms = (LENGTH + 2) * 10_000 // baud
            assert looks * tick_ms <= line_ms + 2 * tick_ms, (baud, tick_ms)


def test_shunt_divider_and_address_are_the_boards() -> None:
    chip = chips.Bl0942(lamp().feel, shunt_ohm=0.002, address=3)
    meter = Bl0942(chip, shunt_uohm=2000, address=3)
    meter.sample()
    assert close(meter.sample(), TRUE)
    deaf = Bl0942(chip, shunt_uohm=2000, address=2)
    for _ in range(3 * (asked.WAITS + 2)):
        assert deaf.sample() is None
    assert deaf.fault == "silent"


def test_a_shunt_the_wrong_way_round_reads_the_same() -> None:
    meter = Bl0942(chips.Bl0942(Mains(-60.5, 230.1, 0.263).feel))
    meter.sample()
    assert close(meter.sample(), TRUE)


def test_no_single_byte_that_is_wrong_is_believed() -> None:
    for at in range(LENGTH):
        for mask in (1, 0x80, 0xFF, 0x55):
            chip = chips.Bl0942(lamp().feel)
            meter = Bl0942(chip)
            chip.flip = at, mask
            for _ in range(10):
                assert meter.sample() is None, (at, mask)
            assert meter.fault == "checksum"
            chip.flip = None
            meter.sample()
            assert close(meter.sample(), TRUE), (at, mask)
            assert meter.fault == ""


def test_half_an_answer_and_noise_are_none() -> None:
    for length in range(LENGTH):
        chip = chips.Bl0942(lamp().feel)
        meter = Bl0942(chip)
        chip.cut = length
        for _ in range(3 * (asked.WAITS + 2)):
            assert meter.sample() is None
        assert meter.fault == ("short" if length else "silent")
        chip.cut = None
        for _ in range(asked.WAITS + 3):
            reading = meter.sample()
        assert close(reading, TRUE)
    for noise in (b"\x55", b"\x00\xff", b"\x55" * 40):
        chip = chips.Bl0942(lamp().feel)
        meter = Bl0942(chip)
        for _ in range(6):
            chip.noise = noise
            assert meter.sample() is None
        assert meter.fault in ("noise", "short")
        for _ in range(3):
            reading = meter.sample()
        assert close(reading, TRUE), "the line is quiet again"


def test_an_answer_with_another_head_is_none() -> None:
    chip = chips.Bl0942(lamp().feel)
    chip.write(b"\x58\xaa")
    answer = bytearray(chip.read() or b"")
    answer[0] -= 1
    answer[-1] += 1  # its checksum holds
    chip.silent = True
    meter = Bl0942(chip)
    for _ in range(6):
        meter.sample()
        chip.noise = bytes(answer)
    assert (meter.sample(), meter.fault) == (None, "checksum")


def test_one_lost_answer_is_no_fault_and_silence_is() -> None:
    chip = chips.Bl0942(lamp().feel)
    meter = Bl0942(chip)
    meter.sample()
    meter.sample()
    chip.silent = True
    for _ in range(2 * (asked.WAITS + 1)):
        assert close(meter.sample(), TRUE)
        assert meter.fault == ""
    for _ in range(asked.WAITS + 2):
        meter.sample()
    assert meter.sample() is None
    assert meter.fault == "silent"
    chip.silent = False
    for _ in range(asked.WAITS + 3):
        meter.sample()
    assert close(meter.sample(), TRUE)
    assert meter.fault == ""


def test_more_than_the_inputs_take_is_no_reading() -> None:
    for mains in (Mains(0, 290, 0), Mains(0, 230, 31)):
        meter = Bl0942(chips.Bl0942(mains.feel))
        for _ in range(6):
            assert meter.sample() is None
        assert meter.fault == "range"
