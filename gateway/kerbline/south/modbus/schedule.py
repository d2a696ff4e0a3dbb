"""Whose turn it is on a bus: commands, other masters, polls on common ticks, probes; pure.

Times are arguments, in seconds of one monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence

from kerbline.config import ModbusBus
from kerbline.errors import KerblineError
from kerbline.south.modbus.framing import Refused, Wanted
from kerbline.south.modbus.rounds import Probes, Rounds, groups
from kerbline.south.modbus.survey import Ask
from kerbline.south.modbus.transaction import Group, Job, Polled, Priority, Transaction
from kerbline.south.modbus.unit import FIRST_PROBE_S, Health, Unit

MAX_JOBS = 64  # of commands, and of other masters, for each bus; more are refused
FIRST_GUESS_S = 0.2  # at least, for a unit that was never asked
JOB_PATIENCE_S = 0.25  # at least: a write whose answer is missed leaves more doubt than a poll
FOREIGN_RUN = 3  # so many requests of other masters, then a poll that is due


class TooLate(KerblineError):
    """A transaction of somebody else did not get its turn in time."""

    code = "too_late"


class Schedule:
    """Who is asked next; `next` only looks, `begin` and `done` change something."""

    def __init__(self, config: ModbusBus, *, nameless: bool) -> None:
        """`nameless`: an answer does not say which request it answers, as on RTU."""
        self._ceiling_s = config.timeout_s
        self._nameless = nameless
        self._now_s = 0.0
        self.units: dict[int, Unit] = {}
        self._rounds = Rounds(groups(config, self.unit))
        self._probes = Probes()
        self._commands: deque[Job] = deque()
        self._foreign: deque[Job] = deque()
        self._foreign_run = 0

    @property
    def groups(self) -> tuple[Group, ...]:
        """All that is polled."""
        return self._rounds.groups

    @property
    def late(self) -> int:
        """Polls that came a whole period late."""
        return self._rounds.late

    def unit(self, address: int) -> Unit:
        """What is known of a unit."""
        if address not in self.units:
            self.units[address] = Unit(address, self._ceiling_s)
        return self.units[address]

    def polls(self, unit: Unit) -> bool:
        """Is something of the unit polled? Others may ask units that no config names."""
        return any(group.unit is unit for group in self.groups)

    def submit(self, job: Job) -> None:
        """A transaction of somebody else; raises TooLate when too many wait."""
        jobs = self._waiting(job)
        if len(jobs) >= MAX_JOBS:
            raise TooLate("too many wait for the bus")
        jobs.append(job)

    def withdraw(self, job: Job) -> None:
        """Whoever wanted it wants it no more."""
        if job in self._waiting(job):
            self._waiting(job).remove(job)

    def expired(self, now_s: float) -> Sequence[Job]:
        """Take out the jobs whose time is over."""
        gone = [job for job in (*self._commands, *self._foreign) if job.expires_s <= now_s]
        for job in gone:
            self._waiting(job).remove(job)
        return gone

    def next(self, now_s: float, *, polls: bool = True) -> Transaction | None:
        """Whoever is to be asked now; None when nobody is. Without `polls` others' jobs alone."""
        self._now_s = now_s
        if self._commands and (found := self._job(self._commands)):
            return found
        first = self._foreign and not (polls and self._foreign_run >= FOREIGN_RUN)
        if first and (found := self._job(self._foreign)):
            return found
        if polls and (found := self._poll()):
            return found
        return self._job(self._foreign) if self._foreign else None

    def wake_s(self, now_s: float) -> float:
        """When `next` may have something, if nothing else happens before."""
        self._now_s = now_s
        wake_s = min(self._rounds.wake_s(self._clear_s), self._probes.wake_s(now_s))
        for job in (*self._commands, *self._foreign):
            clear_s = self._wanted_clear_s(job.unit, job.wanted) or now_s
            wake_s = min(wake_s, job.expires_s, clear_s)
        return wake_s

    def begin(self, transaction: Transaction, now_s: float) -> None:
        """What `next` gave goes out now."""
        asker = transaction.asker
        if isinstance(asker, Job):
            self._waiting(asker).remove(asker)
            self._foreign_run += asker.priority is Priority.FOREIGN
        else:
            self._foreign_run = 0
            if transaction.priority is Priority.PROBE:
                transaction.unit.breaker.probe_s = math.inf  # one at a time
            self._rounds.begin(asker, now_s)

    def done(self, transaction: Transaction, now_s: float) -> Sequence[Polled]:
        """Learn from what a transaction came to; the polls that are over by it."""
        dead = self._judge(transaction, now_s)
        group, ask, fault = transaction.asker, transaction.ask, transaction.fault
        polled: list[Polled] = []
        if isinstance(group, Group) and ask is not None:
            if transaction.response is not None:
                group.survey.took(ask, transaction.response.words)
            elif fault is not None and transaction.answered:
                group.survey.refused(ask, fault.code)
            elif fault is not None:
                group.survey.failed(ask, fault.code)
            if group.survey.over:
                polled.append(self._rounds.end(group, now_s))
        if dead and fault is not None:
            polled += self._rounds.stop(transaction.unit, fault.code, now_s)
        return polled

    def leave(self, under_way: Iterable[Transaction], now_s: float) -> None:
        """The line is lost: what was under way may still be answered, on the next one."""
        for transaction in under_way:
            if self._nameless:
                transaction.unit.doubts.add(transaction.wanted, transaction.timeout_s, now_s)

    def reset(self, now_s: float) -> Sequence[Job]:
        """The line is a new one: all is due. The jobs of before are not: they are given up."""
        jobs = (*self._commands, *self._foreign)
        self._commands.clear()
        self._foreign.clear()
        self._rounds.reset(now_s)
        self._probes.all_now(now_s)
        return jobs

    def anybody(self) -> bool:
        """Some unit that is polled answers."""
        return any(not group.unit.breaker.open for group in self.groups)

    def _waiting(self, job: Job) -> deque[Job]:
        return self._commands if job.priority is Priority.COMMAND else self._foreign

    def _job(self, jobs: deque[Job]) -> Transaction | None:
        """The first that may go; an answer to it must be its own."""
        for job in jobs:
            if not self._wanted_clear_s(job.unit, job.wanted):
                transaction = self._transaction(job, job.wanted, job.priority)
                patient_s = max(2 * transaction.timeout_s, JOB_PATIENCE_S)
                transaction.timeout_s = min(patient_s, self._ceiling_s)
                return transaction
        return None

    def _poll(self) -> Transaction | None:
        priority = Priority.PROBE
        found = self._probe()  # in spare time, or for its share of a busy bus
        if found is None:
            found = self._rounds.next(self._now_s, self._clear_s)
            priority = Priority.POLL
        if found is None:
            return None
        group, ask = found
        transaction = self._transaction(group, ask.wanted, priority)
        transaction.ask = ask
        if group.unit.breaker.unheard:
            transaction.timeout_s = self._guess_s()
        return transaction

    def _probe(self) -> tuple[Group, Ask] | None:
        unit = self._probes.next(self._now_s, self._rounds.due_s())
        if unit is None:
            return None
        later_s = self._now_s + FIRST_PROBE_S
        for group in self.groups:
            if group.unit is unit and (ask := group.survey.next()):
                clear_s = self._clear_s(unit, ask)
                if not clear_s:
                    return group, ask
                later_s = min(later_s, clear_s)
        unit.breaker.probe_s = later_s  # something of it is under way, or may still come
        return None

    def _guess_s(self) -> float:
        """For a unit's first request: twice what the slowest of the others needs.

        If that is too short, its first probe has the whole ceiling; a bus with many dead units
        would otherwise begin with as many ceilings.
        """
        needed_s = [each.patience.timeout_s for each in self.units.values() if each.patience.learnt]
        guess_s = max(2 * max(needed_s), FIRST_GUESS_S) if needed_s else self._ceiling_s
        return min(guess_s, self._ceiling_s)

    def _transaction(self, asker: Job | Group, wanted: Wanted, priority: Priority) -> Transaction:
        transaction = Transaction(asker, wanted, priority)
        if self._nameless:
            transaction.refusals = not asker.unit.doubts.refusals(wanted, self._now_s)
        return transaction

    def _clear_s(self, unit: Unit, ask: Ask) -> float:
        return self._wanted_clear_s(unit, ask.wanted)

    def _wanted_clear_s(self, unit: Unit, wanted: Wanted) -> float:
        return unit.doubts.clear_s(wanted, self._now_s) if self._nameless else 0.0

    def _judge(self, transaction: Transaction, now_s: float) -> bool:
        """Learn of the unit; True when it is taken for dead from now on."""
        unit, fault = transaction.unit, transaction.fault
        if fault is not None:
            unit.failed(fault.code)
        if transaction.left or (self._nameless and not unit.address):  # to all: none answers
            return False
        if transaction.answered:
            unit.answers += 1
            if transaction.pause_s >= 0:
                unit.patience.learn(transaction.pause_s)
            if unit.breaker.health is not Health.GOOD:
                self._hear(unit, now_s)
            return False
        unit.patience.back_off()
        if self._nameless and not isinstance(fault, Refused):
            unit.doubts.add(transaction.wanted, transaction.timeout_s, now_s)
        if unit.breaker.open:
            self._probes.spent(now_s - transaction.sent_s, now_s)
        elif unit.breaker.unheard:
            self._rounds.searched(now_s - transaction.sent_s, now_s)
        dead = unit.breaker.silent(now_s)
        if dead and self.polls(unit):
            self._probes.add(unit)
        return dead

    def _hear(self, unit: Unit, now_s: float) -> None:
        """A unit answers that did not; if nobody did, all may have come back."""
        nobody, unheard = not self.anybody(), unit.breaker.unheard
        if unit.breaker.answered():
            self._probes.remove(unit)
            self._rounds.revive(unit, now_s)
            if nobody:
                self._probes.all_now(now_s)
        elif unheard:
            self._rounds.heard(unit)
