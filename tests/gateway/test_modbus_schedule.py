"""Whose turn it is on a bus, with time as an argument."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kerbline.config import ModbusBus, ModbusDevice, Register
from kerbline.south.modbus.framing import NoAnswer, Refused, Request, Response, wanted
from kerbline.south.modbus.rounds import Probes
from kerbline.south.modbus.schedule import FIRST_GUESS_S, FOREIGN_RUN, MAX_JOBS, Schedule, TooLate
from kerbline.south.modbus.survey import FIRST_RECHECK_POLLS, Survey
from kerbline.south.modbus.transaction import Job, Polled, Priority, Transaction
from kerbline.south.modbus.unit import FLOOR_S, Health, Patience, Unit

ANSWER_S = 0.01
CEILING_S = 0.5
WORD = (Register("word", 0),)


def scheduled(*units: int, poll_s: float = 1.0, nameless: bool = True) -> Schedule:
    devices = tuple(ModbusDevice(unit, f"unit-{unit}", WORD, poll_s=poll_s) for unit in units)
    return Schedule(ModbusBus("bus", "/dev/none", devices, timeout_s=CEILING_S), nameless=nameless)


class Played:
    """A bus in a loop of its own: asks whoever is next, answers for the units that live."""

    def __init__(self, schedule: Schedule, dead: frozenset[int] = frozenset()) -> None:
        self.schedule = schedule
        self.dead = dead
        self.now_s = 0.0
        self.asked: list[tuple[float, int, Priority]] = []
        self.polled: list[Polled] = []

    def step(self) -> Transaction | None:
        found = self.schedule.next(self.now_s)
        if found is None:
            self.now_s = max(self.schedule.wake_s(self.now_s), self.now_s + 1e-6)
            return None
        self.schedule.begin(found, self.now_s)
        found.sent_s = self.now_s
        self.asked.append((self.now_s, found.unit.address, found.priority))
        if found.unit.address in self.dead:
            self.now_s += found.timeout_s
            found.fault = NoAnswer("dead")
        else:
            self.now_s += ANSWER_S
            found.pause_s = ANSWER_S
            found.response = Response([0] * found.wanted.request.count)
        self.polled += self.schedule.done(found, self.now_s)
        return found

    def until(self, end_s: float) -> Played:
        while self.now_s < end_s:
            self.step()
        return self

    def counts(self) -> Counter[int]:
        return Counter(polled.group.unit.address for polled in self.polled if polled.values)


def job(schedule: Schedule, unit: int, priority: Priority, count: int = 1) -> Job:
    made = Job(schedule.unit(unit), wanted(Request(unit, 3, 0, count)), priority, 100.0)
    schedule.submit(made)
    return made


def test_units_of_one_period_share_a_tick() -> None:
    played = Played(scheduled(1, 2, 3)).until(3.5)
    times = [at for at, _, _ in played.asked]
    assert [round(at, 2) for at in times[:3]] == [0.0, 0.01, 0.02]
    assert [round(at, 2) for at in times[3:6]] == [1.0, 1.01, 1.02]
    assert played.counts() == {1: 4, 2: 4, 3: 4}


def test_a_bus_that_is_too_slow_leaves_polls_out_evenly() -> None:
    played = Played(scheduled(*range(1, 11), poll_s=0.05)).until(10)
    counts = played.counts().values()
    assert sum(counts) == pytest.approx(10 / ANSWER_S, rel=0.02)
    assert max(counts) - min(counts) <= 1
    assert played.schedule.late > 0


def test_a_command_is_next_and_another_master_leaves_polls_their_turn() -> None:
    schedule = scheduled(1, 2, poll_s=0.05)
    played = Played(schedule)
    played.step()
    for count in range(2, 10):
        job(schedule, 1, Priority.FOREIGN, count)
    job(schedule, 2, Priority.COMMAND, 2)
    kinds = [found.priority for _ in range(7) if (found := played.step())]
    foreign = [Priority.FOREIGN] * FOREIGN_RUN
    assert kinds == [Priority.COMMAND, *foreign, Priority.POLL, Priority.FOREIGN, Priority.FOREIGN]


def test_who_waits_for_a_bus_is_bounded_and_its_time_ends() -> None:
    schedule = scheduled(1)
    jobs = [job(schedule, 1, Priority.COMMAND) for _ in range(MAX_JOBS)]
    with pytest.raises(TooLate):
        job(schedule, 1, Priority.COMMAND)
    schedule.withdraw(jobs[0])
    assert not schedule.expired(99.0)
    assert list(schedule.expired(100.0)) == jobs[1:]
    assert schedule.next(200.0, polls=False) is None


@pytest.mark.parametrize("poll_s", [0.05, 1.0])
def test_dead_units_cost_the_healthy_ones_next_to_nothing(poll_s: float) -> None:
    units = range(1, 51)
    dead = frozenset(range(5, 51, 5))
    healthy = Played(scheduled(*(set(units) - dead), poll_s=poll_s)).until(110)
    played = Played(scheduled(*units, poll_s=poll_s), dead).until(10)  # the dead are found out
    before = played.counts()
    played.until(110)
    rate = (played.counts() - before).total() / 100
    assert rate >= 0.95 * healthy.counts().total() / 110
    assert not dead & played.counts().keys()
    assert {unit for _, unit, _ in played.asked[-6_000:]} & dead  # and yet they are tried


def test_units_that_answer_are_polled_while_two_hundred_dead_ones_are_found_out() -> None:
    live = (1, 100, 205)
    schedule = scheduled(*range(1, 206))
    played = Played(schedule, frozenset(range(1, 206)) - {*live}).until(120.0)
    polls = [at for at, unit, _ in played.asked if unit == 1]
    gaps = [after - before for before, after in pairwise(polls)]
    assert max(gaps) <= 1.0 + 2 * CEILING_S
    assert played.counts()[1] >= 0.95 * 120
    assert {100, 205} <= played.counts().keys()


def test_a_probe_is_no_poll_that_came_late() -> None:
    played = Played(scheduled(1, 2), frozenset([2])).until(60.0)
    assert [priority for _, unit, priority in played.asked if unit == 2].count(Priority.PROBE) >= 5
    assert played.schedule.late == 0


def test_a_bus_without_time_to_spare_still_finds_all_its_units() -> None:
    dead = frozenset(range(4, 40))
    played = Played(scheduled(*range(1, 51), poll_s=0.05), dead).until(60.0)
    assert {unit for _, unit, _ in played.asked} == set(range(1, 51))


def test_a_unit_that_comes_back_is_polled_at_once_and_so_are_all_if_none_answered() -> None:
    played = Played(scheduled(1, 2, 3), frozenset({1, 2, 3})).until(200)
    assert {unit.breaker.health for unit in played.schedule.units.values()} == {Health.OPEN}
    played.dead = frozenset()
    while not played.counts():
        played.step()
    played.until(played.now_s + 0.1)
    assert played.counts() == {1: 1, 2: 1, 3: 1}


@given(st.floats(0, 1e9))
@example(1.352670781838022)  # half a unit in the last place decides
def test_a_probe_goes_at_the_very_moment_for_which_the_bus_wakes(silent_s: float) -> None:
    probes, unit = Probes(), Unit(1, CEILING_S)
    unit.breaker.silent(silent_s)
    probes.add(unit)
    wake_s = probes.wake_s(unit.breaker.probe_s)
    assert probes.next(wake_s, due_s=wake_s) is unit


def test_units_that_only_others_asked_for_cost_nothing_any_more() -> None:
    """Somebody scanned the bus: the dead are not probed, nor does the bus wake up for them."""
    strangers = frozenset(range(100, 200))
    schedule = scheduled(1)
    played = Played(schedule, strangers)
    for unit in strangers:
        job(schedule, unit, Priority.FOREIGN)
        played.step()
    played.until(100)
    steps = 0
    while played.now_s < 200:
        played.step()
        steps += 1
    assert steps <= 2 * 100 + 2
    assert (
        Counter(unit for _, unit, _ in played.asked if unit in strangers).most_common(1)[0][1] == 1
    )


def test_a_unit_that_answered_is_given_up_after_three_silences_and_another_at_once() -> None:
    played = Played(scheduled(1, 2), frozenset({2})).until(1.05)
    assert [unit for _, unit, _ in played.asked if unit == 2] == [2]
    played.dead = frozenset({1, 2})
    before = len(played.asked)
    played.until(20)
    polls = [1 for _, unit, kind in played.asked[before:] if (unit, kind) == (1, Priority.POLL)]
    assert len(polls) == 3


def test_after_a_silence_only_what_can_not_be_confused_is_asked() -> None:
    schedule = scheduled(1, 2, poll_s=0.05)
    played = Played(schedule, frozenset({1}))
    schedule.unit(1).breaker.answered()  # it did answer once
    while played.asked[-1:] == [] or played.asked[-1][1] != 1:
        played.step()
    silent_s = played.now_s
    same, other = job(schedule, 1, Priority.COMMAND), job(schedule, 1, Priority.COMMAND, 2)
    first = schedule.next(played.now_s)
    assert first is not None
    assert first.asker is other
    assert not first.refusals  # one might be that of the poll
    schedule.withdraw(other)
    played.dead = frozenset()
    while (found := schedule.next(played.now_s)) is None or found.asker is not same:
        played.step()
    assert played.now_s >= silent_s + 3 * CEILING_S
    assert played.counts()[2] > 10  # the other went on meanwhile


def test_a_dead_unit_costs_little_at_the_start_and_a_slow_one_is_found() -> None:
    played = Played(scheduled(1, 2, 3), frozenset({3})).until(0.5)
    (first_s,) = [at for at, unit, _ in played.asked if unit == 3]
    silent = played.polled[2]
    assert silent.quality == ("no_answer",)
    assert silent.group.polled_s == pytest.approx(first_s + FIRST_GUESS_S)
    assert silent.group.unit.patience.timeout_s == CEILING_S


def test_on_tcp_nothing_waits_for_a_late_answer() -> None:
    schedule = scheduled(1, nameless=False)
    played = Played(schedule, frozenset({1}))
    played.step()
    same = job(schedule, 1, Priority.COMMAND)
    found = schedule.next(played.now_s)
    assert found is not None
    assert found.asker is same


def test_patience_is_learnt_within_its_bounds() -> None:
    patience = Patience(CEILING_S)
    assert patience.timeout_s == CEILING_S
    for _ in range(50):
        patience.learn(0.15)
    assert 0.15 < patience.timeout_s < 0.17
    patience.back_off()
    assert patience.timeout_s > 0.3
    for _ in range(10):
        patience.back_off()
    assert patience.timeout_s == CEILING_S
    for _ in range(50):
        patience.learn(0.0)
    assert patience.timeout_s == FLOOR_S
    for _ in range(50):
        patience.learn(3.0)
    assert patience.timeout_s == CEILING_S


ADDRESSES = range(80)


def surveyed(
    survey: Survey, illegal: Callable[[int], bool], longest: int = 125, exception: int = 2
) -> tuple[set[str], int]:
    """One poll of a device that refuses some addresses: what it gave, in how many requests."""
    requests = 0
    while not survey.over:
        ask = survey.next()
        assert ask is not None
        survey.sent()
        requests += 1
        read = ask.read
        places = range(read.address, read.address + read.count)
        if read.count > longest or any(illegal(at) for at in places):
            survey.refused(ask, Refused(exception).code)
        else:
            survey.took(ask, list(places))
    values, flags = survey.end()
    for name, value in values.items():
        assert value == int(name[1:])
    assert ("illegal_address" in flags) == (len(values) < len(survey.registers))
    return set(values), requests


def polls(survey: Survey, illegal: Callable[[int], bool]) -> Iterator[tuple[set[str], int]]:
    while True:
        yield surveyed(survey, illegal)


@given(st.sets(st.sampled_from(ADDRESSES), min_size=1), st.sets(st.sampled_from(ADDRESSES)))
def test_what_a_unit_refuses_is_found_in_its_first_poll_and_gone_round(
    asked: set[int], illegal: set[int]
) -> None:
    registers = [Register(f"r{at}", at) for at in asked]
    survey = Survey(ModbusDevice(1, "unit", tuple(registers)), registers)
    there = {f"r{at}" for at in asked - illegal}
    found = polls(survey, illegal.__contains__)
    assert next(found)[0] == there
    rest = [next(found) for _ in range(FIRST_RECHECK_POLLS - 1)]
    assert all(values == there for values, _ in rest)
    needed = rest[-1][1]
    assert needed <= len(illegal) + 5 + (not there)  # no more pieces than culprits and wide gaps


@pytest.mark.parametrize("exception", [2, 3])  # V1.1b3, 6.3: a quantity is an illegal value
def test_a_read_that_is_too_long_for_a_unit_teaches_its_length(exception: int) -> None:
    registers = [Register(f"r{at}", at) for at in range(100)]
    survey = Survey(ModbusDevice(1, "unit", tuple(registers)), registers)
    assert len(surveyed(survey, lambda _: False, 30, exception)[0]) == 100
    assert surveyed(survey, lambda _: False, 30, exception)[1] == 4


def test_a_length_that_was_refused_once_is_tried_again() -> None:
    registers = [Register(f"r{at}", at) for at in range(100)]
    survey = Survey(ModbusDevice(1, "unit", tuple(registers)), registers)
    surveyed(survey, lambda _: False, 30)  # a device that had not started yet
    needed = [surveyed(survey, lambda _: False)[1] for _ in range(FIRST_RECHECK_POLLS)]
    assert needed[0] == 4
    assert needed[-1] == 1


def test_a_register_whose_value_can_not_be_asked_for_is_told_so() -> None:
    registers = [Register(f"r{at}", at) for at in (0, 1, 2, 3)]
    survey = Survey(ModbusDevice(1, "unit", tuple(registers)), registers)
    assert surveyed(survey, lambda at: at == 2, exception=3)[0] == {"r0", "r1", "r3"}


def test_what_was_missing_is_asked_for_again_ever_more_seldom() -> None:
    registers = [Register(f"r{at}", at) for at in (0, 1, 2, 3)]
    survey = Survey(ModbusDevice(1, "unit", tuple(registers)), registers)
    refused = [surveyed(survey, lambda at: at == 2)[1] > 2 for _ in range(40)]
    assert [at for at, whole in enumerate(refused) if whole] == [0, 8, 24]
    survey.forget()
    seen = [len(surveyed(survey, lambda _: False)[0]) for _ in range(3)]
    assert seen[-1] == 4
