"""`kerbline update`: releases to the nodes of a running gateway, a stage at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from kerbline.cli.tables import Row, aligned

LONG_MIN = 5  # what takes longer is told
VERIFY_S = 120.0  # for a gateway to copy and verify a bundle on a slow card
_FILE = click.Path(path_type=Path)
_config = click.argument("config", type=_FILE)
_json = click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object.")

# In the order in which a person wants to read them.
_STATES = {
    "failed": "failed",
    "given_up": "given up",
    "trial": "on trial",
    "ordered": "starting",
    "staged": "staged",
    "image": "receiving image",
    "parts": "receiving",
    "manifest": "receiving",
    "due": "due",
    "waiting": "waiting",
    "skipped": "left out",
    "done": "done",
}


@click.group(name="update")
def group() -> None:
    """Bring a signed release to many nodes: start, look, pause, resume, abort."""


@group.command()
@_config
@click.argument("bundle", type=_FILE)
@click.option("--nodes", multiple=True, metavar="ID,...", help="These nodes only.")
@click.option("--assets", multiple=True, metavar="ID,...", help="The nodes of these assets.")
@click.option("--zone", "zones", multiple=True, help="The nodes in this zone of the city.")
@click.option(
    "--stages",
    default="1,10,100%",
    show_default=True,
    help="Percent of the nodes, rising: the next stage begins when one went well.",
)
@click.option(
    "--soak",
    "soak_min",
    type=click.IntRange(0),
    default=30,
    show_default=True,
    metavar="MIN",
    help="Minutes that a stage is watched before the next one.",
)
@click.option(
    "--window",
    metavar="HH:MM-HH:MM",
    help="Local hours in which nodes restart; transfers go on at any time.",
)
@_json
def start(
    config: Path,
    bundle: Path,
    *,
    nodes: tuple[str, ...],
    assets: tuple[str, ...],
    zones: tuple[str, ...],
    stages: str,
    soak_min: int,
    window: str | None,
    as_json: bool,
) -> int:
    """Begin a campaign with BUNDLE; the gateway verifies and copies it before it answers."""
    question = {
        "ask": "update-start",
        "bundle": str(bundle.absolute()),
        "nodes": _listed("--nodes", nodes),
        "assets": _listed("--assets", assets),
        "zones": _listed("--zone", zones),
        "stages": stages,
        "soak_min": soak_min,
        "window": window,
    }
    found = _ask(config, question)
    if as_json:
        click.echo(json.dumps(found))
        return 0
    ends = found["stages"]
    click.echo(
        f"release {found['version']} (sequence {found['sequence']}, build {found['build']}) for "
        f"{found['board']}: {_nodes(found['nodes'])}, in stages of {', '.join(map(str, ends))}"
    )
    if found["silent"]:
        click.echo(f"{_nodes(found['silent'])} not heard now: they come last")
    if found["next_root"]:
        click.echo(f"it hands them over to root {found['next_root']}, which signs what comes after")
        if not found["next_root_known"]:
            click.echo(
                "this gateway does not take what that root signs yet: name its release.pub as "
                f"next_root in the [firmware] of {config}, and restart the gateway"
            )
    click.echo(f"look at it with: kerbline update status {config}")
    return 0


@group.command()
@_config
@click.option("--all", "every", is_flag=True, help="Nodes that are done or wait, too.")
@_json
def status(config: Path, *, every: bool, as_json: bool) -> int:
    """Tell how the campaign stands, or how the last one ended, and where each node is."""
    found = _ask(config, {"ask": "update-status"})
    if as_json:
        click.echo(json.dumps(found))
    elif found["campaign"] is None:
        click.echo("there has been no campaign; `kerbline update start` begins one")
    else:
        click.echo("\n".join(told(found, every=every)))
    return 0


@group.command()
@_config
def pause(config: Path) -> int:
    """Send nothing and start nothing until `resume`; who is on trial goes on with that."""
    return _turn(config, "pause", "paused")


@group.command()
@_config
def resume(config: Path) -> int:
    """Go on, also after the campaign stopped by itself: failures up to now no longer count."""
    return _turn(config, "resume", "goes on")


@group.command()
@_config
def abort(config: Path) -> int:
    """End the campaign; each node stays on the build that it runs."""
    return _turn(config, "abort", "aborted; each node stays on the build that it runs")


def told(found: Mapping[str, Any], *, every: bool) -> Iterator[str]:
    """The lines of a status."""
    campaign, now_ms = found["campaign"], found["at_ms"]
    ends, stage = campaign["stages"], campaign["stage"]
    yield (
        f"release {campaign['version']} (sequence {campaign['sequence']}, build "
        f"{campaign['build']}) for {campaign['board']}, since {_instant(campaign['began_ms'])} UTC"
    )
    why = f": {campaign['why']}" if campaign["why"] else ""
    soaks_ms = campaign["soaks_until_ms"]
    soaks = f", watched until {_instant(soaks_ms)} UTC" if soaks_ms and soaks_ms > now_ms else ""
    open_ = f"stage {stage} of {len(ends)}, {ends[stage - 1]} of {_nodes(ends[-1])}{soaks}"
    yield f"{str(campaign['run']).upper()}{why}; {open_}"
    if campaign["window"] and not campaign["in_window"]:
        first, last = (f"{each // 60:02}:{each % 60:02}" for each in campaign["window"])
        yield f"nodes restart from {first} to {last} local time only"
    counts: dict[str, int] = {}
    for state, word in _STATES.items():
        if number := campaign["counts"].get(state):
            counts[word] = counts.get(word, 0) + number
    yield ", ".join(f"{number} {word}" for word, number in counts.items())
    order = list(_STATES)
    quiet = () if every else ("done", "waiting")
    rows = [
        _row(node, now_ms)
        for node in sorted(found["nodes"], key=lambda each: order.index(each["state"]))
        if node["state"] not in quiet
    ]
    if rows:
        yield from aligned([("node", "asset", "stage", "state", "since", "", ""), *rows])


def _row(node: Mapping[str, Any], now_ms: int) -> Row:
    state = _STATES[node["state"]]
    if node.get("blocks"):
        state += f" {100 * max(node['block'], 0) // node['blocks']} %"
        left_min = node["left_s"] // 60
        if left_min >= LONG_MIN:
            state += f", {left_min // 60} h {left_min % 60:02} min left"
    minutes = max(0, now_ms - node["at_ms"]) // 60_000
    return (
        node["node"],
        node["asset"],
        str(node["stage"]),
        state,
        f"{minutes // 60} h {minutes % 60:02} min" if node["at_ms"] else "",
        "" if node["online"] else "not heard",
        node["why"],
    )


def _turn(config: Path, to: str, done: str) -> int:
    found = _ask(config, {"ask": "update-turn", "to": to})
    click.echo(f"the campaign for release {found['version']}: {done}")
    if found["kept"]:
        return 0
    click.echo(
        "but the disk does not take that: make room for the gateway's state, or a restart forgets "
        "it",
        err=True,
    )
    return 1


def _listed(option: str, given: tuple[str, ...]) -> list[str]:
    names = [name.strip() for each in given for name in each.split(",") if name.strip()]
    if given and not names:  # as of a script's variable that is empty: none is not all
        raise click.UsageError(f"{option} names nothing; leave it out for all nodes")
    return names


def _nodes(count: int) -> str:
    return f"{count:,} node" if count == 1 else f"{count:,} nodes"


def _instant(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"


def _ask(config: Path, question: Mapping[str, Any]) -> Mapping[str, Any]:
    from kerbline.config import load
    from kerbline.local_socket import SOCKET_FILE, ask

    return ask(load(config).gateway.state_dir / SOCKET_FILE, question, VERIFY_S)
