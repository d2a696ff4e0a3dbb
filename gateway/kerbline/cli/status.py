"""`kerbline status`: how the gateway of a config is this moment, for people or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from kerbline.cli.tables import Row, aligned

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("config", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object.")
def status(config: Path, *, as_json: bool) -> int:
    """Tell how a running gateway is: nodes, lines, devices, sinks, store. Status 1 if none runs."""
    from kerbline.config import load
    from kerbline.local_socket import SOCKET_FILE, ask

    found = ask(load(config).gateway.state_dir / SOCKET_FILE, {"ask": "status"})
    click.echo(json.dumps(found) if as_json else "\n".join(told(found)))
    return 0


def told(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a status, tables aligned."""
    now_ms = found["at_ms"]
    street_ms = found.get("street_ms", now_ms)  # of an older gateway: none
    simulated = "" if street_ms == now_ms else f", {_instant(street_ms)} in its street"
    yield (
        f"gateway {found['gateway']}, kerbline {found['version']}, "
        f"up {_span(found['up_s'])}, {_instant(now_ms)} UTC{simulated}"
    )
    yield from _table("nodes", [_node(node, now_ms) for node in found["nodes"]])
    for line in found["lines"]:
        if "units" in line:
            yield from _bus(line)
    serials = [_serial(line) for line in found["lines"] if "telegrams" in line]
    head = ("device", "port", "line", "telegrams", "broken", "readings")
    yield from _table("serial devices", [head, *serials] if serials else [])
    yield from _table("sinks", [_sink(sink) for sink in found["sinks"]])
    yield _store(found["store"])
    if found.get("assets"):
        yield _assets(found["assets"])
    yield from _control(found.get("control", {}))
    zones = found.get("zones", {}).items()
    yield from _table("zones", [_zone(name, zone, street_ms) for name, zone in zones])
    stations = found.get("air", {}).items()
    yield from _table("air", [_station(name, each, street_ms) for name, each in stations])
    counted = ", ".join(f"{kind} {count}" for kind, count in found["counters"].items())
    if counted:
        yield f"counted since the start: {counted}"


def _instant(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _node(node: Mapping[str, Any], now_ms: int) -> Row:
    since = node["since_ms"]
    state = "online" if node["online"] else "offline"
    spent = "not heard yet" if since is None else f"{state} for {_span((now_ms - since) / 1000)}"
    made = " ".join(text for text in (node["firmware"], node["board"], node["build"]) if text)
    return node["node"], node["asset"], node["kind"], spent, made


def _bus(bus: Mapping[str, Any]) -> Iterator[str]:
    """A bus in a line, and a row for each unit of the config, or that answers others."""
    line = f"open, {bus['utilisation']:.0%} in use" if bus["up"] else "NOT THERE"
    units = sorted(bus["units"], key=lambda unit: int(unit["unit"]))
    rows = [_unit(unit) for unit in units if unit["asset"] or unit["answers"]]
    head = ("unit", "asset", "health", "time-out", "answers", "faults")
    yield from _table(f"bus {bus['name']} at {bus['port']}: {line}", [head, *rows])


def _unit(unit: Mapping[str, Any]) -> Row:
    faults = ", ".join(f"{code} {count}" for code, count in sorted(unit["faults"].items()))
    return (
        str(unit["unit"]),
        unit["asset"] or "(not ours)",
        _HEALTH[unit["health"]],
        f"{unit['timeout_ms']:.0f} ms",
        str(unit["answers"]),
        faults,
    )


_HEALTH = {
    "unheard": "not asked yet",
    "good": "good",
    "failing": "failing",
    "open": "silent, probed",
}


def _serial(device: Mapping[str, Any]) -> Row:
    up = "open" if device["up"] else "NOT THERE"
    return (
        device["name"],
        device["port"],
        device["trouble"] if device["up"] and device["trouble"] else up,
        str(device["telegrams"]),
        str(device["broken_telegrams"]),
        str(device["readings"]),
    )


def _sink(sink: Mapping[str, Any]) -> Row:
    behind = sink["batches_behind"]
    reached = "connected" if sink["connected"] else "not connected"
    told = f"{behind} batches behind" if behind else "up to date"
    if letters := sink.get("dead_letters"):
        told += f", {letters} dead letters"
    if held := sink.get("personal_held_back"):
        told += f", {held} personal entries held back"
    return sink["name"], reached, told


def _store(store: Mapping[str, Any]) -> str:
    said = f"store: {store['used_bytes'] / 1e6:.1f} MB, {store['pending']} readings not stored yet"
    if store["blocked"]:
        said += f", REFUSED by the disk: {store['blocked']}"
    if store["given_up"]:
        said += f", {store['given_up']} given up because it was full"
    return said


def _assets(assets: Mapping[str, Any]) -> str:
    if assets["lost"]:
        return "assets: THE LIST CAN'T BE READ; see the log, import it again with --replace"
    lacking = assets["not_listed"]
    said = f"assets: {assets['listed']:,} in the list"
    return f"{said}; not in it: {', '.join(lacking)}" if lacking else said


def _control(control: Mapping[str, Any]) -> Iterator[str]:
    """Whom its sections name and can't have; of an older gateway nothing is known."""
    from kerbline.config.awaited import Awaited, Misfit

    for each in control.get("awaited", ()):
        yield str(Awaited(each["asset"], tuple(each["where"]), each["near"]))
    for each in control.get("misfits", ()):
        where = tuple(each["where"])
        yield f"CAN'T TAKE PART: {Misfit(each['asset'], each['kind'], each['wanted'], where)}"


def _zone(name: str, zone: Mapping[str, int], now_ms: int) -> Row:
    behind = f"water told but for the last {_span((now_ms - zone['open_from_ms']) / 1000)}"
    late = f"{zone['late_hours']} hours of meters too late" if zone["late_hours"] else ""
    unsure = f"{zone['unsure']} reports of no sure time" if zone["unsure"] else ""
    return name, behind, late, unsure


def _station(name: str, station: Mapping[str, int], now_ms: int) -> Row:
    behind = f"hours told but for the last {_span((now_ms - station['open_from_ms']) / 1000)}"
    late = f"{station['late_samples']} samples too late" if station["late_samples"] else ""
    return name, behind, late


def _table(name: str, rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        yield name if ":" in name else f"{name}:"
        for row in aligned(rows):
            yield f"  {row}"


def _span(seconds: float) -> str:
    """A time span in its two largest units: "3 d 4 h", "12 s"."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
