"""`kerbline leaks`: run the leak detectors over recorded series, and draw what they saw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from kerbline.cli import districts

_FILE = click.Path(path_type=Path)
_series = click.argument("series", metavar="FILE.npz", type=_FILE)
_step = click.option(
    "--step-min",
    type=click.IntRange(1, 1440),
    required=True,
    help="Minutes between two values; a day is a whole number of steps.",
)
_out = click.option("--out", type=_FILE, required=True, help="The alarms, as JSON.")


@click.group("leaks")
def group() -> None:
    """Leaks: how districts are, and how the detectors do on recorded series."""


group.add_command(districts.status)
group.add_command(districts.close_valve)
group.add_command(districts.accept)


@group.group()
def score() -> None:
    """Run a detector over a file, step by step as it would have seen it, and write its alarms.

    Steps count from 0; "start" is the step whose data raised the alarm.
    """


@score.command("dma-inflow")
@_series
@_step
@_out
def dma_inflow(series: Path, step_min: int, out: Path) -> int:
    """A district's inflow alone: `inflow` (series x time, m3/h, NaN where missing).

    Writes for each series a list of {"start", "end"}; "end" is exclusive, null while it lasts.
    """
    from kerbline import leakfiles

    inflow = leakfiles.read_inflow(series, step_min)
    from kerbline.control.leaks import inflow as detector

    return _write(out, detector.score(inflow, step_min))


@score.command("dma-balance")
@_series
@_step
@_out
def dma_balance(series: Path, step_min: int, out: Path) -> int:
    """A district's inflow against its meters: `reads`, `inflow_total_l`, perhaps `missing`.

    Writes {"network": [{"start", "end", "lph"}], "customer": [{"meter", "start", "lph"}]}.
    """
    from kerbline import leakfiles

    found = leakfiles.read_meters(series, step_min)
    total_l = leakfiles.read_inflow_total(series, found.reads.shape[1])
    from kerbline.control.leaks import balance as detector

    return _write(out, detector.score(found.reads, found.missing, total_l, step_min))


@score.command("meters")
@_series
@_step
@_out
def meters(series: Path, step_min: int, out: Path) -> int:
    """Consumer meters: `reads` (meters x time, uint32 litres), perhaps `missing` (packed bits).

    Writes {"customer": [{"meter", "start", "lph"}]}.
    """
    from kerbline import leakfiles

    found = leakfiles.read_meters(series, step_min)
    from kerbline.control.leaks import meters as detector

    return _write(out, detector.score(found.reads, found.missing, step_min))


@group.group()
def plot() -> None:
    """Draw what a detector saw in a file as an SVG: inputs, statistic and limit, alarms."""


_drawing = click.option("--out", type=_FILE, required=True, help="The drawing, an SVG.")


@plot.command("dma-inflow")
@_series
@_step
@_drawing
@click.option("--series", "number", type=click.IntRange(0), default=0, help="Which, from 0.")
def plot_inflow(series: Path, step_min: int, out: Path, number: int) -> int:
    """One series of `inflow`."""
    from kerbline import leakfiles

    inflow = leakfiles.read_inflow(series, step_min)
    leakfiles.check_number(series, "inflow", number, len(inflow))
    from kerbline.cli import leak_plot

    return _draw(out, leak_plot.svg(leak_plot.inflow(inflow[number], step_min)))


@plot.command("dma-balance")
@_series
@_step
@_drawing
def plot_balance(series: Path, step_min: int, out: Path) -> int:
    """A district's inflow, its meters, and what is between them."""
    from kerbline import leakfiles

    found = leakfiles.read_meters(series, step_min)
    total_l = leakfiles.read_inflow_total(series, found.reads.shape[1])
    from kerbline.cli import leak_plot

    trace = leak_plot.balance(found.reads, found.missing, total_l, step_min)
    return _draw(out, leak_plot.svg(trace))


@plot.command("meters")
@_series
@_step
@_drawing
@click.option("--meter", "number", type=click.IntRange(0), default=0, help="Which, from 0.")
def plot_meter(series: Path, step_min: int, out: Path, number: int) -> int:
    """One consumer meter."""
    from kerbline import leakfiles

    found = leakfiles.read_meters(series, step_min)
    leakfiles.check_number(series, "reads", number, len(found.reads))
    from kerbline.cli import leak_plot

    trace = leak_plot.meter(found.reads, found.missing, number, step_min)
    return _draw(out, leak_plot.svg(trace))


def _draw(out: Path, drawing: str) -> int:
    out.write_text(drawing, encoding="utf-8")
    return 0


def _write(out: Path, alarms: Any) -> int:  # noqa: ANN401 - each detector's own form, all JSON
    out.write_text(json.dumps(alarms) + "\n", encoding="utf-8")
    return 0
