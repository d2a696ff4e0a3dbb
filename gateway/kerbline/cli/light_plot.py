"""A simulated street's trace as an SVG: who went where, how bright each lamp was, what it took."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

from kerbline.config.faults import ConfigFault, Fault, shown
from kerbline.sim.lit_street_files import Nights, Person, Street, people, read_events
from kerbline.sim.lit_street_nights import Spans, cut, nights

COLUMNS = "t_s,lamp,level_pct"
WIDTH, LEFT, RIGHT, HEAD, GAP, FOOT = 1000, 64, 16, 34, 30, 30
STRIP, POWER = 340, 120  # heights
PLOT = WIDTH - LEFT - RIGHT
PARTS = PLOT // 2  # of the time: means of two pixels
SHADES = 10
MOST_PEOPLE = 2000  # that are drawn as lines
DARK, LIGHT = (34, 40, 60), (255, 214, 92)  # a lamp that is off, and at full
DAY, LINE, CAR = "#cfe3f2", "#1f5f8b", "#d9483b"
STEPS_S = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21_600, 86_400, 604_800)
MOST_TICKS = 12


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a run, in seconds from its start."""

    from_s: float
    to_s: float

    def x(self, at_s: float) -> float:
        """Where a time is drawn."""
        return LEFT + (at_s - self.from_s) / (self.to_s - self.from_s) * PLOT


def drawing(street: Street, trace: Path, events: Path | None, window: Window, folder: Path) -> str:
    """The SVG; `folder` is for what does not stay. Raises ConfigFault for what is no trace."""
    levels = binned(trace, street, window)
    height = HEAD + STRIP + GAP + POWER + FOOT
    dark = cut(tuple(span for night in nights(street) for span in night.dark), 0, street.end_s)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{escape(trace.name)}: level of each lamp'
        + (", and who was where</text>" if events else "</text>"),
        *_strips(levels),
    ]
    if events is not None:
        parts += _people(street, _there(street, events, window, folder), window)
    parts += _mean(street, levels, dark, window)
    parts += _axis(window, height)
    return "\n".join([*parts, "</svg>", ""])


def binned(trace: Path, street: Street, window: Window) -> list[list[float]]:
    """Of each lamp the mean level in percent in each of PARTS of the window."""
    width_s = (window.to_s - window.from_s) / PARTS
    sums = [[0.0] * PARTS for _ in range(street.lamps)]
    held = [(window.from_s, 0.0)] * street.lamps

    def fill(lamp: int, until_s: float) -> None:
        since_s, level = held[lamp]
        first = (since_s - window.from_s) / width_s
        last = min(float(PARTS), (until_s - window.from_s) / width_s)
        for part in range(int(first), min(PARTS, math.ceil(last))):
            sums[lamp][part] += level * (min(last, part + 1) - max(first, part))

    for at_s, lamp, level in rows(trace, street):
        if at_s >= window.to_s:
            break
        if at_s > window.from_s:
            fill(lamp, at_s)
        held[lamp] = (max(at_s, window.from_s), level)
    for lamp in range(street.lamps):
        fill(lamp, window.to_s)
    return sums


def rows(trace: Path, street: Street) -> Iterator[tuple[float, int, float]]:
    """Of a trace, judged; it may be larger than memory."""
    before_s = 0.0
    with trace.open(encoding="utf-8", errors="replace") as stream:
        if stream.readline().strip() != COLUMNS:
            problem, remedy = "this is no trace", f"write a first line {COLUMNS}"
            raise ConfigFault([Fault(str(trace), 1, "", problem, remedy)])
        for line, text in enumerate(stream, 2):
            try:
                at_text, lamp_text, level_text = text.split(",")
                at_s, lamp, level = float(at_text), int(lamp_text), float(level_text)
            except ValueError:
                at_s, lamp, level = math.nan, 0, 0.0
            if not (at_s >= before_s and 0 <= lamp < street.lamps and 0 <= level <= 100):
                problem = f"{shown(text.strip())} is no row of this street"
                remedy = f"write rising seconds, 0 to {street.lamps - 1} and 0 to 100"
                raise ConfigFault([Fault(str(trace), line, "", problem, remedy)])
            before_s = at_s
            yield at_s, lamp, level


def _there(street: Street, events: Path, window: Window, folder: Path) -> list[Person]:
    """Who is there in the window."""
    read_events(events, street, Nights(folder, [(window.from_s, window.to_s)]))
    return people(folder, 0)


def _strips(levels: Sequence[Sequence[float]]) -> Iterator[str]:
    high = STRIP / len(levels)
    for lamp, level in enumerate(levels):
        top = HEAD + STRIP - (lamp + 1) * high
        x = LEFT
        for shade, run in groupby(round(each * SHADES / 100) for each in level):
            wide = len(list(run)) * PLOT // PARTS
            yield (
                f'<rect class="lamp" x="{x}" y="{top + 0.1 * high:.1f}" width="{wide}" '
                f'height="{0.8 * high:.1f}" fill="{_colour(shade / SHADES)}"/>'
            )
            x += wide
        if lamp % math.ceil(len(levels) / 20) == 0:
            y = top + high / 2 + 4
            yield f'<text x="{LEFT - 6}" y="{y:.1f}" text-anchor="end">lamp {lamp}</text>'


def _colour(share: float) -> str:
    return "#" + "".join(
        f"{round(a + (b - a) * share):02x}" for a, b in zip(DARK, LIGHT, strict=True)
    )


def _people(street: Street, there: Sequence[Person], window: Window) -> Iterator[str]:
    """A line each: lamp i is in the middle of its strip."""
    high = STRIP / street.lamps

    def y(at_m: float) -> float:
        return HEAD + STRIP - (at_m / street.spacing_m + 0.5) * high

    for person in there[:MOST_PEOPLE]:
        points = []
        for at_s in (
            max(person.t_s, window.from_s),
            min(person.t_s + person.way_m(street.last_lamp_m) / person.speed_mps, window.to_s),
        ):
            at_m = person.enter_m + person.direction * person.speed_mps * (at_s - person.t_s)
            points.append(f"{window.x(at_s):.1f},{y(at_m):.1f}")
        yield (
            f'<polyline class="person" points="{" ".join(points)}" stroke="{CAR}" '
            'stroke-width="1.2" fill="none"/>'
        )


def _mean(
    street: Street, levels: Sequence[Sequence[float]], dark: Spans, window: Window
) -> Iterator[str]:
    """The street's mean level; by day on a bright ground."""
    top = HEAD + STRIP + GAP
    yield f'<rect x="{LEFT}" y="{top}" width="{PLOT}" height="{POWER}" fill="{DAY}"/>'
    for begin_s, end_s in cut(dark, window.from_s, window.to_s):
        x, wide = window.x(begin_s), window.x(end_s) - window.x(begin_s)
        yield f'<rect x="{x:.1f}" y="{top}" width="{wide:.1f}" height="{POWER}" fill="#eeeef4"/>'
    means = [sum(column) / len(levels) for column in zip(*levels, strict=True)]

    def y(pct: float) -> float:
        return top + POWER - pct / 100 * POWER

    for pct in sorted({0.0, street.floor_pct, street.full_pct}):
        yield (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(pct):.1f}" y2="{y(pct):.1f}" '
            'stroke="#999" stroke-dasharray="4"/>'
        )
        yield f'<text x="{LEFT - 6}" y="{y(pct) + 4:.1f}" text-anchor="end">{pct:g} %</text>'
    points = " ".join(
        f"{LEFT + (x + 0.5) * PLOT / PARTS:.1f},{y(pct):.1f}" for x, pct in enumerate(means)
    )
    yield f'<polyline points="{points}" fill="none" stroke="{LINE}"/>'
    yield f'<text x="{LEFT}" y="{top - 8}">mean level of the street; by day on blue</text>'


def _axis(window: Window, height: int) -> Iterator[str]:
    span_s = window.to_s - window.from_s
    step_s = next((step for step in STEPS_S if span_s / step <= MOST_TICKS), span_s / MOST_TICKS)
    at_s = math.ceil(window.from_s / step_s) * step_s
    ticks = []
    while at_s <= window.to_s:
        ticks.append(at_s)
        at_s += step_s
    for at_s in ticks:
        label = f"{at_s / 3600:g} h" if step_s >= 1800 else f"{at_s:g} s"
        x = window.x(at_s)
        yield f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle">{label}</text>'
