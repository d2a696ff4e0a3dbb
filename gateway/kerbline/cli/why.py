"""`kerbline why`: what an alarm was raised for, why a lamp has its level: from the store alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerbline.cli.moments import Moment
from kerbline.cli.tables import aligned
from kerbline.errors import KerblineError

if TYPE_CHECKING:
    from kerbline.clock import Clock
    from kerbline.config import Config
    from kerbline.model import Alarm, Value

_FILE = click.Path(path_type=Path)
LAMP = "streetlight"
RULE = "rule-"  # what the alarms of [[rule]] are called, and their name
OTHERS = "a rule of the gateway or of a device"
SHOWN = 12  # of an alarm's history, the newest

RULES: Mapping[str, str] = {
    "continuous_flow": "the meter's flow has not rested once for as long as its [[leak]] allows",
    "district_balance": "more flows into the district than its meters take and it used to lose",
    "district_inflow": "the inflow is above its usual week, by as much in the night as by day",
    "meter_backflow": "water has flowed back through the meter",
    "meter_burst": "more flows through the meter than any use of a home",
    "meter_leak": "the meter has not stood still for as long, or as often, as it used to",
    "meter_stuck": "the meter has not counted a litre for weeks: it is stuck, or nobody is there",
    "store_lost": "the gateway's store was damaged and is set aside",
    "assets_lost": "the gateway's list of assets can't be read",
}
FACTS: Mapping[str, str] = {
    "accepted_ms": "taken for usual by an operator, from then on",
    "age_h": "hours since it began, as it looked",
    "beyond_usual_lph": "beyond what is usual, L/h",
    "cleared_ms": "over",
    "days": "days without a litre",
    "days_without": "days without a pause as long as below",
    "hours": "hours of such flow",
    "inflow_lph": "inflow then, L/h",
    "leak_pct": "of the usual inflow, %",
    "level_pct": "inflow without the leak, of the usual, %",
    "limit_h": "hours that are allowed",
    "litres": "litres",
    "longest_pause_h": "longest pause of two days, h",
    "lost_l": "lost so far, L",
    "lph": "size, L/h",
    "never_rested_h": "hours without a rest",
    "passed_l": "litres that passed",
    "raised_ms": "raised",
    "reads": "reads that were looked at",
    "rest_h": "pause that a leak of this size does not allow, h",
    "sigma": "as many standard deviations from chance",
    "since_ms": "began, as it looked",
    "smallest_flow_lph": "smallest flow, L/h",
    "sure_pct": "sure, %",
    "usual_days_pct": "days that usually have such a pause, %",
    "valve": "valve that an operator may close (`kerbline leaks close-valve`)",
    "version": "version of the rule",
    "zone": "district",
}


class NoSuchAlarm(KerblineError):
    """The log has no alarm of that name."""


@click.command()
@click.argument("config", type=_FILE)
@click.argument("alarm")
@click.option("--at", "at_ms", type=Moment(), help="A lamp's level at that time; now without it.")
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object an entry.")
def why(config: Path, alarm: str, at_ms: int | None, *, as_json: bool) -> int:
    """Tell why ALARM (an asset, or asset:rule) was raised, and what became of it.

    Of a lamp, why it has its level; of a rule's name, what it did. From the store, whether the
    gateway runs or not.
    """
    from kerbline.cli.claims import with_joined
    from kerbline.config import load
    from kerbline.store import FILE_NAME

    made = with_joined(load(config))
    path = made.gateway.state_dir / FILE_NAME
    if any(node.asset == alarm and node.kind == LAMP for node in made.nodes):
        _light(made, path, alarm, at_ms, as_json=as_json)
        if at_ms is not None or as_json or not _found(path, alarm)[0]:
            return 0
        click.echo("")
    elif any(rule.name == alarm for rule in made.rules):
        _rule(made, path, alarm, at_ms, as_json=as_json)
        return 0
    found, unreadable = _found(path, alarm)
    if unreadable:
        click.echo(f"{unreadable} batches can't be read: see `kerbline store verify`", err=True)
    if not found:
        known = _names(path)
        raise NoSuchAlarm(f"{alarm}: the log has no such alarm; it has {known}")
    if as_json:
        from kerbline.store.entries import to_json

        for each in found:
            click.echo(json.dumps(to_json(each)))
        return 0
    by_rule: dict[tuple[str, str], list[Alarm]] = {}
    for each in found:
        by_rule.setdefault((each.asset, each.rule), []).append(each)
    click.echo("\n\n".join("\n".join(told(each)) for each in by_rule.values()))
    return 0


def _light(config: Config, path: Path, lamp: str, at_ms: int | None, *, as_json: bool) -> None:
    from kerbline.cli import why_light

    clock = _clock(config)
    at_ms = clock.street_ms(clock.utc_ms()) if at_ms is None else at_ms
    found = why_light.look(config, path, lamp, at_ms, clock)
    click.echo(why_light.to_json(found) if as_json else "\n".join(why_light.told(found)))


def _rule(config: Config, path: Path, name: str, at_ms: int | None, *, as_json: bool) -> None:
    from kerbline.cli import why_rule

    clock = _clock(config)
    at_ms = clock.street_ms(clock.utc_ms()) if at_ms is None else at_ms
    found = why_rule.look(config, path, name, at_ms)
    click.echo(why_rule.to_json(found) if as_json else "\n".join(why_rule.told(found)))


def _clock(config: Config) -> Clock:
    from kerbline.clock import Clock, StreetTable

    table = config.simulation.clock_table.read_bytes() if config.simulation else b"[]"
    return Clock(StreetTable.parse(table))


def told(history: Sequence[Alarm]) -> Iterator[str]:
    """One alarm's lines, of all that was told of it."""
    last = history[-1]
    state = f"up, {last.severity}" if last.active else "over"
    yield f"{last.asset}:{last.rule}: {state}"
    own = "the [[rule]] of that name in the config" if last.rule.startswith(RULE) else OTHERS
    yield f"  {RULES.get(last.rule, own)}"
    facts = [
        (f"  {FACTS.get(name, name)}", _value(name, value)) for name, value in last.evidence.items()
    ]
    yield from aligned(facts)
    rows = [("  told", "", "size, L/h", "lost, L"), *map(_row, history[-SHOWN:])]
    if len(history) > SHOWN:
        yield f"  told {len(history)} times, the last {SHOWN}:"
    yield from aligned(rows)


def _row(alarm: Alarm) -> tuple[str, ...]:
    what = str(alarm.severity) if alarm.active else "over"
    size, lost = (_value(name, alarm.evidence.get(name, "")) for name in ("lph", "lost_l"))
    return f"  {_instant(alarm.observed_at_ms)}", what, size, lost


def _value(name: str, value: Value) -> str:
    if name.endswith("_ms") and isinstance(value, int):
        return _instant(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}"


def _instant(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _found(path: Path, wanted: str) -> tuple[list[Alarm], int]:
    """Alarms of that asset, or asset and rule, oldest first; and how many batches can't be read."""
    asset, _, rule = wanted.partition(":")
    alarms, unreadable = _alarms(path)
    fit = [each for each in alarms if each.asset == asset and rule in ("", each.rule)]
    return fit, unreadable


def _names(path: Path) -> str:
    names = sorted({f"{each.asset}:{each.rule}" for each in _alarms(path)[0]})
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) + more) or "none"


def _alarms(path: Path) -> tuple[list[Alarm], int]:
    from kerbline.model import Alarm
    from kerbline.store.entries import Garbled, decoded, inflated
    from kerbline.store.reader import Reader

    found: list[Alarm] = []
    unreadable = 0
    reader = Reader.open(path)
    try:
        for row in reader.batches():
            try:
                body = inflated(*row)
                if b'"type":"alarm"' in body:
                    found += [each for each in decoded(body) if isinstance(each, Alarm)]
            except Garbled:
                unreadable += 1
    finally:
        reader.close()
    return found, unreadable
