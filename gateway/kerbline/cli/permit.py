"""`kerbline permit`: nodes with a claim may join a running gateway for a while."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

_FILE = click.Path(path_type=Path)
LOOK_S = 0.5
SHORTEST_S, LONGEST_S = 1, 900  # ENROL_MS

Ask = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@click.command()
@click.argument("config", type=_FILE)
@click.option("--seconds", type=click.IntRange(SHORTEST_S, LONGEST_S), default=60)
@click.option("--only", "only", multiple=True, metavar="NODE", help="No other node may join.")
@click.option("--close", is_flag=True, help="End a window that somebody has opened.")
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object at the end.")
def permit(config: Path, *, seconds: int, only: tuple[str, ...], close: bool, as_json: bool) -> int:
    """Let nodes with a claim join a running gateway; Ctrl-C ends it. Status 1 if none did."""
    from kerbline.config import load
    from kerbline.local_socket import SOCKET_FILE, ask

    socket = load(config).gateway.state_dir / SOCKET_FILE

    def asked(question: Mapping[str, Any]) -> Mapping[str, Any]:
        return ask(socket, question)

    if close:
        asked({"ask": "permit-close"})
        return 0
    found: Mapping[str, Any] = {}
    try:
        found = asked({"ask": "permit", "seconds": seconds, "only": list(only), "by": _who()})
        found = _watch(asked, found, quiet=as_json)
    except KeyboardInterrupt:
        ours = {"window": found["window"]} if found else {}
        found = asked({"ask": "permit-close"} | ours)
    if as_json:
        click.echo(json.dumps(found))
    else:
        for line in told_last(found):
            click.echo(line)
    return 0 if any(_serves(each) for each in found["joined"]) else 1


def _watch(asked: Ask, found: Mapping[str, Any], *, quiet: bool) -> Mapping[str, Any]:
    """Count down, and tell who joined as it happens."""
    told: set[str] = set()
    while True:
        if not quiet:
            _countdown("")
            for line in told_now(found, told):
                click.echo(line)
            left_s = -(-found["left_ms"] // 1000)
            _countdown(f"{left_s:4d} s left, {len(found['joined'])} joined (Ctrl-C ends it)")
        if not found["left_ms"]:
            if not quiet:
                _countdown("")
            return found
        time.sleep(min(LOOK_S, found["left_ms"] / 1000))
        now = asked({"ask": "permit-status"})
        # Ours was closed and somebody opened another one: of that we tell nothing.
        found = now if now["window"] == found["window"] else {**found, "left_ms": 0}


def told_now(found: Mapping[str, Any], told: set[str]) -> Iterator[str]:
    """A line for each thing that is new since `told`, which grows."""
    for each in found["joined"]:
        where = f"{each['node_id']}: {each['asset']}, a {each['kind']}, on {each['port']}"
        if each["waits"]:
            line = f"{where} - known, but it waits: its asset has another node"
        elif each["unserved"]:
            line = f"{where} - joined, but it is not served: {each['unserved']}"
        elif each["online"]:
            line = f"{where} - joined, and it talks"
        else:
            line = f"{where} - joined"
        part_of = ", ".join(each.get("part_of", ()))
        part = [f"  {each['asset']} takes part: {part_of}"] if part_of else []
        for text in (line, *part, *(f"  {wrong}" for wrong in each.get("left_out", ()))):
            if text not in told:
                told.add(text)
                yield text
    for text in found["said"]:
        if text not in told:
            told.add(text)
            yield f"refused: {text}"


def told_last(found: Mapping[str, Any]) -> Iterator[str]:
    """The sum of a window that is over."""
    serving = [each for each in found["joined"] if _serves(each)]
    yield f"closed: {len(serving)} joined"
    for each in found["joined"]:
        if each["waits"]:
            yield f"  {each['node_id']} waits, since {each['asset']} has a node: kerbline replace"
    if any(_serves(each) and each["provision"] for each in found["joined"]):
        yield "  the IoT Agent has to know them first: kerbline city iota-provision"
    for reason, count in found["refused"].items():
        yield f"  not taken: {_REASONS.get(reason, reason)} ({count})"
    if not found["joined"]:
        yield "  is the node powered, on this line, and commissioned for this gateway?"


def _serves(joined: Mapping[str, Any]) -> bool:
    return not joined["waits"] and not joined["unserved"]


_REASONS = {
    "foreign": "claims for another gateway",
    "forged": "claims that were changed on their way",
    "revoked": "claims whose key is revoked",
    "repeated": "claims that had come already",
    "busy": "claims that came too fast",
    "not_named": "claims of nodes that --only does not name",
    "other_key": "claims of known nodes with another key",
    "configured": "claims of nodes that stand in the config",
    "elsewhere": "claims of known nodes on another kind of line",
    "not_kept": "claims that the disk did not take",
    "many": "claims beyond what one window takes",
}


def _countdown(text: str) -> None:
    """On a terminal alone: a line that is written over."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)


def _who() -> str:
    """Who sits there, as far as the machine knows."""
    behind = os.environ.get("SUDO_USER")
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"user {os.getuid()}"
    return f"{behind} as {name}" if behind and behind != name else name
