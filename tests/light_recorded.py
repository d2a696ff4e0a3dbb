"""An evening on a street as a gateway's own parts record it: a store to replay.

The control is the agent's, in virtual time; the lamps tick as nodes do, ten times a second, with a
wattmeter each. A message takes LATE_S either way.
"""

from __future__ import annotations

import asyncio
from binascii import crc32
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, cast

from kerbline.agent.light.lamps import Lights
from kerbline.agent.light.loops import Loops, plan
from kerbline.agent.light.programs import LightPrograms
from kerbline.agent.light.rules import LightRules
from kerbline.agent.own_commands import OwnCommands
from kerbline.agent.records import Records
from kerbline.clock import Clock
from kerbline.config import Config, load
from kerbline.control import program
from kerbline.model import (
    Command,
    CommandResult,
    CommandState,
    Entry,
    Finding,
    Gap,
    Key,
    Reading,
    Value,
)
from kerbline.sim import node_code, virtual_time
from kerbline.store import FILE_NAME, Batch, GroupCommit, GroupPolicy, Store
from kerbline.store.reader import Reader
from kerbwire import messages as m

TICK_S = 0.1
LATE_S = 0.06
REPORT_S = 900
SPACING_M, RANGE_M = 30.0, 10.0
GEAR_W, FULL_W = 4.0, 60.0  # of a lit lamp: its gear, and at full light
PLACE = (52.37, 4.9)
LAMPS = 4

CONFIG = """\
[gateway]
id = "gw-1"
state_dir = "state"
[light]
position = [52.37, 4.9]
[[control_program]]
name = "evening"
[[control_program.fixed_time]]
start = "12:00"
level_pct = {level}
[[lamp_group]]
name = "street"
lamps = [{names}]
program = "evening"
{watts}
[[lighting_class]]
group = "street"
floor_pct = {floor}
[[dimming]]
lamps = [{names}]
spacing_m = 30
sensor_range_m = 10
hold_s = {hold_s}
sensor_misses = {misses}
[[rule]]
name = "warm"
[[rule.reading]]
asset = "lamp-1"
value = "temperature_c"
above = {above}
until = 35
[rule.set_level]
lamps = ["lamp-4"]
level_pct = 70
hold_s = 1800
[rule.notify]
severity = "warning"
text = "the lamp's head is warm"
"""
NODE = """\
[[node]]
id = "sl-{number}"
asset = "lamp-{number}"
kind = "streetlight"
key_file = "node.key"
port = "socket://127.0.0.1:502{number}"
"""


@dataclass(frozen=True)
class Car:
    """Enters at `at_ms`, a real UTC, and keeps its speed."""

    at_ms: int
    mps: float
    forward: bool

    def place_m(self, now: float) -> float:
        """Where it is, the street's own ends being 0 and its last lamp."""
        passed = (now - self.at_ms) / 1000 * self.mps - 50
        return passed if self.forward else SPACING_M * (LAMPS - 1) - passed


def config(folder: Path, name: str = "gateway.toml", **given: object) -> Config:
    """A config in `folder`; `given` over the one that is recorded."""
    values = {
        "level": 25,
        "floor": 20,
        "hold_s": 30,
        "misses": 0,
        "above": 40,
        "watts": "",
        **given,
    }
    key = folder / "node.key"
    if not key.exists():
        key.write_text(bytes(range(16)).hex())
        key.chmod(0o600)
    names = ", ".join(f'"lamp-{number}"' for number in range(1, LAMPS + 1))
    nodes = "".join(NODE.format(number=number) for number in range(1, LAMPS + 1))
    (folder / name).write_text(CONFIG.format(names=names, **values) + nodes)
    return load(folder / name)


def cars(from_ms: int, to_ms: int, seed: int) -> list[Car]:
    """One each forty seconds, at 6 to 16 m/s."""
    chance = Random(seed)
    found: list[Car] = []
    at_s = from_ms / 1000
    while at_s < to_ms / 1000:
        found.append(Car(round(1000 * at_s), chance.uniform(6, 16), chance.random() < 0.5))
        at_s += 8 + chance.expovariate(1 / 32)
    return found


class LoopClock(Clock):
    """The running loop's time from a UTC on."""

    def __init__(self, begin_ms: int) -> None:
        super().__init__()
        self._begin_ms = begin_ms

    def utc_ms(self) -> int:
        """That and the loop's."""
        return self._begin_ms + self.monotonic_ms()

    def monotonic_ms(self) -> int:
        """The loop's."""
        return int(asyncio.get_running_loop().time() * 1000 + 0.001)


class Node:
    """A lamp that ticks, and tells."""

    def __init__(self, number: int, begin_ms: int) -> None:
        self.asset, self.name = f"lamp-{number}", f"sl-{number}"
        self.place_m = SPACING_M * (number - 1)
        self.lamp: Any = node_code.streetlight()
        self.inputs = node_code.inputs()
        self.inputs.utc_known = True
        self._schedule = node_code.schedule(((-720, 100),), PLACE, crc32(self.name.encode()) % 16)
        self._begin_ms = begin_ms
        self._told = 0
        self._looked = -1
        self.warm_c = 20

    def configure(self, values: dict[int, int | bytes]) -> None:
        """Its CONFIG, of which these programs use the profile and the night."""
        packed = cast(bytes, values[m.CONFIG_PROFILE])
        steps = [packed[at : at + 3] for at in range(0, len(packed), 3)]
        profile = tuple((int.from_bytes(step[:2], "big") - 720, step[2]) for step in steps)
        night = (cast(int, values[m.CONFIG_NIGHT_CDEG]) / 100, 0, 0)
        self._schedule.configure(profile, night)

    def tick(self, utc_ms: int, riders: Sequence[Car]) -> list[Reading]:
        """One tick; what it tells."""
        now = utc_ms - self._begin_ms + 1000
        inputs = self.inputs
        inputs.motion = any(abs(car.place_m(utc_ms) - self.place_m) <= RANGE_M for car in riders)
        level = self.lamp.level
        watts = GEAR_W + (FULL_W - GEAR_W) * level / 1000 if level else 0.0
        inputs.power_dw = round(10 * watts)
        inputs.temperature_c = self.warm_c
        if utc_ms // 1000 != self._looked:
            self._looked = utc_ms // 1000
            inputs.scheduled_pct = self._schedule.step(now // 1000, self._looked, None)
            inputs.night = self._schedule.night
            if self._looked % REPORT_S == crc32(self.name.encode()) % REPORT_S:
                return [*self._stepped(now, utc_ms), self._report(utc_ms)]
        return self._stepped(now, utc_ms)

    def _stepped(self, now: int, utc_ms: int) -> list[Reading]:
        names = {m.EV_MOTION: "motion", m.EV_MOTION_CLEAR: "motion_clear"}
        return [
            self._reading(utc_ms, "event", {"event": names[code], "value": value})
            for code, value in self.lamp.step(now, self.inputs)
            if code in names
        ]

    def _report(self, utc_ms: int) -> Reading:
        level, power, energy, hours, celsius, status, uptime = self.lamp.values()
        return self._reading(
            utc_ms,
            "streetlight",
            {
                "level_pct": level,
                "power_w": power / 10,
                "energy_wh": energy,
                "lamp_hours": hours,
                "temperature_c": celsius,
                "status": status,
                "uptime_s": uptime,
            },
        )

    def _reading(self, utc_ms: int, kind: str, values: dict[str, Any]) -> Reading:
        self._told += 1
        key = Key(self.name, 7, self._told)
        whole_s = utc_ms // 1000 * 1000
        return Reading(key, self.asset, kind, whole_s, 1000, values)


class Street:
    """The lamps as orders see them: what is sent comes later, within its bounds."""

    def __init__(self, nodes: Sequence[Node], programs: LightPrograms, begin_ms: int) -> None:
        self._nodes = {node.asset: node for node in nodes}
        self._programs = programs
        self._begin_ms = begin_ms

    def reachable(self, _asset: str) -> bool:
        """All are."""
        return True

    def refusal(self, _command: Command) -> str:
        """They do all."""
        return ""

    def send(self, command: Command) -> bool:
        """To its node."""
        asyncio.get_running_loop().call_later(LATE_S, self._arrive, command)
        return True

    def _arrive(self, command: Command) -> None:
        kept, _ = self._programs.keep(command)
        loop_ms = round(asyncio.get_running_loop().time() * 1000) + 1000
        args = tuple(kept.whole(name) for name in ("level_pct", "hold_s", "fade_ms"))
        is_level = command.operation == "set_level"
        op = m.OP_SET_LEVEL if is_level else m.OP_RELEASE
        node = self._nodes[command.asset]
        assert node.lamp.command(op, args if is_level else (), loop_ms) == m.OK

    def configure(self, asset: str, values: dict[int, int | bytes]) -> None:
        """At once."""
        self._nodes[asset].configure(values)


class Found:
    """Where alarms go: into the store."""

    def __init__(self, group: GroupCommit) -> None:
        self._group = group
        self._told = 0

    async def found(self, finding: Finding) -> None:
        """Number it and keep it."""
        self._told += 1
        await self._group.put(finding.alarm(Key("gw-1", 1, self._told)))


async def _recorded(made: Config, path: Path, from_ms: int, to_ms: int, seed: int) -> None:
    clock = LoopClock(from_ms)
    store = Store.open(path)
    group = GroupCommit(store, GroupPolicy(1_000, 60.0), clock.utc_ms, "gw-1")
    programs = LightPrograms(made, clock)
    nodes = [Node(number, from_ms) for number in range(1, LAMPS + 1)]
    street = Street(nodes, programs, from_ms)
    loops = Loops(plan(made), clock, program.State(), group)
    kinds = {node.asset: "streetlight" for node in nodes}
    own = OwnCommands(kinds, street, group, clock)
    lights = Lights(loops, own, group, clock)
    rules = LightRules(made, clock, store, group, lights, programs)
    found = cast(Records, Found(group))
    committing = asyncio.create_task(group.run())

    async def pulled() -> None:
        while True:
            await group.committed()

    running = [
        asyncio.create_task(each)
        for each in (pulled(), loops.run(lights.follow), programs.run(street), rules.run(found))
    ]
    await asyncio.sleep(0)

    async def take(told: Sequence[Reading]) -> None:
        await asyncio.sleep(LATE_S)
        for each in told:
            values = (each.asset, each.kind, each.observed_at_ms, each.uncertainty_ms, each.values)
            reading = Reading(each.key, *values, (), clock.utc_ms())
            decided = loops.consider(reading)
            if decided.commands:
                lights.follow(decided.commands)
            rules.consider(reading)
            await group.put(reading)

    coming = cars(from_ms, to_ms, seed)
    ordered: list[tuple[int, Command]] = []
    ticks = 0
    arriving: set[asyncio.Task[None]] = set()
    while (now := clock.utc_ms()) < to_ms:
        riders = [car for car in coming[:60] if car.at_ms <= now < car.at_ms + 40_000]
        while coming and coming[0].at_ms + 40_000 < now:
            coming.pop(0)
        share = (now - from_ms) / (to_ms - from_ms)
        nodes[0].warm_c = 45 if 0.65 < share < 0.75 else 20
        told = [reading for node in nodes for reading in node.tick(now, riders)]
        if told:
            task = asyncio.create_task(take(told))
            arriving.add(task)
            task.add_done_callback(arriving.discard)
        if share > 0.55 and not ordered:
            arguments = {"level_pct": 50, "hold_s": 600, "fade_ms": 0}
            order = Command("order-1", "lamp-2", "set_level", arguments, now + 60_000, "mqtt")
            assert not loops.operate(order)
            street.send(order)
            ordered.append((now, order))
        ticks += 1
        await asyncio.sleep(from_ms / 1000 + ticks * TICK_S - clock.utc_ms() / 1000)
    for each in running:
        each.cancel()
    for then, order in ordered:  # only now: time flies while the disk is waited for
        await group.call(lambda: store.commands.submit(order, then, goes=True))  # noqa: B023
        result = CommandResult(order.id, order.asset, CommandState.OK, "", then)
        await group.call(store.commands.settle, result)
    group.stop()
    await committing
    await group.close()


def record(folder: Path, from_ms: int, to_ms: int, seed: int = 1) -> Path:
    """Plays the street of `config` and gives the store that it leaves."""
    made = config(folder)
    state = folder / "state"
    state.mkdir(exist_ok=True)
    virtual_time.run(_recorded(made, state / FILE_NAME, from_ms, to_ms, seed))
    return state / FILE_NAME


def copied(path: Path, to: Path, keeps: Callable[[Entry], bool]) -> Path:
    """A store with some of the entries of another; what is left out of nodes' records is a gap."""
    reader, store = Reader.open(path), Store.open(to)
    try:
        for row in reader.batches():
            batch = Batch.read(*row)
            kept: list[Entry] = []
            for entry in batch.entries:
                if keeps(entry):
                    kept.append(entry)
                elif isinstance(entry, Reading):
                    key = entry.key
                    kept.append(Gap(key.source, key.epoch, key.number, key.number, "power"))
            store.append(kept, batch.at_ms)
    finally:
        store.close()
        reader.close()
    return to


def without_meter(path: Path, to: Path) -> Path:
    """A store whose lamps never told power nor energy."""
    reader, store = Reader.open(path), Store.open(to)
    unknown: dict[str, Value] = {"power_w": 0.0, "energy_wh": 0}
    try:
        for row in reader.batches():
            batch = Batch.read(*row)
            entries = [
                replace(each, values={**each.values, **unknown})
                if isinstance(each, Reading) and each.kind == "streetlight"
                else each
                for each in batch.entries
            ]
            store.append(entries, batch.at_ms)
    finally:
        store.close()
        reader.close()
    return to
