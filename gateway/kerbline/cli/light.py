"""`kerbline light`: a street on paper, lit where somebody is."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerbline.cli.light_night import night
from kerbline.cli.light_year import year

if TYPE_CHECKING:
    from kerbline.sim.lit_street import Outcome

_FILE = click.Path(path_type=Path)


class _Number(click.FloatRange):
    """One in a range, which NaN is not."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value!r} is not a number", param, ctx)
        return found


@click.group("light")
def group() -> None:
    """Streets that are bright where somebody is."""


group.add_command(night)
group.add_command(year)


@group.command()
@click.argument("street", metavar="STREET.toml", type=_FILE)
@click.option("--events", type=_FILE, required=True, help="Who comes when: CSV.")
@click.option("--out", type=_FILE, required=True, help="The lamps' levels: CSV.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the losses.")
@click.option("--jobs", type=click.IntRange(0, 256), default=0, help="Processes; 0: one a core.")
@click.option(
    "--every",
    "every_pct",
    metavar="PCT",
    type=_Number(0, 50),
    help="Rows of a fade; 0: each change. Without it a long run has a row each 20 %.",
)
def simulate(
    street: Path, events: Path, out: Path, seed: int, jobs: int, every_pct: float | None
) -> int:
    """Play a street of STREET.toml with the people of EVENTS.csv and write its lamps' levels.

    The lamps run the node's own code and the gateway's own; messages between them are late and
    lost as the file says. Prints what it took, beside dusk to dawn at full light and beside
    somebody who knows at each moment where everyone is.
    """
    from kerbline.sim import lit_street
    from kerbline.sim.lit_street_files import read_street

    for read in (street, events):
        if out.is_file() and read.exists() and out.samefile(read):
            raise click.UsageError(f"--out: {out.name} is read, too; write another name")
    plan, passed_over = read_street(street)
    for line in passed_over:
        click.echo(f"warning: {line}", err=True)

    def tell(done: int, of: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done} of {of} nights", err=True, nl=done == of)

    found = lit_street.simulate(
        plan, events, out, seed=seed, jobs=jobs, every_pct=every_pct, progress=tell
    )
    if every_pct is None and found.every_pct:
        click.echo(
            f"{out}: of a fall a row each {found.every_pct:g} %, of a rise one at its end; "
            "--every 0 writes each change",
            err=True,
        )
    click.echo("\n".join(told(found)))
    return 0


@group.command()
@click.argument("street", metavar="STREET.toml", type=_FILE)
@click.argument("trace", metavar="TRACE.csv", type=_FILE)
@click.option("--events", type=_FILE, help="Draw who was where, too.")
@click.option("--from", "from_s", type=_Number(0), help="Seconds from the start.")
@click.option("--to", "to_s", type=_Number(0), help="Seconds from the start.")
@click.option("--out", type=_FILE, required=True, help="The drawing, an SVG.")
def plot(
    street: Path,
    trace: Path,
    events: Path | None,
    from_s: float | None,
    to_s: float | None,
    out: Path,
) -> int:
    """Draw what `simulate` wrote: how bright each lamp was, and who went by."""
    import tempfile

    from kerbline.cli import light_plot
    from kerbline.sim.lit_street_files import read_street

    plan, _ = read_street(street)
    window = light_plot.Window(from_s or 0.0, plan.end_s if to_s is None else to_s)
    if window.to_s <= window.from_s or window.from_s >= plan.end_s:
        raise click.UsageError(f"from {window.from_s:g} s to {window.to_s:g} s is no time of it")
    with tempfile.TemporaryDirectory() as folder:
        out.write_text(light_plot.drawing(plan, trace, events, window, Path(folder)), "utf-8")
    return 0


def told(found: Outcome) -> list[str]:
    """What a run took, for a person."""
    tally, street = found.tally, found.street
    lines = [
        f"{found.nights} nights, {tally.dark_s / 3600:.1f} h of dark, {street.lamps} lamps",
        f"{found.events} events, {tally.people} in the dark; {tally.messages} messages, "
        f"{tally.rows} rows",
        f"energy by night        {found.kwh:12.3f} kWh  {100 * found.saved:6.2f} % saved",
        f"dusk to dawn at full   {found.always_kwh:12.3f} kWh",
        f"by one who knows all   {found.clairvoyant_kwh:12.3f} kWh  "
        f"{100 * found.clairvoyant_saved:6.2f} % saved",
    ]
    if found.clairvoyant_saved > 0:
        share = 100 * found.saved / found.clairvoyant_saved
        lines.append(f"of what such a one saves      {share:6.2f} %")
    lines.append(f"standby by day, beside {found.standby_day_kwh:12.3f} kWh")
    return lines
