"""`kerbline control replay`: what another config would have done with what happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerbline.cli.moments import Moment
from kerbline.cli.tables import aligned

if TYPE_CHECKING:
    from kerbline.agent.light.replayed_figures import Replayed

_FILE = click.Path(path_type=Path)
OURS = "rule-"  # what alarms are called that are replayed: those of [[rule]]
NOT_OURS = "-"


@click.group("control")
def group() -> None:
    """What the gateway decides for lamps."""


@group.command()
@click.option("--config", type=_FILE, required=True, help="The config that would have run.")
@click.option("--store", type=_FILE, help="The log of what was; the config's own without it.")
@click.option("--from", "from_ms", type=Moment(), required=True, help="From this time on.")
@click.option("--to", "to_ms", type=Moment(), required=True, help="Before this time.")
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object.")
def replay(config: Path, store: Path | None, from_ms: int, to_ms: int, *, as_json: bool) -> int:
    """Run the control of a config over what a store holds, and tell both beside each other.

    The lamps run their nodes' own code on the motions that were seen and the orders that were
    given. Reads only; a gateway may be running.
    """
    from kerbline.agent.light.replayed_night import Span
    from kerbline.agent.light.replayed_night import replay as run
    from kerbline.cli.claims import with_joined
    from kerbline.config import load
    from kerbline.store import FILE_NAME

    made = with_joined(load(config))
    path = made.gateway.state_dir / FILE_NAME if store is None else store
    found = run(made, path, Span(from_ms, to_ms))
    click.echo(json.dumps(to_json(found)) if as_json else "\n".join(told(found)))
    return 0


def to_json(found: Replayed) -> dict[str, Any]:
    """All of it; `known_share` is of the lamp hours, over which both are counted."""
    (would_kwh, did_kwh), (would_s, did_s) = found.kwh(), found.low_lamp_s()
    alike, reports = found.alike()
    return {
        "from": _instant(found.from_ms),
        "to": _instant(found.to_ms),
        "lamps": len(found.lamps),
        "log_from": _instant(found.log_from_ms),
        "log_to": _instant(found.log_to_ms),
        "lamp_hours": round(found.lamp_hours, 3),
        "known_share": round(found.known_hours / found.lamp_hours, 4),
        "gaps": dict(found.gaps),
        "lamps_without_watts": found.without_watts,
        "decisions_kept_from": _instant(found.decided_from_ms) if found.decided_from_ms else None,
        "would_have_been": {
            "energy_kwh": round(would_kwh, 4),
            "below_floor_lamp_s": round(would_s, 1),
            "raised": found.would_switch.taken,
            "let_go": found.would_switch.left,
            "alarms": dict(found.would_alarm),
        },
        "did": {
            "energy_kwh": round(did_kwh, 4),
            "below_floor_lamp_s": round(did_s, 1),
            "raised": found.did_switch.taken,
            "let_go": found.did_switch.left,
            "alarms": dict(found.did_alarm),
        },
        "reports": reports,
        "reports_alike": alike,
    }


def told(found: Replayed) -> Iterator[str]:
    """Both beside each other, for a person."""
    yield f"{_instant(found.from_ms)} to {_instant(found.to_ms)}, {len(found.lamps)} lamps"
    known = 100 * found.known_hours / found.lamp_hours
    yield f"known: {found.known_hours:.1f} of {found.lamp_hours:.1f} lamp hours ({known:.1f} %)"
    if known < 100:
        yield "energy and floors count over that time alone"
        gaps = ", ".join(f"{reason} {count}" for reason, count in sorted(found.gaps.items()))
        if gaps:
            yield f"gaps that the log declares: {gaps}"
        if found.from_ms < found.log_from_ms:
            yield f"the log begins at {_instant(found.log_from_ms)}"
        if found.to_ms > found.log_to_ms:
            yield f"the log ends at {_instant(found.log_to_ms)}"
    if found.without_watts:
        names = ", ".join(found.without_watts[:5])
        yield f"energy without {len(found.without_watts)} lamps that told no power: {names}:"
        yield "  give their [[lamp_group]] its lamp_w"
    (would_kwh, did_kwh), (would_s, did_s) = found.kwh(), found.low_lamp_s()
    would, did = found.would_switch, found.did_switch
    rows = [
        ("", "would have been", "did"),
        ("energy, kWh", f"{would_kwh:.3f}", f"{did_kwh:.3f}"),
        ("below the floor, lamp seconds", f"{would_s:.0f}", f"{did_s:.0f}"),
        ("lamps raised by control", f"{would.taken}", f"{did.taken}"),
        ("lamps let go", f"{would.left}", f"{did.left}"),
    ]
    for rule in sorted({*found.would_alarm, *found.did_alarm}):
        is_ours = rule.startswith(OURS)
        one = str(found.would_alarm.get(rule, 0)) if is_ours else NOT_OURS
        rows.append((f"alarms {rule}", one, str(found.did_alarm.get(rule, 0))))
    yield from aligned(rows)
    if found.decided_from_ms:
        yield f"decisions are kept from {_instant(found.decided_from_ms)} on: before, none counts"
    alike, reports = found.alike()
    if reports:
        share = 100 * alike / reports
        yield f"levels as told within 5 %: {alike} of {reports} reports ({share:.1f} %)"


def _instant(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
