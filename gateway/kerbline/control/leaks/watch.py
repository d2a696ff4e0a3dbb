"""All detectors of one district, stepped together over ordered rows: what stands after each step.

A pure function of the rows: what was `saved` and goes on is as if it had never stopped.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from kerbline.control.leaks import BALANCE, INFLOW
from kerbline.control.leaks.around import Around, Neighbour
from kerbline.control.leaks.balance import BalanceWatch
from kerbline.control.leaks.grid import Row
from kerbline.control.leaks.inflow import InflowWatch
from kerbline.control.leaks.kept import State, part_of, under
from kerbline.control.leaks.mains import Flow, Mains
from kerbline.control.leaks.meters import Kind, MeterWatch
from kerbline.control.leaks.network import WARM_DAYS

FORMAT = 2
ZONE = -1  # the subject of an alarm that is the district's own

METER = "meter_"  # the begin of METER_RULES, their ends are the kinds


@dataclass(frozen=True, slots=True)
class Setting:
    """What is looked at: `slot` gives a step's place in the local week, `planned` those of work.

    `mains` are their signs: 1 flows in, -1 out. What a step's `accepted` rules take for a leak is
    usual after it: an operator said so.
    """

    meters: int
    step_min: int
    mains: tuple[int, ...]
    inflow_alone: bool
    slot: Callable[[int], int]
    planned: Callable[[int], bool]
    accepted: Callable[[int], Collection[str]] = lambda _: ()
    neighbours: tuple[Neighbour, ...] = ()
    warmth: bool = False  # a temperature is told

    @property
    def columns(self) -> int:
        """Of a Row's mains."""
        near = sum(len(each.signs) for each in self.neighbours)
        return len(self.mains) + near + self.warmth

    @property
    def step_ms(self) -> int:
        """A step's milliseconds."""
        return self.step_min * 60_000

    @property
    def day_steps(self) -> int:
        """Steps of a day."""
        return 1440 // self.step_min


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm that is up: `raised` is the step that raised it, `since` its onset as it looked."""

    subject: int  # a meter, or ZONE
    rule: str
    raised: int
    since: int
    lph: float
    litres: float
    sure_pct: float
    seen: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> tuple[int, str]:
        """What it is one of: a subject has one alarm of a rule."""
        return self.subject, self.rule


class Watch:
    """The detectors of a district after `step` of all rows from step `begin` (since 1970) on."""

    def __init__(self, setting: Setting, begin: int) -> None:
        """`begin` is a step at which a day begins, UTC."""
        self.begin = self.next = self._balance_begin = begin
        self._setting = setting
        has_balance = bool(setting.mains) and setting.meters > 0
        has_alone = bool(setting.mains) and (setting.inflow_alone or not setting.meters)
        self.mains = Mains(setting.mains, setting.step_ms) if setting.mains else None
        self.balance = BalanceWatch(setting.meters, setting.step_min) if has_balance else None
        self.inflow = _alone(setting) if has_alone else None
        self.around: Around | None = None
        if has_alone and setting.columns > len(setting.mains):
            near = setting.neighbours
            self.around = Around(
                len(setting.mains), near, warmth=setting.warmth, step_min=setting.step_min
            )
        self.meters = MeterWatch(setting.meters, setting.step_min) if setting.meters else None
        self._raised: dict[tuple[int, str], Standing] = {}

    def step(self, row: Row) -> Flow | None:
        """The next step; what flowed into the district."""
        at, self.next = self.next, self.next + 1
        planned = self._setting.planned(at)
        if self.meters is not None:
            self._consumers(self.meters, row, at)
        if self.mains is None:
            return None
        flow = self.mains.step(row, at)
        if self.balance is not None:
            self._balance(self.balance, row, flow, at, planned=planned)
        if self.inflow is not None:
            self._alone(self.inflow, float("nan") if planned else flow.lph, row, at)
        return flow

    def standing(self) -> list[Standing]:
        """What is up now, with the sizes and losses of now."""
        found = [self._now(each) for each in self._raised.values()]
        return sorted(found, key=lambda each: each.name)

    @property
    def inflow_lph(self) -> float:
        """Of the last step; NaN where it is not known."""
        return float("nan") if self.mains is None else self.mains.lph

    @property
    def learning(self) -> bool:
        """Is too little known yet for an alarm of the district?"""
        if self.balance is not None:
            return self.balance.steps < WARM_DAYS * self._setting.day_steps
        return self.inflow is not None and not bool(self.inflow.week.kept.ready[0])

    def copy(self) -> Watch:
        """Another one in the same state."""
        other = copy.copy(self)
        for part in ("mains", "around", "balance", "inflow", "meters", "_raised"):
            setattr(other, part, copy.deepcopy(getattr(self, part)))
        return other

    def saved(self) -> State:
        """The whole state, as arrays; `restore` is its inverse."""
        told = {
            "format": FORMAT,
            "begin": self.begin,
            "balance_begin": self._balance_begin,
            "next": self.next,
            "raised": [asdict(each) for each in self._raised.values()],
        }
        text = np.array([json.dumps(told)])
        state: State = {"watch": text}
        for name, part in self._parts().items():
            state |= under(name, part.saved())
        return state

    def restore(self, state: State) -> None:
        """Goes on from what `saved` gave; ValueError where it is another district's or format."""
        told = json.loads(str(state["watch"][0]))
        if told["format"] != FORMAT:
            raise ValueError(f"format {told['format']} of a district is not {FORMAT}")
        self.begin, self.next = told["begin"], told["next"]
        self._balance_begin = told["balance_begin"]
        raised = [Standing(**each) for each in told["raised"]]
        self._raised = {each.name: each for each in raised}
        for name, part in self._parts().items():
            part.restore(part_of(name, state))

    def renumber(self, numbers: Mapping[int, int], *, anew: bool) -> None:
        """The meters have other numbers; alarms of those that have none are gone.

        `anew`: too many are others, so that the balance of before says nothing.
        """
        raised = {ZONE: ZONE, **numbers}
        found = [
            replace(each, subject=raised[each.subject])
            for each in self._raised.values()
            if each.subject in raised and not (anew and each.rule == BALANCE)
        ]
        self._raised = {each.name: each for each in found}
        if anew and self.balance is not None:
            self.balance = BalanceWatch(self._setting.meters, self._setting.step_min)
            self._balance_begin = self.next

    def _parts(self) -> dict[str, Mains | Around | BalanceWatch | InflowWatch | MeterWatch]:
        parts = {
            "mains": self.mains,
            "around": self.around,
            "balance": self.balance,
            "inflow": self.inflow,
            "meters": self.meters,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _consumers(self, watch: MeterWatch, row: Row, at: int) -> None:
        for change in watch.step(row.reads, row.present):
            name = change.meter, METER + change.kind
            if not change.up:
                self._raised.pop(name, None)
                continue
            known = self._raised.get(name)
            raised, since = (at, at) if known is None else (known.raised, known.since)
            if change.kind is Kind.LEAK:
                since = self.begin + int(watch.began[change.meter])
            size = change.lph, change.litres, change.sure_pct
            self._raised[name] = Standing(*name, raised, since, *size, change.seen or {})

    def _balance(
        self, watch: BalanceWatch, row: Row, flow: Flow, at: int, *, planned: bool
    ) -> None:
        """All leaks of a network are one alarm: pipes have no names here."""
        changes = watch.step(
            *(row.reads, row.present, flow.total_l),
            planned=planned or flow.broken,
            mains_l2=flow.mains_l2,
        )
        name = (ZONE, BALANCE)
        if BALANCE in self._setting.accepted(at):
            watch.accept()
        if not watch.alarms:
            self._raised.pop(name, None)
            return
        oldest = watch.alarms[0]
        known = self._raised.get(name)
        seen = {} if known is None else known.seen
        sure_pct = 0.0 if known is None else known.sure_pct
        for change in changes:
            if change.up:
                seen, sure_pct = change.seen, max(sure_pct, change.sure_pct)
        raised = at if known is None else known.raised
        since = self._balance_begin + oldest.since if known is None else known.since
        self._raised[name] = Standing(*name, raised, since, 0.0, 0.0, sure_pct, seen)

    def _alone(self, watch: InflowWatch, lph: float, row: Row, at: int) -> None:
        name = (ZONE, INFLOW)
        flows, causes = [lph], None
        if self.around is not None:
            flows += self.around.flows_lph(row, at)
            if self._setting.warmth:
                causes = np.full((1, len(flows)), self.around.warmer(row, at))
        for change in watch.step(np.array(flows) / 1000, self._setting.slot(at), causes):
            if change.series:  # a neighbour's is told by its own district
                continue
            if not change.up:
                self._raised.pop(name, None)
                continue
            hours = change.seen.get("age_h", 0.0)
            since = at - round(hours * 60 / self._setting.step_min)
            size = change.lph, change.litres, change.sure_pct
            self._raised[name] = Standing(*name, at, since, *size, change.seen)
        if name in self._raised and INFLOW in self._setting.accepted(at):
            del self._raised[name]
            watch.accept(0)

    def _now(self, up: Standing) -> Standing:
        if up.rule == BALANCE and self.balance is not None:
            alarms = self.balance.alarms
            lph = sum(self.balance.lph(each) for each in alarms)
            return replace(up, lph=lph, litres=sum(each.litres for each in alarms))
        if up.rule == INFLOW and self.inflow is not None:
            return replace(
                up, lph=float(self.inflow.lph()[0]), litres=float(self.inflow.kept.litres[0])
            )
        assert self.meters is not None
        if up.rule == METER + Kind.LEAK:
            size = self.meters.lph(up.subject), self.meters.litres(up.subject)
            return replace(up, lph=size[0], litres=size[1])
        hours = (self.next - 1 - up.raised) * self._setting.step_min / 60
        return replace(up, litres=up.litres + up.lph * hours)


def _alone(setting: Setting) -> InflowWatch:
    """The district first, then its neighbours."""
    count = 1 + len(setting.neighbours)
    peers = np.zeros(count) if count > 1 else None
    return InflowWatch(count, setting.step_min, int(setting.warmth), peers)
