"""A time on the command line: what is none is told before anything is looked up."""

from __future__ import annotations

import click
import pytest

from kerbline.cli.moments import Moment


def test_a_time_is_utc_where_nothing_else_is_said() -> None:
    assert Moment().convert("1970-01-02", None, None) == 86_400_000
    assert Moment().convert("1970-01-02T02:00:00+02:00", None, None) == 86_400_000


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "0001-01-01",
        "0001-01-01T00:00:00+14:00",
        "1970-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_no_clock_shows_is_no_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time: write 2026-11-21 or"):
        Moment().convert(text, None, None)
