"""`kerbline light night`: what the lamps of a config do in one night, before it comes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerbline.cli.tables import aligned
from kerbline.errors import KerblineError

if TYPE_CHECKING:
    from kerbline.agent.light.programs import LightPrograms
    from kerbline.control.light.profile import Stored
    from kerbline.control.light.programs import Night

_FILE = click.Path(path_type=Path)
YEARS = range(2025, 2050)  # for which the node's sun was fitted


@click.command()
@click.argument("config", type=_FILE)
@click.option("--on", "on", metavar="YYYY-MM-DD", help="The date it begins on; today's without it.")
@click.option("--lamp", metavar="ASSET", help="One lamp alone.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
def night(config: Path, on: str | None, lamp: str | None, *, as_json: bool) -> int:
    """Tell which levels the lamps of CONFIG have in a night, from when on, and by which program.

    Local times. It is what their nodes keep; orders, rules and people on the street come over it.
    """
    from zoneinfo import ZoneInfo  # it costs a start 20 ms

    from kerbline.agent.light.programs import LightPrograms
    from kerbline.clock import Clock
    from kerbline.config import load

    found = load(config)
    if found.light is None:
        raise KerblineError(f"{config} has no [light], so no lamp has a program here")
    begins = _date(on) if on else datetime.now(ZoneInfo(found.light.time_zone)).date()
    programs = LightPrograms(found, Clock())
    names = programs.lamps()
    if lamp is not None:
        if lamp not in names:
            raise KerblineError(f"no [[lamp_group]] of {config} has the lamp {lamp!r}")
        names = (lamp,)
    of = programs.night_of(begins)
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(json.dumps(told(programs, name, of)), []).append(name)
    for text, lamps in alike.items():
        facts = json.loads(text)
        if as_json:
            click.echo(json.dumps({"night": begins.isoformat(), "lamps": lamps, **facts}))
        else:
            click.echo("\n".join(lines(lamps, facts)))
    return 0


def told(programs: LightPrograms, asset: str, of: Night) -> dict[str, Any]:
    """The levels of a lamp in a night, by local time, and why; none where no program has it."""
    plan = programs.told(asset, of)
    if plan is None:
        return {"why": "no program: its node goes by its own", "levels": []}
    stored = plan.stored
    levels: list[dict[str, Any]] = []
    burns = list(lit(stored, of))
    for at, _, level in burns:
        bound = programs.bounds(asset, at + 60)
        row: dict[str, Any] = {"at": _local(at, of), "level_pct": level}
        if bound is not None and bound.floor.level_pct:
            row |= {"floor_pct": bound.floor.level_pct, "class": bound.floor.class_name}
        if bound is not None and bound.cap:
            row |= {"ceiling_pct": bound.ceiling_pct, "cap": bound.cap}
        levels.append(row)
    if burns:
        levels.append({"at": _local(burns[-1][1], of), "level_pct": 0})
    motion = stored.motion and {
        "level_pct": stored.motion.level_pct,
        "hold_s": stored.motion.hold_s,
    }
    return {"why": plan.why, "levels": levels, "motion": motion, "coarse": stored.coarse}


def lit(stored: Stored, of: Night) -> Iterator[tuple[int, int, int]]:
    """(since, until, level) of a node's night, in UTC seconds; nothing where the sun stays up."""
    dusk, dawn = of.dark(stored.night_deg)
    begin = max(of.begin_s, dusk + 60 * stored.dusk_min)
    end = min(of.end_s, dawn + 60 * stored.dawn_min)
    times = [of.midnight_s + 60 * minute for minute, _ in stored.profile]
    ends = [*times[1:], of.end_s]
    for since, until, (_, level) in zip(times, ends, stored.profile, strict=True):
        if dusk < dawn and begin < until and since < end:
            yield max(since, begin), min(until, end), level


def lines(lamps: list[str], facts: Mapping[str, Any]) -> Iterator[str]:
    """The same for a person."""
    yield f"{', '.join(lamps)}: {facts['why']}"
    if not facts["levels"]:
        yield "  nothing to tell: no night, or no program"
    rows = []
    for row in facts["levels"]:
        more = []
        if row.get("floor_pct"):
            name = row["class"] or "its floor"
            more.append(f"{name} wants {row['floor_pct']} %")
        if row.get("cap"):
            more.append(f"{row['cap']} allows {row['ceiling_pct']} %")
        rows.append((f"  {row['at']}", f"{row['level_pct']:3} %", ", ".join(more)))
    yield from aligned(rows)
    if facts.get("motion"):
        motion = facts["motion"]
        yield f"  on motion {motion['level_pct']} %, for {motion['hold_s']} s after the last"
    if facts.get("coarse"):
        yield "  more levels than a node keeps: some are brighter than the program asks"


def _local(utc_s: int, of: Night) -> str:
    return datetime.fromtimestamp(utc_s, of.zone).strftime("%H:%M")


def _date(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise KerblineError(f"--on {text}: no date; write it as 2026-12-24") from None
    if found.year not in YEARS:
        of = f"write one of {YEARS[0]} to {YEARS[-1]}"
        raise KerblineError(f"--on {text}: no year of the node's sun; {of}")
    return found
