"""Which program a night follows, by TALQ's calendar rules."""

from __future__ import annotations

from calendar import monthcalendar
from datetime import date, timedelta

import pytest

from kerbline.control.light.calendar import LAST, Calendar, Rule, Span, YearDay, occurrence

YEAR = [date(2028, 1, 1) + timedelta(days=day) for day in range(366)]


def fitting(rule: Rule) -> list[date]:
    """The nights of a leap year."""
    return [day for day in YEAR if rule.fits(day)]


def day(text: str) -> date:
    return date.fromisoformat(f"2028-{text}")


def test_the_first_rule_that_fits_holds() -> None:
    weekend = Rule("late", days=frozenset([5, 6]))
    eve = Rule("all-night", dates=(Span(YearDay(12, 31), YearDay(12, 31)),))
    first = Calendar("c", "evening", (eve, weekend))
    assert first.program(date(2027, 12, 31)) == ("all-night", "rule 1 of calendar c")  # a Friday
    assert first.program(date(2028, 1, 1)) == ("late", "rule 2 of calendar c")
    assert first.program(date(2028, 1, 2)) == ("evening", "calendar c")
    last = Calendar("c", "evening", (weekend, eve))
    assert last.program(date(2027, 12, 31))[0] == "late"


def test_the_nth_of_a_month_is_as_a_calendar_on_the_wall_has_it() -> None:
    for month in range(1, 13):
        weeks = monthcalendar(2028, month)
        for weekday in range(1, 8):
            column = [week[weekday - 1] for week in weeks if week[weekday - 1]]
            for nth, number in enumerate(column, 1):
                found = occurrence(date(2028, month, number))
                assert found == ({nth, LAST} if number == column[-1] else {nth})


def test_the_second_monday_and_the_last_friday() -> None:
    second = fitting(Rule("p", days=frozenset([1]), occurrences=frozenset([2])))
    assert len(second) == 12
    assert {(each.isoweekday(), (each.day - 1) // 7) for each in second} == {(1, 1)}
    last = fitting(Rule("p", days=frozenset([5]), occurrences=frozenset([LAST])))
    assert len(last) == 12
    assert all((each + timedelta(days=7)).month != each.month for each in last)


@pytest.mark.parametrize(
    ("span", "count", "within", "without"),
    [
        (Span(YearDay(12, 24), YearDay(12, 26)), 3, "12-25", "12-27"),
        (Span(YearDay(12, 31), YearDay(1, 1)), 2, "01-01", "12-30"),  # over New Year
        (Span(YearDay(2, 29), YearDay(2, 29)), 1, "02-29", "02-28"),
        (Span(YearDay(0, 1), YearDay(0, 1)), 12, "07-01", "07-02"),  # each first
        (Span(YearDay(0, 28), YearDay(0, 2)), 66, "03-01", "03-03"),  # the turn of each month
    ],
)
def test_days_of_a_year_and_of_a_month(span: Span, count: int, within: str, without: str) -> None:
    found = fitting(Rule("p", dates=(span,)))
    assert len(found) == count
    assert day(within) in found
    assert day(without) not in found


def test_a_season_of_each_year_and_a_span_of_days() -> None:
    summer = Rule("p", since=YearDay(5, 1), until=YearDay(8, 31))
    assert fitting(summer) == [each for each in YEAR if 5 <= each.month <= 8]
    winter = Rule("p", since=YearDay(11, 1), until=YearDay(2, 29))
    assert fitting(winter) == [each for each in YEAR if each.month in (11, 12, 1, 2)]
    works = Rule("p", since=day("03-10"), until=day("04-02"))
    assert fitting(works) == [each for each in YEAR if day("03-10") <= each <= day("04-02")]
    assert fitting(Rule("p", since=date(2029, 1, 1))) == []
    mixed = Rule("p", since=day("03-10"), until=YearDay(3, 31))  # from then on, up to each 31 March
    assert fitting(mixed) == [each for each in YEAR if day("03-10") <= each <= day("03-31")]


def test_all_that_is_given_must_fit() -> None:
    rule = Rule(
        "p",
        since=YearDay(6, 1),
        days=frozenset([6]),
        occurrences=frozenset([1]),
        dates=(Span(YearDay(6, 1), YearDay(8, 31)), Span(YearDay(12, 1), YearDay(12, 31))),
    )
    assert fitting(rule) == [day("06-03"), day("07-01"), day("08-05"), day("12-02")]
