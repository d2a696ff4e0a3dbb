"""What a leak detector saw, drawn as an SVG: its inputs, its statistic, its alarms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import NDArray

from kerbline.control.leaks.balance import BalanceWatch
from kerbline.control.leaks.inflow import SIGMA, InflowWatch
from kerbline.control.leaks.meters import Kind, MeterWatch
from kerbline.control.leaks.network import RAISE_SIGMA

Floats = NDArray[np.float64]
WIDTH, PANEL, LEFT, RIGHT, GAP, HEAD = 1000, 170, 70, 24, 26, 30
COLOURS = ("#1f5f8b", "#c0562b", "#4d7a3a")
ALARM, LIMIT = "#d9483b", "#888888"


@dataclass(slots=True)
class Panel:
    """Lines over the same steps; `limit` is drawn across."""

    title: str
    lines: dict[str, Floats]
    limit: float | None = None


@dataclass(slots=True)
class Trace:
    """What a detector saw and did; alarms as steps from, to (excluded)."""

    title: str
    step_min: int
    panels: Sequence[Panel]
    alarms: list[tuple[int, int]] = field(default_factory=list)


def balance(
    reads: NDArray[np.uint32],
    missing: NDArray[np.bool_] | None,
    inflow_total_l: Floats,
    step_min: int,
) -> Trace:
    """A district's balance."""
    steps = reads.shape[1]
    flow, use, beyond, sigma, size = (np.full(steps, math.nan) for _ in range(5))
    watch = BalanceWatch(reads.shape[0], step_min)
    an_hour = 60 / step_min
    up = np.zeros(steps, np.bool_)
    for step in range(steps):
        present = np.ones(len(reads), np.bool_) if missing is None else ~missing[:, step]
        watch.step(reads[:, step], present, float(inflow_total_l[step]))
        flow[step], use[step] = watch.inflow_l * an_hour, watch.use_l * an_hour
        beyond[step] = watch.off_l * an_hour
        size[step] = sum(watch.lph(alarm) for alarm in watch.alarms)
        sigma[step] = 0.0 if watch.baseline is None else watch.baseline.rising().sigma
        up[step] = bool(watch.alarms)
    panels = [
        Panel("inflow and consumption, L/h", {"inflow": flow, "consumption": use}),
        Panel("beyond what is usual, L/h", {"of this step": beyond, "leak": size}),
        Panel("how sure of a rise, sigma", {"sigma": sigma}, RAISE_SIGMA),
    ]
    return Trace("district balance", step_min, panels, spans(up))


def inflow(flow: Floats, step_min: int) -> Trace:
    """One district's inflow alone, m3/h."""
    steps = len(flow)
    sigma, size = np.full(steps, math.nan), np.full(steps, math.nan)
    watch = InflowWatch(1, step_min)
    up = np.zeros(steps, np.bool_)
    for step in range(steps):
        watch.step(flow[step : step + 1])
        size[step] = float(watch.lph()[0]) / 1000
        up[step] = bool(watch.kept.up[0])
        if watch.week.kept.ready[0]:
            sigma[step] = float(watch.bank.sigmas(watch.week.shape_var()).max())
    panels = [
        Panel("inflow, m3/h", {"inflow": flow, "leak": size}),
        Panel("the surest onset, sigma", {"sigma": sigma}, SIGMA),
    ]
    return Trace("inflow alone", step_min, panels, spans(up))


def meter(
    reads: NDArray[np.uint32], missing: NDArray[np.bool_] | None, number: int, step_min: int
) -> Trace:
    """One consumer meter of those in a file."""
    row = reads[number : number + 1]
    steps = row.shape[1]
    volume, share, size = (np.full(steps, math.nan) for _ in range(3))
    watch = MeterWatch(1, step_min)
    up = np.zeros(steps, np.bool_)
    leaks = was_there = False
    for step in range(steps):
        there = missing is None or not missing[number, step]
        for change in watch.step(row[:, step], np.array([there])):
            leaks = change.up if change.kind is Kind.LEAK else leaks
        up[step] = leaks
        share[step] = float((watch.rests.evidence() / watch.rests.sure).max())
        size[step] = watch.lph(0) if leaks else 0.0
        if was_there and there:
            volume[step] = float(int(row[0, step]) - int(row[0, step - 1]))
        was_there = there
    panels = [
        Panel("volume of a step, L", {"volume": np.clip(volume, 0, None)}),
        Panel("evidence of a leak, of what is needed", {"evidence": share}, 1.0),
        Panel("leak, L/h", {"leak": size}),
    ]
    return Trace(f"consumer meter {number}", step_min, panels, spans(up))


def spans(up: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The stretches that are true, as from and to (excluded)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], up, [False]]).astype(np.int8)))
    return [(begin, end) for begin, end in edges.reshape(-1, 2).tolist()]


def svg(trace: Trace) -> str:
    """The whole drawing."""
    height = HEAD + len(trace.panels) * (PANEL + GAP) + GAP
    steps = len(next(iter(trace.panels[0].lines.values())))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{escape(trace.title)}, '
        f"{len(trace.alarms)} alarms (red)</text>",
    ]
    for number, panel in enumerate(trace.panels):
        parts += _panel(panel, trace, HEAD + number * (PANEL + GAP) + GAP // 2, steps)
    bottom = height - 8
    days = steps * trace.step_min / 1440
    every = max(1, math.ceil(days / 12))
    for day in range(0, math.floor(days) + 1, every):
        x = _x(day * 1440 / trace.step_min, steps)
        parts.append(f'<text x="{x:.1f}" y="{bottom}" text-anchor="middle">day {day}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, trace: Trace, top: int, steps: int) -> Iterator[str]:
    known = np.concatenate([line[np.isfinite(line)] for line in panel.lines.values()])
    limits = [] if panel.limit is None else [panel.limit]
    low = min([0.0, *(float(np.quantile(known, 0.001)) for _ in known[:1])])
    high = max([low, *limits, *(float(np.quantile(known, 0.999)) for _ in known[:1])])
    high = low + 1 if high - low < 1e-6 else high + 0.05 * (high - low)

    def y(value: float) -> float:
        return top + PANEL - (min(max(value, low), high) - low) / (high - low) * PANEL

    size = f'width="{WIDTH - LEFT - RIGHT}" height="{PANEL}"'
    yield f'<rect x="{LEFT}" y="{top}" {size} fill="#f7f7f7"/>'
    for begin, end in trace.alarms:
        x, wide = _x(begin, steps), max(1.0, _x(end, steps) - _x(begin, steps))
        yield (
            f'<rect class="alarm" x="{x:.1f}" y="{top}" width="{wide:.1f}" height="{PANEL}" '
            f'fill="{ALARM}" fill-opacity="0.15"/>'
        )
    for value in (low, (low + high) / 2, high):
        at = f'x="{LEFT - 6}" y="{y(value) + 4:.1f}"'
        yield f'<text {at} text-anchor="end">{_number(value)}</text>'
    if panel.limit is not None:
        at = f'y1="{y(panel.limit):.1f}" y2="{y(panel.limit):.1f}"'
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" {at} stroke="{LIMIT}" stroke-dasharray="4"/>'
    legend = f'<text x="{LEFT + 6}" y="{top + 14}">{escape(panel.title)}'
    for number, (name, line) in enumerate(panel.lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in _thinned(line, steps))
        yield f'<polyline points="{points}" fill="none" stroke="{colour}"/>'
        legend += f'<tspan dx="14" fill="{colour}">{escape(name)}</tspan>'
    yield f"{legend}</text>"


def _thinned(line: Floats, steps: int) -> Iterator[tuple[float, float]]:
    """The least and the most of each pixel's values: peaks stay."""
    width = max(1, steps // (WIDTH - LEFT))
    for begin in range(0, len(line), width):
        some = line[begin : begin + width]
        some = some[np.isfinite(some)]
        if some.size:
            x = _x(begin, steps)
            yield x, float(some.min())
            if width > 1:
                yield x, float(some.max())


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _x(step: float, steps: int) -> float:
    return LEFT + step / steps * (WIDTH - LEFT - RIGHT)
