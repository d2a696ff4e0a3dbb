"""`kerbline leaks status` and `close-valve`: the districts of a running gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerbline.cli.tables import aligned
from kerbline.errors import KerblineError

if TYPE_CHECKING:
    from kerbline.config import Config, Valve

_FILE = click.Path(path_type=Path)
ANSWER_S = 10.0
DAY_MS = 86_400_000


class NoSuchAlarm(KerblineError):
    """The alarm is not up, or nothing can be closed for it."""


@click.command()
@click.argument("config", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object.")
def status(config: Path, *, as_json: bool) -> int:
    """Tell each district's inflow, losses and leaks. Status 1 if no gateway runs."""
    from kerbline.config import load

    found = _asked(load(config))
    click.echo(json.dumps(found) if as_json else "\n".join(told(found)))
    return 0


@click.command("close-valve")
@click.argument("config", type=_FILE)
@click.argument("alarm")
@click.option("--confirm", is_flag=True, help="Close it: people behind it will have no water.")
@click.option("--within", type=click.FloatRange(1, 300), default=30.0, show_default=True)
def close_valve(config: Path, alarm: str, within: float, *, confirm: bool) -> int:
    """Close the valve of the district where ALARM (asset:rule) is up; never without --confirm.

    It is written as `kerbline modbus write` does it. Status 1 unless it is OK.
    """
    from kerbline.config import load
    from kerbline.local_socket import SOCKET_FILE, ask

    loaded = load(config)
    valve = _valve(loaded, alarm)
    wanted = ", ".join(f"{name} = {value}" for name, value in valve.close.items())
    if not confirm:
        click.echo(f"{valve.asset}: {wanted} would be written; add --confirm to do it", err=True)
        return 1
    values = dict(valve.close)
    question = {"ask": "modbus-write", "asset": valve.asset, "values": values, "within_s": within}
    answer = ask(loaded.gateway.state_dir / SOCKET_FILE, question, within + ANSWER_S)
    reason = f": {answer['reason']}" if answer["reason"] else ""
    click.echo(f"{valve.asset}: {wanted}: {answer['state']}{reason} (order {answer['id']})")
    return int(answer["state"] != "OK")


@click.command()
@click.argument("config", type=_FILE)
@click.argument("alarm")
def accept(config: Path, alarm: str) -> int:
    """Take what ALARM (zone:district_balance or zone:district_inflow) tells for usual.

    It was looked for, and is no leak. It holds as soon as this says so, whatever ends the gateway.
    """
    from kerbline.config import load
    from kerbline.local_socket import SOCKET_FILE, ask

    path = load(config).gateway.state_dir / SOCKET_FILE
    found = ask(path, {"ask": "leaks-accept", "alarm": alarm})
    click.echo(f"{alarm}: usual from {instant(found['from_ms'])} UTC on; the alarm is over")
    return 0


def told(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a status."""
    heading = ("district", "inflow", "meters", "looked at up to", "")
    yield from aligned([heading, *map(_district, found["districts"])])
    for each in found["districts"]:
        if each["balance"]:
            yield f"{each['zone']}, {_balance(each['balance'])}"
    alarms = [alarm for each in found["districts"] for alarm in each["alarms"]]
    if not alarms:
        yield "no leak is known"
        return
    head = ("alarm", "severity", "size", "lost so far", "since", "sure")
    yield from aligned([head, *map(_alarm, alarms)])


def _district(one: Mapping[str, Any]) -> tuple[str, ...]:
    flow = "not known" if one["inflow_lph"] is None else f"{one['inflow_lph']:,} L/h"
    meters = f"{one['read_meters']:,} of {one['meters']:,} read" if one["meters"] else "none"
    judged = "nothing yet" if one["judged_ms"] < 0 else instant(one["judged_ms"])
    doubts = ["learning"] if one["learning"] else []
    doubts += [f"{main} not read" for main in one["silent"]]
    if one["too_late"]:
        doubts.append(f"{one['too_late']:,} reads too late")
    return one["zone"], flow, meters, judged, ", ".join(doubts)


def _balance(balance: Mapping[str, Any]) -> str:
    day = f"{datetime.fromtimestamp((balance['end_ms'] - DAY_MS) / 1000, UTC):%Y-%m-%d}"
    parts = []
    if "input_l" in balance:
        parts.append(f"{balance['input_l']:,} L in")
    if "consumed_l" in balance:
        parts.append(f"{balance['consumed_l']:,} L used")
    if "losses_l" in balance:
        share = f" ({balance['losses_pct']} %)" if "losses_pct" in balance else ""
        parts.append(f"{balance['losses_l']:,} L lost{share}")
    if "leakage_index" in balance:
        parts.append(f"leakage index {balance['leakage_index']}")
    if "least_flow_lph" in balance:
        parts.append(f"least hour {balance['least_flow_lph']:,} L/h")
    return f"{day}: {', '.join(parts) or 'not known'}"


def _alarm(alarm: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{alarm['asset']}:{alarm['rule']}",
        alarm["severity"],
        f"{alarm['lph']:,.4g} L/h",
        f"{alarm['lost_l']:,} L",
        instant(alarm["since_ms"]),
        f"{alarm['sure_pct']} %",
    )


def instant(at_ms: int) -> str:
    """A time for people, UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"


def _asked(config: Config) -> Mapping[str, Any]:
    from kerbline.local_socket import SOCKET_FILE, ask

    return ask(config.gateway.state_dir / SOCKET_FILE, {"ask": "leaks"})


def _valve(config: Config, alarm: str) -> Valve:
    """What may be closed for an alarm that is up now."""
    alarms = {
        f"{alarm['asset']}:{alarm['rule']}": district["zone"]
        for district in _asked(config)["districts"]
        for alarm in district["alarms"]
    }
    if alarm not in alarms:
        known = ", ".join(sorted(alarms)) or "none"
        raise NoSuchAlarm(f"{alarm} is not up, so nothing is closed for it; up now: {known}")
    for district in config.districts:
        if district.zone == alarms[alarm] and district.valve is not None:
            return district.valve
    raise NoSuchAlarm(f"district {alarms[alarm]} has no valve: add [district.valve] and restart")
