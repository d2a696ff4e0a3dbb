"""What a gateway with some config would have done with what a store holds: a street's local twin.

The control code runs as the agent runs it, in virtual time: readings come when they came, orders
go to lamps that step their nodes' own code. Nothing is written.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from kerbline.agent.light.lamps import Lights
from kerbline.agent.light.loops import Loops, plan
from kerbline.agent.light.programs import LightPrograms
from kerbline.agent.light.replayed_figures import Replayed, Switchings
from kerbline.agent.light.rules import LightRules
from kerbline.agent.own_commands import UNREACHABLE
from kerbline.clock import Clock, StreetTable
from kerbline.config import Config, Node
from kerbline.config.light_checks import watts
from kerbline.control import program
from kerbline.control.light.decision import Decision
from kerbline.errors import KerblineError
from kerbline.model import ANCHOR_KIND, Alarm, Command, Finding, Gap, Reading
from kerbline.operations import OPERATIONS
from kerbline.sim import virtual_time
from kerbline.sim.replayed_course import LampCourse
from kerbline.sim.replayed_lamp import ReplayedLamp
from kerbline.south.node_config import wanted
from kerbline.store import Batch, carried_out, decisions
from kerbline.store.reader import Reader
from kerbwire import messages as m

WARM_MS = 3_600_000  # before the span, so that what it begins with is known
ORDERED_MS = 86_400_000  # before that, orders that may still hold
LAG_MS = 6 * 3_600_000  # how late a record or its commit may be
STEP_MS = 600_000  # after which the lamps are brought along
SENT_MS = 100  # from control's decision to a node's tick
LAMP = "streetlight"
REPORT_S = 900  # of a node by itself
SILENT_REPORTS = 3  # a node that tells nothing for so many is not known of
OPS: Mapping[str, int] = {m.OP_NAMES[op]: op for op in m.IDEMPOTENT_OPS}


class NothingToReplay(KerblineError):
    """The span, the config and the store do not meet."""


@dataclass(frozen=True, slots=True)
class Span:
    """Street time, ms since 1970, the end excluded."""

    from_ms: int
    to_ms: int


def replay(config: Config, path: Path, span: Span) -> Replayed:
    """Runs the control of `config` over a span of the store at `path`.

    Raises StoreError, and NothingToReplay for a span or a config that leaves nothing to run.
    """
    street = StreetTable()
    if config.simulation is not None:
        street = StreetTable.parse(config.simulation.clock_table.read_bytes())
    reader = Reader.open(path)
    try:
        held = _judge(config, reader, street, span)
        return virtual_time.run(_replayed(config, reader, street, span, held))
    finally:
        reader.close()


async def _replayed(
    config: Config, reader: Reader, street: StreetTable, span: Span, held: Span
) -> Replayed:
    return await _Night(config, reader, street, span, held).run()


def _judge(config: Config, reader: Reader, street: StreetTable, span: Span) -> Span:
    """Say what is in the way before anything runs; when what the log holds was stored."""
    if span.to_ms <= span.from_ms:
        raise NothingToReplay("--to is not after --from: nothing lies between")
    if config.light is None:
        raise NothingToReplay(
            "the config has no [light], so it is not known when it is night: add [light] with"
            " position = [degrees north, degrees east]"
        )
    if not any(node.kind == LAMP for node in config.nodes):
        raise NothingToReplay("the config has no [[node]] of kind streetlight: nothing to replay")
    is_whole = "WHERE typeof(at_ms) = 'integer'"
    first, last = reader.rows(f"SELECT min(at_ms), max(at_ms) FROM batch {is_whole}")[0]
    if first is None:
        raise NothingToReplay(f"{reader.path}: the log is empty")
    held = Span(street.street_ms(first), street.street_ms(last))
    there = f"{reader.path}: the log has what was stored from {_told(held.from_ms)}"
    if span.from_ms > held.to_ms:
        raise NothingToReplay(f"{there} to {_told(held.to_ms)}, nothing of that span yet")
    if street.real_ms(span.to_ms) <= first - LAG_MS:
        raise NothingToReplay(
            f"{there} on, nothing of that span any more: [store] keep_days and max_bytes say how"
            " much is kept"
        )
    return held


class _LoopClock(Clock):
    """The running loop's time, from a real UTC on."""

    __slots__ = ("_begin_ms", "_loop")

    def __init__(self, begin_ms: int, street: StreetTable) -> None:
        super().__init__(street)
        self._begin_ms = begin_ms
        self._loop = asyncio.get_running_loop()

    def utc_ms(self) -> int:
        return self._begin_ms + self.monotonic_ms()

    def monotonic_ms(self) -> int:
        return int(self._loop.time() * 1000 + 0.001)

    def monotonic_us(self) -> int:
        return 1000 * self.monotonic_ms()


@dataclass(slots=True)
class _Lamps:
    """The lamps' nodes, on paper: what the agent's fleet and its orders are to control."""

    courses: Mapping[str, LampCourse]
    nodes: Mapping[str, Node]
    clock: Clock
    programs: LightPrograms

    def configure(self, asset: str, values: dict[int, int | bytes]) -> None:
        """More of the CONFIG of an asset's node than the file's [[node]] names."""
        course = self.courses.get(asset)
        if course is not None:
            course.configure(self.street_ms(), {**wanted(self.nodes[asset]), **values})

    def issue(self, command: Command) -> str:
        """A command goes to its lamp; why not, where it has none."""
        course = self.courses.get(command.asset)
        op = OPS.get(command.operation)
        if course is None or op is None:
            return UNREACHABLE
        kept, _ = self.programs.keep(command)
        arguments = OPERATIONS[command.operation].arguments or {}
        args = tuple(
            kept.whole(name) if name in kept.arguments else argument.default or 0
            for name, argument in arguments.items()
        )
        course.order(self.street_ms() + SENT_MS, op, args)
        return ""

    def street_ms(self) -> int:
        """Now."""
        return self.clock.street_ms(self.clock.utc_ms())


@dataclass(slots=True)
class _Notes:
    """What the agent would have its store keep."""

    switchings: Switchings
    alarms: Counter[str] = field(default_factory=Counter)
    takes: Callable[[int], bool] = lambda _: True

    def note_decision(self, at_ms: int, body: str) -> None:
        """A decision counts; it has its own time."""
        self.switchings.take(Decision.parsed(body))

    def save_memory(self, rule: str, asset: str, body: str) -> None:
        """Nothing outlives a replay."""

    def memories(self, rule: str) -> dict[str, str]:
        """Nothing is known from before."""
        return {}

    def latest(self) -> tuple[Reading, ...]:
        """Nothing is known from before."""
        return ()

    async def found(self, finding: Finding) -> None:
        """An alarm counts when it is raised."""
        if finding.active and self.takes(finding.observed_at_ms):
            self.alarms[finding.rule] += 1


class _Night:
    """One replay."""

    def __init__(
        self, config: Config, reader: Reader, street: StreetTable, span: Span, held: Span
    ) -> None:
        self._held = held
        self._config, self._reader, self._street, self._span = config, reader, street, span
        begin_ms = span.from_ms - WARM_MS
        self._begin_ms = street.real_ms(begin_ms)
        self._end_ms = street.real_ms(span.to_ms)
        self._clock = _LoopClock(self._begin_ms, street)
        self._programs = LightPrograms(config, self._clock)
        assert config.light is not None
        latitude, longitude = config.light.position
        nodes = {node.asset: node for node in config.nodes if node.kind == LAMP}
        self._courses = {
            asset: LampCourse(
                ReplayedLamp(node.id, (latitude, longitude), begin_ms, self._floor(asset)),
                span.from_ms,
                span.to_ms,
                1000 * SILENT_REPORTS * (node.report_s or REPORT_S),
            )
            for asset, node in nodes.items()
        }
        self._sources = {node.id: self._courses[node.asset] for node in nodes.values()}
        self._lamps = _Lamps(self._courses, nodes, self._clock, self._programs)
        last_ms = min(span.to_ms, held.to_ms)  # what the log can tell
        self._notes = _Notes(Switchings(span.from_ms, last_ms), takes=self._takes)
        notes = self._notes
        self._loops = Loops(replace(plan(config), leaks={}), self._clock, program.State(), notes)
        self._lights = Lights(self._loops, self._lamps, notes, self._clock)
        self._rules: LightRules | None = None
        if config.rules:
            self._rules = LightRules(
                config, self._clock, notes, notes, self._lights, self._programs
            )
        self._did = Switchings(span.from_ms, last_ms)
        self._alarms: Counter[str] = Counter()
        self._gaps: Counter[str] = Counter()
        self._ran_ms = 0

    async def run(self) -> Replayed:
        """Let it run from before the span to its end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._control(tasks)
        except ExceptionGroup as failed:  # of a store that can't be read, or a bug
            raise failed.exceptions[0] from None
        for course in self._courses.values():
            course.run(self._span.to_ms + LAG_MS)
        for kept in decisions.oldest_first(
            self._reader, self._span.from_ms - WARM_MS, self._span.to_ms
        ):
            with suppress(ValueError):  # of another kerbline
                self._did.take(Decision.parsed(kept.body))
        return self._found()

    async def _control(self, tasks: asyncio.TaskGroup) -> None:
        """Run what an agent runs, for as long as there is something to feed it with."""
        for asset in self._courses:
            self._lamps.configure(asset, {})  # as a node is without a program
        running = [
            tasks.create_task(self._loops.run(self._lights.follow)),
            tasks.create_task(self._programs.run(self._lamps)),
        ]
        await asyncio.sleep(0)  # the lamps have their programs
        if self._rules is not None:
            running.append(tasks.create_task(self._rules.run(self._notes)))
        await self._feed()
        await self._until(self._end_ms)
        for each in running:
            each.cancel()

    async def _feed(self) -> None:
        """Everything that came, when it came, as far as it came in the span."""
        orders = carried_out.orders(self._reader, self._begin_ms - ORDERED_MS, self._end_ms)
        for at_ms, command in orders:
            if at_ms < self._begin_ms:
                self._recall(at_ms, command)
        orders = [each for each in orders if each[0] >= self._begin_ms]
        for at_ms, reading in self._readings():
            while orders and orders[0][0] <= at_ms:
                await self._until(orders[0][0])
                self._operate(orders.pop(0)[1])
            await self._until(at_ms)
            self._consider(reading)
        for at_ms, command in orders:
            await self._until(at_ms)
            self._operate(command)

    def _readings(self) -> Iterator[tuple[int, Reading]]:
        """(real ms of arrival, reading) of the span; lamps get theirs, alarms and gaps count."""
        (after,) = self._reader.rows(
            "SELECT coalesce(min(seq), 1) - 1 FROM batch WHERE at_ms >= ?", self._begin_ms
        )[0]
        for row in self._reader.batches(after):
            batch = Batch.read(*row)
            if batch.at_ms > self._end_ms + LAG_MS:
                return
            for entry in batch.entries:
                if isinstance(entry, Gap):
                    if entry.source in self._sources or entry.source == "store":
                        self._gaps[entry.reason] += 1
                elif isinstance(entry, Alarm):
                    self._alarms[entry.rule] += entry.active and self._takes(entry.observed_at_ms)
                else:
                    at_ms = entry.received_at_ms or self._street.real_ms(entry.observed_at_ms)
                    if entry.key.source in self._sources:
                        course = self._sources[entry.key.source]
                        course.record(entry, self._street.street_ms(at_ms))
                    if self._begin_ms <= at_ms < self._end_ms and entry.kind != ANCHOR_KIND:
                        yield at_ms, entry

    def _consider(self, reading: Reading) -> None:
        """As the agent does with whatever arrives."""
        decided = self._loops.consider(reading)
        if decided.commands:
            self._lights.follow(decided.commands)
        if self._rules is not None:
            self._rules.consider(reading)

    def _operate(self, command: Command) -> None:
        if not self._loops.operate(command):
            self._lamps.issue(command)

    def _recall(self, at_ms: int, command: Command) -> None:
        """An order from before: what is left of it."""
        self._loops.recall([(command, at_ms)], command.asset)
        hold_s, asset = command.whole("hold_s"), command.asset
        left_s = hold_s - (self._begin_ms - at_ms) // 1000
        if command.operation != "set_level" or (hold_s and left_s <= 0):
            return
        if not hold_s:  # until its schedule changes
            then, now = (self._street.street_ms(each) // 1000 for each in (at_ms, self._begin_ms))
            if self._programs.level_pct(asset, then) != self._programs.level_pct(asset, now):
                return
        arguments = {**command.arguments, "hold_s": left_s if hold_s else 0}
        self._lamps.issue(replace(command, arguments=arguments))

    async def _until(self, real_ms: int) -> None:
        wait_ms = real_ms - self._clock.utc_ms()
        if wait_ms > 0:
            await asyncio.sleep(wait_ms / 1000)
        now = self._lamps.street_ms()
        if now - self._ran_ms >= STEP_MS:
            self._ran_ms = now
            for course in self._courses.values():
                course.run(now - LAG_MS)

    def _takes(self, street_ms: int) -> bool:
        return self._span.from_ms <= street_ms < self._span.to_ms

    def _floor(self, asset: str) -> Callable[[int], int]:
        def at(street_s: int) -> int:
            bound = self._programs.bounds(asset, street_s)
            return 0 if bound is None else bound.floor.level_pct

        return at

    def _found(self) -> Replayed:
        missed, kept_ms = decisions.lost(self._reader)
        known_from = kept_ms if missed else 0
        return Replayed(
            self._span.from_ms,
            self._span.to_ms,
            self._held.from_ms,
            self._held.to_ms,
            {asset: course.figures for asset, course in self._courses.items()},
            watts(self._config.lamp_groups),
            self._notes.switchings,
            self._did,
            known_from if known_from > self._span.from_ms else 0,
            self._notes.alarms,
            +self._alarms,
            dict(self._gaps),
        )


def _told(at_ms: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
