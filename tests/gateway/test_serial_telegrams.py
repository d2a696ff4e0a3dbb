"""Telegrams without lines: framing, values, times, silence, and what is no news."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from kerbline.config.telegram import CHECKSUMS, Checksum, Field, Frame, Length, Profile
from kerbline.counters import Counters
from kerbline.sim import serial as sim
from kerbline.south.measured import Measured
from kerbline.south.serial import stamps
from kerbline.south.serial.checksums import SUMS
from kerbline.south.serial.content import Decoder
from kerbline.south.serial.framing import Broken, Splitter, Telegram
from kerbline.south.serial.listener import Listener, from_line, to_line
from kerbline.south.serial.numbers import Number, WrongValue
from tests.gateway.serial_telegrams import EASYMETER, GGA, MWV, P1_V4, P1_V5, RMC, shipped

V5_MS = 1_483_381_202_000  # 2017-01-02T18:20:02Z, 19:20:02 in winter
SENTENCE = Frame(start="$", end="*", max_bytes=256, checksum=Checksum("xor8", "hex", "inside"))
OTHER = b"$GPGSV,1*%02X\r\n" % SUMS["xor8"](b"GPGSV,1")
DUST = Frame(start="BM", length=Length(2, "uint16", 4), max_bytes=64, checksum=Checksum("sum16"))


def listener(
    profile: Profile, assets: Mapping[str, str] | None = None, report_s: float = 0.0
) -> Listener:
    own = {each.name: "own" for each in profile.readings if each.channel is None}
    parity, period_s = profile.line.parity, profile.line.period_s
    made = Listener(profile, own | dict(assets or {}), parity, period_s, report_s, Counters())
    made.opened(0)
    return made


def hear(
    profile: Profile, data: bytes, utc_ms: int, assets: Mapping[str, str] | None = None
) -> list[Measured]:
    return listener(profile, assets).receive(data, 0, utc_ms)


# ---------------------------------------------------------------- checksums


@pytest.mark.parametrize(
    ("name", "check"),  # of "123456789", as catalogues of CRCs have it
    [
        ("crc16_arc", 0xBB3D),
        ("crc16_modbus", 0x4B37),
        ("crc8", 0xF4),
        ("crc8_maxim", 0xA1),
        ("xor8", 0x31),
        ("bcc", 0x31),
        ("sum8", 0xDD),
        ("sum16", 0x1DD),
    ],
)
def test_checksums_give_their_catalogued_values(name: str, check: int) -> None:
    assert SUMS[name](b"123456789") == check
    assert set(SUMS) == set(CHECKSUMS)
    assert check < 256 ** CHECKSUMS[name]


# ---------------------------------------------------------------- framing


@pytest.mark.parametrize("telegram", [P1_V5, P1_V4])
def test_telegrams_of_others_are_taken(telegram: bytes) -> None:
    (found,) = Splitter(shipped("dsmr5").frame).receive(telegram)
    assert found == Telegram(telegram[: telegram.index(b"!") + 1])


def test_one_wrong_bit_is_a_wrong_checksum() -> None:
    splitter = Splitter(SENTENCE)
    wrong = RMC.replace(b"4807", b"4806")
    found = list(splitter.receive(wrong + GGA + b"$GPGGA,1*zz\r\n" + MWV))
    assert [type(each) for each in found] == [Broken, Telegram, Broken, Telegram]
    assert found[0] == Broken("checksum")


def test_half_a_telegram_does_not_cost_the_next_one() -> None:
    found = list(Splitter(SENTENCE).receive(RMC[:30] + GGA))
    assert found == [Broken("half"), Telegram(GGA[:-4])]
    short = sim.dust(0)[:-2]  # two bytes lost: the next frame's start is taken for the checksum
    found = list(Splitter(DUST).receive(short + sim.dust(0) + sim.dust(2)))
    assert Telegram(sim.dust(2)[:-2]) in found


def test_a_line_that_babbles_is_bounded() -> None:
    splitter = Splitter(SENTENCE)
    most = 0
    for _ in range(200):
        found = list(splitter.receive(b"$" + b"a" * 999))
        most = max(most, splitter.pending)
        assert set(found) <= {Broken("too_long"), Broken("half")}
    assert most <= 256
    assert list(splitter.receive(RMC))[-1] == Telegram(RMC[:-4])


def test_a_length_out_of_bounds_is_no_length() -> None:
    splitter = Splitter(DUST)
    assert list(splitter.receive(b"BM\xff\xff")) == [Broken("too_long")]
    assert list(splitter.receive(b"BM\x00\x00")) == [Broken("too_long")]
    assert list(splitter.receive(sim.dust(5))) == [Telegram(sim.dust(5)[:-2])]


def test_lines_without_a_start_begin_after_an_end() -> None:
    splitter = Splitter(Frame(end="\n", max_bytes=16))
    assert list(splitter.receive(b"rest of one\n+1.2\n+1.")) == [
        Broken("half"),
        Telegram(b"+1.2\n"),
    ]
    assert list(splitter.receive(b"3\n" + b"x" * 40 + b"\n7\n")) == [
        Telegram(b"+1.3\n"),
        *[Broken("too_long")] * 2,
        Broken("half"),
        Telegram(b"7\n"),
    ]


def test_seven_bits_with_even_parity() -> None:
    text = bytes(range(128))
    assert from_line(to_line(text, "even7"), "even7") == text
    assert to_line(b"/?!\r\n", "even7") == sim.even7(b"/?!\r\n")
    flipped = bytes(each ^ 0x10 for each in to_line(text, "even7"))
    assert from_line(flipped, "even7") == b"\xff" * 128


# ---------------------------------------------------------------- values


def test_a_telegram_of_dsmr_5() -> None:
    own, gas = hear(shipped("dsmr5"), P1_V5, V5_MS + 3_000, {"gas": "gas-1"})
    assert own.values["import_t1_wh"] == 4_426
    assert isinstance(own.values["import_t1_wh"], int)
    assert own.values["power_import_w"] == 244
    assert own.values["voltage_l1_v"] == 230.0
    assert own.values["tariff"] == 2
    assert (own.read_at_ms, own.uncertainty_ms, own.received_at_ms) == (
        V5_MS,
        1_000,
        V5_MS + 3_000,
    )
    assert (gas.asset, gas.values["volume_l"], gas.quality) == ("gas-1", 107, ())
    assert gas.read_at_ms == V5_MS - (3 * 3_600 + 9 * 60 + 57) * 1_000


def test_two_channels_of_a_kind_are_two_assets() -> None:
    body = P1_V5[: P1_V5.index(b"0-2:96.1.0")] + b"0-2:24.2.1(170102161005W)(00009.000*m3)\r\n!"
    telegram = body + b"%04X" % SUMS["crc16_arc"](body)
    assets = {"gas": "gas-1", "gas@2": "gas-2"}
    _, one, two = hear(shipped("dsmr5"), telegram, V5_MS, assets)
    assert (one.asset, one.values["volume_l"]) == ("gas-1", 107)
    assert (two.asset, two.values["volume_l"]) == ("gas-2", 9_000)
    assert [each.asset for each in hear(shipped("dsmr5"), telegram, V5_MS, {"gas": "one"})] == [
        "own",
        "one",
    ]


def test_the_first_code_that_is_there_counts() -> None:
    body = P1_V5[: P1_V5.index(b"!") + 1].replace(b"0-1:24.2.1", b"0-1:24.2.3")
    telegram = body + b"%04X" % SUMS["crc16_arc"](body)
    _, gas = hear(shipped("dsmr5"), telegram, V5_MS, {"gas": "gas-1"})
    assert (gas.values["volume_l"], gas.quality) == (107, ())


def test_a_telegram_of_mode_d() -> None:
    (found,) = hear(shipped("iec62056-21-push"), to_line(EASYMETER, "even7"), 0)
    assert found.values == {
        "meter": "1ESY1313002565",
        "import_wh": 52_185_782.5309,
        "export_wh": 19_949_322.1493,
        "power_w": 2_124.86,
        "power_l1_w": 747.85,
        "power_l2_w": 737.28,
        "power_l3_w": 639.73,
    }


def test_a_meter_behind_the_meter_that_does_not_answer_has_no_value() -> None:
    body = P1_V5[: P1_V5.index(b"!") + 1].replace(b"170102161005W", b"632525252525W")
    telegram = body + b"%04X" % SUMS["crc16_arc"](body)
    _, gas = hear(shipped("dsmr5"), telegram, V5_MS, {"gas": "gas-1"})
    assert (gas.values, gas.quality) == ({}, ("no_time",))


def test_codes_without_medium_and_earlier_values() -> None:
    text = sim.readout(7_200_000_000)
    (found,) = hear(shipped("iec62056-21"), text, 0)
    assert found.values == {"meter": "KRB1", "import_wh": 1_000_000}
    (heat,) = hear(shipped("iec62056-21-heat"), text, 0)
    assert heat.values == {"meter": "66153690", "energy_wh": 7_200_000, "volume_l": 123_450}


def test_a_value_goes_on_in_the_next_line() -> None:
    profile = shipped("dsmr5")
    old = replace(
        profile,
        frame=replace(profile.frame, checksum=None),
        readings=(
            replace(
                profile.readings[0],
                stamp=None,
                fields=(Field(name="gas_l", obis="0-1:24.3.0", unit="m3"),),
            ),
        ),
    )
    text = b"/KRB\r\n\r\n0-1:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n(00001.001)\r\n!"
    assert hear(old, text, 0)[0].values == {"gas_l": 1_001}


def test_a_receiver_tells_where_and_when() -> None:
    now_ms = 1_763_000_000_000
    position, fix = hear(shipped("nmea-gnss"), sim.receiver(now_ms), now_ms + 400)
    assert position.values["latitude_deg"] == pytest.approx(52.0905350, abs=1e-7)
    assert position.values["longitude_deg"] == pytest.approx(5.1187233, abs=1e-7)
    assert position.values["speed_mps"] == pytest.approx(0.02 * 1852 / 3600)
    assert position.read_at_ms == fix.read_at_ms == now_ms
    assert fix.values == {"fix_quality": 1, "satellites": 9, "hdop": 0.9, "altitude_m": 12.3}


def test_a_receiver_without_a_fix_has_no_position() -> None:
    text = b"$GNRMC,120000.00,V,,,,,,,131125,,,N*"
    text += b"%02X" % SUMS["xor8"](text[1:-1])
    (found,) = hear(shipped("nmea-gnss"), text, stamps.nmea("120000", "131125", 0) or 0)
    assert (found.values, found.quality) == ({}, ("no_fix",))


def test_wind_is_metres_a_second_whatever_the_sensor_says() -> None:
    (found,) = hear(shipped("nmea-wind"), MWV, 0)
    assert found.values["wind_angle_deg"] == 214.8
    assert found.values["wind_speed_mps"] == pytest.approx(0.1 / 3.6)


def test_dust_and_the_short_answer_to_a_command() -> None:
    short = b"BM\x00\x04\xe1\x00\x01\x74"
    (found,) = hear(shipped("pms5003-asked"), short + sim.dust(30_000), 0)
    assert (found.values["pm1_ugm3"], found.values["pm10_ugm3"]) == (30, 35)
    assert found.values["error"] == 0
    assert found.quality == ()


@pytest.mark.parametrize(
    ("field", "text", "unit", "value"),
    [
        (Field(name="import_wh", unit="kWh"), "001581.123", "", 1_581_123),
        (Field(name="import_wh", unit="kWh"), "12", "MWh", 12_000_000),
        (Field(name="energy_wh"), "1.5", "GJ", 1.5e9 / 3_600),
        (Field(name="power_w"), "-0.2515", "kW", -251.5),
        (Field(name="depth_m", scale=0.01, offset=-1.0), "250", "", 1.5),
        (Field(name="code", type="hex"), "fF", "", 255),
        (Field(name="door", states={"OPEN": 1, "SHUT": 0}), "OPEN", "", 1),
        (Field(name="serial", type="hex_text"), "4B3845", "", "K8E"),
        (Field(name="serial", type="text"), "3" * 96, "", "3" * 96),
    ],
)
def test_texts_as_values(field: Field, text: str, unit: str, value: float | str) -> None:
    found = Number(field).of_text(text, unit, "")
    assert found == pytest.approx(value) if isinstance(value, float) else found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("field", "text", "unit", "flag"),
    [
        (Field(name="power_w"), "12..5", "", "malformed"),
        (Field(name="power_w"), "\xb2", "", "malformed"),
        (Field(name="power_w"), "1" * 40, "", "malformed"),
        (Field(name="power_w"), "12", "bananas", "unit"),
        (Field(name="power_w"), "12", "kWh", "unit"),
        (Field(name="power_w"), "nan", "", "malformed"),
        (Field(name="id", type="text"), "a\x1b[2J", "", "malformed"),
        (Field(name="id", type="hex_text"), "4B3", "", "malformed"),
        (Field(name="id", type="text"), "3" * 129, "", "malformed"),
        (Field(name="door", states={"OPEN": 1}), "AJAR", "", "malformed"),
    ],
)
def test_what_is_no_value_is_a_flag(field: Field, text: str, unit: str, flag: str) -> None:
    with pytest.raises(WrongValue, match=flag):
        Number(field).of_text(text, unit, "")


def test_a_float_that_is_none() -> None:
    number = Number(Field(name="flow_lph", type="float32"))
    assert number.of_bytes(b"\x3f\xc0\x00\x00", big=True) == 1.5
    assert number.of_bytes(b"\x00\x00\xc0\x3f", big=False) == 1.5
    for raw in (b"\x7f\xc0\x00\x00", b"\x7f\x80\x00\x00"):
        with pytest.raises(WrongValue, match="not_a_number"):
            number.of_bytes(raw, big=True)


# ---------------------------------------------------------------- time


def test_summer_and_winter_time_of_a_meter() -> None:
    assert stamps.dsmr("170102192002W", 60) == V5_MS
    # the hour that is there twice: 2025-10-26, 02:30
    assert stamps.dsmr("251026023000S", 60) == 1_761_438_600_000
    assert stamps.dsmr("251026023000W", 60) == 1_761_442_200_000
    for text in ("632525252525W", "170102192002", "170102192002X", "", "1701021920\u0662W"):
        assert stamps.dsmr(text, 60) is None


def test_a_time_without_date_is_the_nearest() -> None:
    midnight_ms = 1_763_078_400_000  # 2025-11-14T00:00:00Z
    assert stamps.nmea("235959.50", "", midnight_ms + 800) == midnight_ms - 500
    assert stamps.nmea("000001", "", midnight_ms - 800) == midnight_ms + 1_000
    assert stamps.nmea("000001.25", "141125", 0) == midnight_ms + 1_250
    for time, date in (("250000", ""), ("", ""), ("120000", "321325"), ("120000", "1")):
        assert stamps.nmea(time, date, midnight_ms) is None


@pytest.mark.parametrize("off_ms", [-61_000, 61_000])
def test_a_clock_that_is_off_is_told_and_not_believed(off_ms: int) -> None:
    now_ms = V5_MS - off_ms
    own, gas = hear(shipped("dsmr5"), P1_V5, now_ms, {"gas": "gas-1"})
    assert own.quality == gas.quality == ("clock_off",)
    assert own.read_at_ms == gas.read_at_ms == now_ms
    assert own.values["import_t1_wh"] == 4_426


# ---------------------------------------------------------------- news


def test_a_telegram_that_comes_again_is_no_news() -> None:
    made = listener(shipped("dsmr5"), {"gas": "gas-1"})
    assert len(made.receive(P1_V5, 0, V5_MS)) == 2
    assert made.receive(P1_V5, 1_000, V5_MS + 1_000) == []
    assert made.tick(3_000, V5_MS + 3_000)[0].quality == ("stale",)
    assert made.tick(9_000, V5_MS + 9_000) == []
    assert made.receive(P1_V5, 10_000, V5_MS + 10_000) == []


def test_a_gas_meter_tells_only_what_is_new() -> None:
    made = listener(shipped("dsmr5"), {"gas": "gas-1", "water": "water-1"})
    told: list[str] = []
    for second in range(600):
        at_ms = V5_MS + 1_000 * second
        told += [each.asset for each in made.receive(sim.p1(at_ms), second * 1_000, at_ms)]
    assert (told.count("own"), told.count("water-1"), told.count("gas-1")) == (600, 11, 3)


def test_report_s_thins_and_keeps_the_pace() -> None:
    made = listener(shipped("dsmr5"), report_s=10.0)
    times = [
        each.read_at_ms - V5_MS
        for second in range(61)
        for each in made.receive(
            sim.p1(V5_MS + 1_000 * second), 1_000 * second + second % 3, V5_MS + 1_000 * second
        )
    ]
    assert times == [10_000 * n for n in range(7)]


def test_a_change_of_quality_does_not_wait() -> None:
    made = listener(shipped("nmea-wind"), report_s=60.0)

    def sentence(status: str) -> bytes:
        text = f"WIMWV,214.8,R,0.1,K,{status}".encode()
        return b"$" + text + b"*%02X\r\n" % SUMS["xor8"](text)

    told = [made.receive(sentence(each), n * 1_000, 0) for n, each in enumerate("AAVVA")]
    assert [[each.quality for each in burst] for burst in told] == [
        [()],
        [],
        [("invalid",)],
        [],
        [()],
    ]


@pytest.mark.parametrize(
    ("data", "flag"),
    [(b"", "no_answer"), (OTHER, "no_answer"), (b"\xfe\x00gibberish", "garbled")],
)
def test_silence_is_told_once_with_its_reason(data: bytes, flag: str) -> None:
    made = listener(shipped("nmea-gnss"))
    if data:
        made.receive(data, 100, 0)
    assert made.silence_ms() == 3_000
    assert made.tick(2_999, 0) == []
    assert [each.quality for each in made.tick(3_000, 0)] == [(flag,)]
    assert made.silence_ms() is None
    assert made.tick(60_000, 0) == []
    made.receive(RMC, 61_000, 0)
    assert made.silence_ms() == 64_000


def test_halves_of_two_telegrams_without_checksum_are_not_joined() -> None:
    profile = shipped("iec62056-21-push")
    one, two = sim.pushing_meter(0), sim.pushing_meter(7_200_000)
    made = listener(profile)
    assert made.receive(one[:40], 0, 0) == []
    assert made.receive(two[40:], 1_000, 0) == []  # longer than gap_s: another telegram's
    assert made.receive(two, 2_000, 0)[0].values["import_wh"] == 1_000.0
    assert made.heard.broken == {"half": 1}


def test_every_simulated_telegram_is_decoded_by_its_profile() -> None:
    for name, device in sim.DEVICES.items():
        profile = shipped(name)
        data = device.telegram(V5_MS)
        (first, *_) = hear(profile, data, V5_MS)
        assert first.values, name
        assert first.quality == (), name
        text = from_line(data, profile.line.parity)
        decoded = Decoder(profile).decode(
            next(e.data for e in Splitter(profile.frame).receive(text) if isinstance(e, Telegram))
        )
        assert {each.reading.name for each in decoded} <= {e.name for e in profile.readings}
