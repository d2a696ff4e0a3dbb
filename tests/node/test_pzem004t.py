"""The Modbus power meter against its module, byte for byte."""

from kerbnode.drivers import asked
from kerbnode.drivers.pzem004t import LENGTH, Pzem004t, crc16
from kerbnode.sim import pzem004t as modules
from node.metered import Clock, Mains, until_read

TRUE = (605, 2301, 263)


def lamp() -> Mains:
    return Mains(60.5, 230.1, 0.263)


def test_the_crc_is_that_of_modbus() -> None:
    assert crc16(b"\xf8\x04\x00\x00\x00\x0a") == b"\x64\x64"
    assert crc16(b"123456789") == b"\x37\x4b"  # the check value 0x4B37


def test_it_reads_what_the_mains_are() -> None:
    for watts, volts, amperes in ((0, 80, 0), (60.5, 230.1, 0.263), (22_000, 230, 95.652)):
        module = modules.Pzem004t(Mains(watts, volts, amperes).feel)
        module.energy_wh = 70_000
        meter = Pzem004t(module)
        assert meter.sample() is None
        wanted = int(watts * 10 + 0.5), int(volts * 10 + 0.5), int(amperes * 1000 + 0.5)
        assert meter.sample() == wanted
        energy_wh = meter.registers[6] << 16 | meter.registers[5]
        assert (energy_wh, meter.registers[7], meter.fault) == (70_000, 500, "")
        assert meter.registers[8:] == [100 if amperes else 0, 0], "power factor, alarm"


def test_an_alarm_shows() -> None:
    module = modules.Pzem004t(lamp().feel)
    module.alarm_w = 50
    meter = Pzem004t(module)
    meter.sample()
    assert meter.sample() == TRUE
    assert meter.registers[9]


def test_its_answer_comes_in_a_later_tick_and_nobody_waits() -> None:
    for tick_ms in (20, 100):
        clock = Clock()
        meter = Pzem004t(modules.Pzem004t(lamp().feel, clock.now))
        looks = until_read(meter, clock, tick_ms)
        assert looks >= 1
        assert looks * tick_ms <= (LENGTH + 8) * 10_000 // modules.BAUD + 2 * tick_ms


def test_a_module_answers_for_itself_alone() -> None:
    meter = Pzem004t(modules.Pzem004t(lamp().feel, address=7), 7)
    meter.sample()
    assert meter.sample() == TRUE
    deaf = Pzem004t(modules.Pzem004t(lamp().feel, address=7), 8)
    for _ in range(3 * (asked.WAITS + 2)):
        assert deaf.sample() is None
    assert deaf.fault == "silent"
    liar = modules.Pzem004t(lamp().feel, address=7)
    liar.answers_as = 9
    meter = Pzem004t(liar, 7)
    for _ in range(6):
        assert meter.sample() is None
    assert meter.fault == "address"


def test_no_single_byte_that_is_wrong_is_believed() -> None:
    for at in range(LENGTH):
        for mask in (1, 0x80, 0xFF):
            module = modules.Pzem004t(lamp().feel)
            meter = Pzem004t(module)
            module.flip = at, mask
            for _ in range(6):
                assert meter.sample() is None, (at, mask)
            assert meter.fault == "checksum"
            module.flip = None
            meter.sample()
            assert meter.sample() == TRUE


def test_half_an_answer_noise_and_silence_are_none() -> None:
    for length in range(LENGTH):
        module = modules.Pzem004t(lamp().feel)
        meter = Pzem004t(module)
        module.cut = length
        for _ in range(3 * (asked.WAITS + 2)):
            assert meter.sample() is None
        assert meter.fault == ("short" if length else "silent")
    module = modules.Pzem004t(lamp().feel)
    meter = Pzem004t(module)
    for _ in range(6):
        module.noise = b"\xf8\x04"
        assert meter.sample() is None
    assert meter.fault == "noise"


def test_a_refusal_is_no_reading() -> None:
    module = modules.Pzem004t(lamp().feel)
    request = b"\xf8\x03\x00\x00\x00\x0a"
    module.write(request + crc16(request))
    refusal = module.read() or b""
    assert refusal[:3] == b"\xf8\x83\x01"
    assert crc16(refusal[:-2]) == refusal[-2:]
    meter = Pzem004t(module)
    for _ in range(3 * (asked.WAITS + 2)):
        module.noise = refusal
        module.silent = True
        assert meter.sample() is None
    assert meter.fault in ("short", "noise", "checksum")


def test_an_answer_to_another_question_is_none() -> None:
    module = modules.Pzem004t(lamp().feel)
    request = b"\xf8\x04\x00\x00\x00\x0a"
    module.write(request + crc16(request))
    answer = (module.read() or b"")[:-2]
    module.silent = True
    for head in (b"\x03\x14", b"\x04\x12"):
        other = answer[:1] + head + answer[3:]
        meter = Pzem004t(module)
        for _ in range(6):
            meter.sample()
            module.noise = other + crc16(other)
        assert (meter.sample(), meter.fault) == (None, "checksum")
        module.noise = b""


def test_what_no_mains_have_is_no_reading() -> None:
    for mains in (Mains(0, 12, 0), Mains(0, 400, 0), Mains(0, 230, 120), Mains(24_000, 230, 99)):
        meter = Pzem004t(modules.Pzem004t(mains.feel))
        for _ in range(6):
            assert meter.sample() is None
        assert meter.fault == "range"
