"""Serial devices end to end on a pty: simulated devices that behave, misbehave and vanish."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from kerbline.clock import Clock
from kerbline.config import SerialDevice, serial_profile
from kerbline.config.telegram import Profile
from kerbline.counters import Counters
from kerbline.sim import serial as sim
from kerbline.south.measured import Measured
from kerbline.south.serial.device import GATHER_S, Device
from tests import steady
from tests.descriptors import held, leaked
from tests.gateway.serial_telegrams import shipped
from tests.steady import SteadyClock

WATER = {"gas": "gas-1", "water": "water-1"}


def quick(name: str, period_s: float) -> Profile:
    """A shipped profile whose device is soon silent."""
    profile = shipped(name)
    return replace(profile, line=replace(profile.line, period_s=period_s))


def config(link: Path, name: str, assets: dict[str, str] | None = None) -> SerialDevice:
    return SerialDevice("it", str(link), name, "asset", assets or {}, report_s=0.0)


@asynccontextmanager
async def serving(given: SerialDevice, profile: Profile) -> AsyncIterator[tuple[Device, Counters]]:
    counters = Counters()
    device = Device(given, profile, SteadyClock(), counters)
    task = asyncio.create_task(device.run())
    try:
        async with asyncio.timeout(60):
            yield device, counters
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def living(link: Path, name: str, fault: str = "") -> AsyncIterator[None]:
    with sim.plugged(link) as wire:
        task = asyncio.create_task(sim.live(wire, name, SteadyClock(), fault))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def first(device: Device, wanted: Callable[[Measured], bool]) -> Measured:
    while True:
        for found in await device.next():
            if wanted(found):
                return found


PROFILES = {
    "dsmr5": "import_t1_wh",
    "iec62056-21-push": "import_wh",
    "nmea-gnss": "latitude_deg",
    "nmea-wind": "wind_speed_mps",
    "pms5003": "pm2_5_ugm3",
    "pms5003-asked": "pm2_5_ugm3",
    "iec62056-21": "import_wh",
    "iec62056-21-heat": "energy_wh",
}


def test_each_shipped_profile_reads_its_device(tmp_path: Path) -> None:
    async def read(name: str, value: str) -> None:
        link, began_ms = tmp_path / name, Clock().utc_ms()
        given = config(link, name, assets=WATER if name == "dsmr5" else {})
        async with living(link, name), serving(given, shipped(name)) as (device, counters):
            found = await first(device, lambda each: value in each.values)
        assert (found.asset, found.kind, found.quality) == ("asset", "serial", ()), name
        assert began_ms - 5_000 < found.read_at_ms < Clock().utc_ms() + 5_000
        assert not set(counters.totals()) - {"serial.half", "serial.skipped_bytes"}, name

    async def main() -> None:  # beside each other: together they take seconds
        await asyncio.gather(*(read(name, value) for name, value in PROFILES.items()))

    assert set(PROFILES) == set(serial_profile.names())
    steady.run(main())


def test_a_meter_behind_the_meter_has_its_own_asset_and_time(tmp_path: Path) -> None:
    async def main() -> list[Measured]:
        link = tmp_path / "p1"
        async with (
            living(link, "dsmr5"),
            serving(config(link, "dsmr5", assets=WATER), shipped("dsmr5")) as (device, _),
        ):
            return await device.next()

    found = {each.asset: each for each in steady.run(main())}
    assert set(found) == {"asset", "gas-1", "water-1"}
    assert found["gas-1"].read_at_ms % 300_000 == 0
    assert found["water-1"].read_at_ms % 60_000 == 0
    assert isinstance(found["gas-1"].values["volume_l"], int)


FAULTS = {"silent": "no_answer", "checksum": "garbled", "half": "garbled", "babble": "garbled"}


def test_what_is_wrong_is_told_once(tmp_path: Path) -> None:
    async def hear(fault: str, flag: str) -> None:
        link = tmp_path / fault
        async with (
            living(link, "dsmr5", fault),
            serving(config(link, "dsmr5"), quick("dsmr5", 0.1)) as (device, counters),
        ):
            told = await device.next()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    told += await device.next()
        assert [(each.values, each.quality) for each in told] == [({}, (flag,))], fault
        assert counters.totals()[f"serial.{flag}"] == 1

    async def main() -> None:
        await asyncio.gather(*(hear(fault, flag) for fault, flag in FAULTS.items()))

    steady.run(main())


def test_a_gateway_that_stood_still_calls_nobody_silent(tmp_path: Path) -> None:
    """What came meanwhile is taken before the time that passed is held against the device."""

    async def main() -> list[Measured]:
        link, clock, dsmr5 = tmp_path / "p1", Clock(), sim.DEVICES["dsmr5"]
        with sim.plugged(link) as wire:
            device = Device(config(link, "dsmr5"), quick("dsmr5", 0.1), clock, Counters())
            task = asyncio.create_task(device.run())
            async with asyncio.timeout(60):
                while wire.speed() != dsmr5.baud:  # noqa: ASYNC110 - until it is opened
                    await asyncio.sleep(0)
                wire.send(dsmr5.telegram(clock.utc_ms()), dsmr5.baud)
                told = await device.next()
                await asyncio.sleep(2 * GATHER_S)
                threading.Event().wait(2.5)
                wire.send(dsmr5.telegram(clock.utc_ms()), dsmr5.baud)
                told += await device.next()
            task.cancel()
            await asyncio.wait([task])
            return told

    assert [each.quality for each in asyncio.run(main())] == [(), ()]


def test_a_device_that_repeats_itself_is_stale(tmp_path: Path) -> None:
    async def main() -> list[Measured]:
        link = tmp_path / "p1"
        async with (
            living(link, "dsmr5", "stale"),
            serving(config(link, "dsmr5"), quick("dsmr5", 0.1)) as (device, _),
        ):
            told = [*await device.next(), *await device.next()]
            assert device.state().trouble == "stale"
            return told

    good, stale = steady.run(main())
    assert good.quality == ()
    assert (stale.values, stale.quality) == ({}, ("stale",))


def test_garbage_between_telegrams_costs_none(tmp_path: Path) -> None:
    async def main() -> None:
        link = tmp_path / "dust"
        async with (
            living(link, "pms5003", "garbage"),
            serving(config(link, "pms5003"), shipped("pms5003")) as (device, counters),
        ):
            assert (await first(device, lambda each: bool(each.values))).quality == ()
            assert counters.totals()["serial.skipped_bytes"] > 10
            state = device.state()
            assert (state.up, state.trouble, state.broken_telegrams) == (True, "", 0)
            assert state.readings == state.telegrams >= 1

    steady.run(main())


def test_an_adapter_vanishes_and_is_found_again(tmp_path: Path) -> None:
    async def main() -> tuple[float, Counter[str]]:
        link = tmp_path / "p1"
        loop = asyncio.get_running_loop()
        async with serving(config(link, "dsmr5"), shipped("dsmr5")) as (device, counters):
            lost = await first(device, lambda each: each.quality == ("port_lost",))
            assert lost.values == {}
            assert (device.state().up, device.state().trouble) == (False, "port_lost")
            before: Counter[str] | None = None
            for round_ in range(3):
                async with living(link, "dsmr5"):
                    plugged_s = loop.time()
                    await first(device, lambda each: "import_t1_wh" in each.values)
                    took_s = loop.time() - plugged_s
                    before = before or held()
                    more = leaked(before)
                await first(device, lambda each: each.quality == ("port_lost",))
                assert counters.totals()["serial.port_lost"] == 2 + round_
            return took_s, more

    took_s, more = steady.run(main())
    assert took_s <= 2.5  # a second of it is the meter's period
    assert not more


def test_one_that_does_not_answer_does_not_end_anything(tmp_path: Path) -> None:
    async def main() -> None:
        link = tmp_path / "meter"
        async with (
            living(link, "iec62056-21", "silent"),
            serving(config(link, "iec62056-21"), quick("iec62056-21", 0.2)) as (device, counters),
        ):
            told = await first(device, lambda each: not each.values)
            assert told.quality == ("no_answer",)
            assert counters.totals()["serial.not_identified"] >= 2

    steady.run(main())


def test_an_asked_device_is_missed_between_its_turns(tmp_path: Path) -> None:
    async def main() -> None:
        link = tmp_path / "dust"
        given = replace(config(link, "pms5003-asked"), poll_s=3_600.0)
        async with serving(given, shipped("pms5003-asked")) as (device, _):
            for _ in range(2):
                async with living(link, "pms5003-asked"):
                    await first(device, lambda each: bool(each.values))
                await first(device, lambda each: each.quality == ("port_lost",))

    steady.run(main())
