"""Each shipped profile, polled by our bus from its simulated device: every value comes as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress

import pytest

from kerbline.clock import ManualClock
from kerbline.config import ModbusBus, ModbusDevice, Register
from kerbline.config.modbus import BIT_TABLES
from kerbline.config.profiles import Profiles
from kerbline.counters import Counters
from kerbline.sim import virtual_time
from kerbline.sim.modbus import values
from kerbline.sim.modbus.adu import Framing
from kerbline.sim.modbus.devices import Server, device
from kerbline.sim.modbus.memory import MemoryPort
from kerbline.sim.modbus.wire import Trouble
from kerbline.south.modbus.bus import Bus

NOW_MS = 1_790_000_000_000
UNIT = 3
SHIPPED = Profiles()


def expected(registers: Sequence[Register]) -> dict[str, object]:
    """What our side must say; each value as near as its register is fine."""
    wanted: dict[str, object] = {}
    for register in registers:
        if register.type == "bits":
            for flag in (f"{register.name}_{flag}" for flag in register.bits):
                wanted[flag] = values.value(flag, UNIT, NOW_MS) != 0
            continue
        value = values.value(register.name, UNIT, NOW_MS)
        if register.type == "bool" or register.table in BIT_TABLES:
            wanted[register.name] = value != 0
            continue
        tolerance = 0.0 if register.type.startswith("float") else 0.51 * abs(register.scale)
        wanted[register.name] = pytest.approx(value, abs=tolerance, rel=1e-6)
    return wanted


async def polled(bus: Bus, wanted: Collection[str]) -> dict[str, object]:
    """All values, which may come by groups of their own pace."""
    found: dict[str, object] = {}
    while set(found) != set(wanted):
        for each in await bus.next():
            assert each.quality == ()
            found |= each.values
    return found


@pytest.mark.parametrize("framing", ["rtu", "tcp"])
@pytest.mark.parametrize("name", sorted(SHIPPED.names()))
def test_a_shipped_profile_reads_what_its_device_shows(name: str, framing: Framing) -> None:
    profile, registers = SHIPPED.get(name)
    wanted = expected(registers)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_time.VirtualLoop)
        unit = device(UNIT, registers, ManualClock(NOW_MS), limits=profile.limits)
        port = MemoryPort(Server([unit], framing), Trouble())

        async def opening(_config: ModbusBus) -> MemoryPort:
            return port

        ours = ModbusDevice(
            UNIT,
            "device-1",
            registers,
            poll_s=1.0,
            max_words=profile.limits.max_words,
            max_bits=profile.limits.max_bits,
            max_gap=profile.limits.max_gap,
        )
        config = ModbusBus("bus", "/dev/none", (ours,), framing)
        bus = Bus(config, ManualClock(), Counters(), opening=opening, sleep=loop.sleep)
        task = asyncio.create_task(bus.run())
        try:
            async with asyncio.timeout(1_000):
                found = await polled(bus, wanted)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        assert found == wanted

    virtual_time.run(main())
