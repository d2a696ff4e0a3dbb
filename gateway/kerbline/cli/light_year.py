"""`kerbline light year`: a year of a lamp's program, as a drawing and in hours and energy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerbline.cli.light_night import YEARS, lit
from kerbline.errors import KerblineError

if TYPE_CHECKING:
    from kerbline.agent.light.programs import LightPrograms

_FILE = click.Path(path_type=Path)
WIDTH, LEFT, RIGHT, HEAD, FOOT = 1000, 56, 16, 34, 30
TALL = 360  # from noon to noon
PLOT = WIDTH - LEFT - RIGHT
DARK, LIGHT = (34, 40, 60), (255, 214, 92)
DAY = "#cfe3f2"


@dataclass(frozen=True, slots=True)
class Burns:
    """A lamp from minute to minute of a night, counted from local noon, and its level."""

    from_min: float
    to_min: float
    level_pct: int


@click.command()
@click.argument("config", type=_FILE)
@click.option("--lamp", metavar="ASSET", required=True, help="Which lamp.")
@click.option("--year", type=click.IntRange(YEARS[0], YEARS[-1]), required=True)
@click.option("--out", type=_FILE, help="Draw it there: SVG.")
def year(config: Path, lamp: str, year: int, out: Path | None) -> int:
    """Tell how long a lamp of CONFIG burns in a year by its program, and what it draws.

    Without people, rules and orders, which come over it. The drawing has a column for each night,
    noon above, noon below.
    """
    from kerbline.agent.light.programs import LightPrograms
    from kerbline.clock import Clock
    from kerbline.config import load
    from kerbline.config.light_checks import watts

    found = load(config)
    if found.light is None:
        raise KerblineError(f"{config} has no [light], so no lamp has a program here")
    programs = LightPrograms(found, Clock())
    if lamp not in programs.lamps():
        raise KerblineError(f"no [[lamp_group]] of {config} has the lamp {lamp!r}")
    first = date(year, 1, 1)
    days = [first + timedelta(days=day) for day in range((date(year + 1, 1, 1) - first).days)]
    nights = [list(burns(programs, lamp, day)) for day in days]
    if not any(nights):
        raise KerblineError(f"no program has the lamp {lamp!r}: its node goes by its own")
    hours = sum(each.to_min - each.from_min for night in nights for each in night) / 60
    full = sum((each.to_min - each.from_min) * each.level_pct for night in nights for each in night)
    full_h = full / 6000
    click.echo(f"{lamp}, {year}: burns {hours:,.0f} h, as much light as {full_h:,.0f} h at full")
    watt = watts(found.lamp_groups).get(lamp)
    if watt is not None and hours:
        saved = 100 - 100 * full_h / hours
        click.echo(
            f"{watt * full_h / 1000:,.0f} kWh, {saved:.0f} % less than at full all that time"
        )
    if out is not None:
        out.write_text(drawing(f"{lamp} in {year}", days, nights), encoding="utf-8")
    return 0


def burns(programs: LightPrograms, lamp: str, day: date) -> Iterator[Burns]:
    """The night that begins on a date, by the local clock."""
    of = programs.night_of(day)

    def minute(utc_s: float) -> float:
        wall = datetime.fromtimestamp(utc_s, of.zone)
        return 1440 * (wall.date() - day).days + 60 * (wall.hour - 12) + wall.minute

    plan = programs.told(lamp, of)
    for begin, end, level in lit(plan.stored, of) if plan is not None else ():
        if level and minute(begin) < minute(end):
            yield Burns(minute(begin), minute(end), level)


def drawing(title: str, days: Sequence[date], nights: Sequence[Sequence[Burns]]) -> str:
    """The SVG."""
    height = HEAD + TALL + FOOT
    wide = PLOT / len(days)
    paths: dict[int, list[str]] = {}
    for column, night in enumerate(nights):
        for each in night:
            top, bottom = (HEAD + at * TALL / 1440 for at in (each.from_min, each.to_min))
            x = LEFT + column * wide
            paths.setdefault(each.level_pct, []).append(
                f"M{x:.1f} {top:.1f}h{wide:.1f}V{bottom:.1f}h-{wide:.1f}z"
            )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{escape(title)}: level by its program</text>',
        f'<rect x="{LEFT}" y="{HEAD}" width="{PLOT}" height="{TALL}" fill="{DAY}"/>',
        *(
            f'<path class="lit" fill="{_colour(level)}" d="{"".join(paths[level])}"/>'
            for level in sorted(paths)
        ),
        *_hours(),
        *_months(days, wide, height),
        *_legend(sorted(paths)),
    ]
    return "\n".join([*parts, "</svg>", ""])


def _hours() -> Iterator[str]:
    for hour in range(0, 25, 3):
        y = HEAD + hour * TALL / 24
        yield (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#fff" '
            'stroke-opacity="0.4"/>'
        )
        label = f"{(12 + hour) % 24:02}:00"
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'


def _months(days: Sequence[date], wide: float, height: int) -> Iterator[str]:
    for column, day in enumerate(days):
        if day.day == 1:
            x = LEFT + column * wide
            yield f'<text x="{x:.1f}" y="{height - 10}">{day.strftime("%b")}</text>'


def _legend(levels: Sequence[int]) -> Iterator[str]:
    x = WIDTH - RIGHT - 74 * len(levels)
    for level in levels:
        yield f'<rect x="{x}" y="9" width="14" height="14" fill="{_colour(level)}"/>'
        yield f'<text x="{x + 20}" y="20">{level} %</text>'
        x += 74


def _colour(level_pct: int) -> str:
    return "#" + "".join(
        f"{round(a + (b - a) * level_pct / 100):02x}" for a, b in zip(DARK, LIGHT, strict=True)
    )
