"""Which of those who control a lamp it follows, and that each level ends with who asked for it."""

from __future__ import annotations

import random

from kerbline.control.light.wants import FALL_MS, FOLLOWS, Want, Wants, chosen
from kerbline.control.moment import Moment
from kerbline.model import Command

LAMP = "lamp-1"
DEMAND, FOG, PARTY = "dimming", "rule fog", "rule party"
PRIORITY = {DEMAND: FOLLOWS, FOG: 1, PARTY: 5}


def now(at_s: float) -> Moment:
    return Moment(10**12 + round(1000 * at_s), round(1000 * at_s))


def level(by: str, pct: int, hold_s: int) -> Command:
    arguments = {"level_pct": pct, "hold_s": hold_s, "fade_ms": 1}
    return Command(f"{by}-{pct}", LAMP, "set_level", arguments, 2**60, f"control/{by}")


def release(by: str) -> Command:
    return Command(f"{by}-release", LAMP, "release", {}, 2**60, f"control/{by}")


def ask(wants: Wants, command: Command, at_s: float) -> Command | None:
    by = command.source.removeprefix("control/")
    return wants.ask(command, by, PRIORITY[by], now(at_s))


def words(command: Command | None) -> tuple[object, ...] | None:
    if command is None:
        return None
    return command.operation, *command.arguments.values()


def test_one_alone_gets_what_it_asks() -> None:
    wants = Wants()
    raised, freed = level(DEMAND, 100, 30), release(DEMAND)
    assert ask(wants, raised, 0) is raised
    assert wants.next_ms() is None
    assert ask(wants, freed, 10) is freed
    assert list(wants.wants(LAMP, now(10))) == []


def test_a_rule_darkens_no_lamp_that_is_full_for_somebody() -> None:
    wants = Wants()
    assert ask(wants, level(DEMAND, 100, 30), 0)
    assert ask(wants, level(FOG, 60, 600), 5) is None
    fallen = ask(wants, release(DEMAND), 20)
    assert words(fallen) == ("set_level", 60, 585, FALL_MS)
    assert fallen is not None
    assert fallen.source == "control/rule fog"
    raised = level(DEMAND, 100, 30)
    assert ask(wants, raised, 30) is raised
    assert ask(wants, level(FOG, 60, 600), 40) is None  # it goes on


def test_a_rule_that_asks_for_more_than_that_gets_it() -> None:
    wants = Wants()
    assert ask(wants, level(DEMAND, 70, 30), 0)
    more = level(FOG, 90, 600)
    assert ask(wants, more, 5) is more
    assert ask(wants, level(DEMAND, 70, 30), 10) is None
    assert ask(wants, release(DEMAND), 20) is None


def test_of_rules_the_priority_counts_then_the_level() -> None:
    wants = Wants()
    assert ask(wants, level(FOG, 90, 600), 0)
    dark = level(PARTY, 10, 600)
    assert ask(wants, dark, 1) is dark
    assert ask(wants, level(FOG, 95, 600), 2) is None
    assert [words(each) for each in wants.due(now(601))] == [("set_level", 95, 1, FALL_MS)]
    same = [Want("a", 20, 1, 9, ""), Want("b", 30, 1, 8, ""), Want("c", 25, FOLLOWS, 9, "")]
    assert chosen(same) is same[1]
    assert chosen([]) is None


def test_a_rule_that_releases_ends_what_rules_below_it_asked() -> None:
    wants = Wants()
    assert ask(wants, level(FOG, 60, 600), 0)
    assert ask(wants, level(DEMAND, 100, 30), 1)
    assert ask(wants, release(PARTY), 2) is None  # somebody is there
    freed = release(DEMAND)
    assert ask(wants, freed, 3) is freed
    assert ask(wants, level(PARTY, 60, 600), 4)
    assert words(ask(wants, release(FOG), 5)) is None
    assert [each.by for each in wants.wants(LAMP, now(5))] == [PARTY]


def test_a_hold_that_ends_on_the_node_leaves_the_next_one() -> None:
    """The node falls back to its own program then, and is told what is still asked of it."""
    wants = Wants()
    assert ask(wants, level(FOG, 60, 600), 0)
    assert ask(wants, level(DEMAND, 100, 30), 10)
    assert wants.next_ms() == 40_000
    assert wants.due(now(39)) == []
    assert [words(each) for each in wants.due(now(40))] == [("set_level", 60, 560, FALL_MS)]
    assert wants.next_ms() is None
    assert wants.due(now(600)) == []
    assert list(wants.wants(LAMP, now(600))) == []


def test_whatever_comes_the_lamp_has_what_counts() -> None:
    """A lamp as a node has it, told by what comes out, beside what is asked of it now."""
    chance = random.Random(1)
    for _ in range(300):
        wants = Wants()
        asked: dict[str, tuple[int, int]] = {}
        lamp: tuple[int, int] | None = None  # level, until
        at_s = 0
        for _ in range(40):
            at_s += chance.randrange(0, 20)
            commands = wants.due(now(at_s))
            by = chance.choice(list(PRIORITY))
            if chance.random() < 0.7:
                pct, hold_s = chance.randrange(10, 101, 10), chance.choice([10, 30, 100])
                asked[by] = (pct, at_s + hold_s)
                told = ask(wants, level(by, pct, hold_s), at_s)
            else:
                below = [each for each in asked if 0 < PRIORITY[each] <= PRIORITY[by]]
                for each in {by, *below}:
                    asked.pop(each, None)
                told = ask(wants, release(by), at_s)
            for command in (*commands, *([told] if told else [])):
                if command.operation == "release":
                    lamp = None
                else:
                    lamp = command.whole("level_pct"), at_s + command.whole("hold_s")
            live = {by: (pct, until) for by, (pct, until) in asked.items() if until > at_s}
            rules = {by: each for by, each in live.items() if by != DEMAND}
            highest = max((PRIORITY[by] for by in rules), default=0)
            levels = [pct for by, (pct, _) in live.items() if PRIORITY[by] in (0, highest)]
            has = lamp[0] if lamp is not None and lamp[1] > at_s else None
            assert has == max(levels, default=None)
