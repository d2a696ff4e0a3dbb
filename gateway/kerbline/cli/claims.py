"""`kerbline claims`: nodes that joined by a claim, and claims that are brought by hand."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerbline.cli.tables import aligned
from kerbline.errors import KerblineError

if TYPE_CHECKING:
    from kerbline.config import Config
    from kerbline.config.awaited import Awaited, Misfit

_FILE = click.Path(path_type=Path)
_CONFIG = click.argument("config", type=_FILE)
_JSON = click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object.")
MAX_FILE_BYTES = 1 << 16
LOCK_S, LOOK_S = 2.0, 0.05  # for whoever is at the state folder just now


@click.group("claims")
def group() -> None:
    """Nodes that joined by a claim."""


@group.command()
@_CONFIG
@click.argument("files", type=_FILE, nargs=-1, required=True)
@click.option("--port", help="The line of the node, where the config has several of its kind.")
@_JSON
def add(config: Path, files: tuple[Path, ...], *, port: str | None, as_json: bool) -> int:
    """Make the nodes of claims in FILES known; status 1 if one is refused."""
    from kerbline.keys import claim

    status, results = 0, []
    for path in files:
        try:
            sealed = claim.from_text(_content(path))
            question: dict[str, Any] = {"ask": "claims-add", "sealed": sealed.hex(), "port": port}
            joined = dict(asked(config, question))
        except (KerblineError, OSError) as error:
            status = 1
            why = f"can't be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            results.append({"file": str(path), "refused": why})
            if not as_json:
                click.echo(f"{path}: {why}", err=True)
            continue
        results.append({"file": str(path)} | joined)
        if not as_json:
            waits = ", but it waits: see kerbline claims list" if joined["waits"] else ""
            if joined.get("unserved"):
                waits = f", but is not served: {joined['unserved']}"
            click.echo(
                f"{path}: {joined['node_id']} is known: {joined['asset']}, a {joined['kind']}, on "
                f"{joined['port']}{waits}"
            )
    if as_json:
        click.echo(json.dumps({"claims": results}))
    return status


@group.command("list")
@_CONFIG
@_JSON
def list_(config: Path, *, as_json: bool) -> int:
    """Tell who joined by a claim, and whose key is revoked."""
    found = asked(config, {"ask": "claims"})
    click.echo(json.dumps(found) if as_json else "\n".join(told(found)))
    return 0


@group.command()
@_CONFIG
@click.argument("node")
@_JSON
def remove(config: Path, node: str, *, as_json: bool) -> int:
    """Let go of NODE, which joined by a claim: its key is revoked for ever."""
    found = asked(config, {"ask": "claims-remove", "node": node})
    if as_json:
        click.echo(json.dumps(found))
    else:
        click.echo(
            f"{node} is gone, its key is revoked; to take it back, commission it again, which "
            "gives it a fresh key"
        )
    return 0


def doubts(config: Config) -> Iterator[str]:
    """What a config's state folder says of nodes that the config does not, or otherwise."""
    from kerbline.keys import KeyFault, KeyRing
    from kerbline.keys.admission import Admission
    from kerbline.keys.ring import KEY_FOLDER

    state = config.gateway.state_dir
    try:
        admission = Admission(config, KeyRing(state / KEY_FOLDER), looks_only=True)
        yield from admission.troubles()
    except KeyFault as fault:
        yield str(fault)
        return
    joined = [each.node_id for each in admission.joined.values() if not each.waits]
    if joined:
        yield f"beside its nodes {len(joined)} joined by a claim: {', '.join(sorted(joined)[:8])}"
    yield from map(str, unready(replace(config, nodes=admission.nodes())))


def unready(config: Config) -> Iterator[Awaited | Misfit]:
    """Whom sections of control name and can't have; `config` with the nodes that joined."""
    from kerbline.assets.metered import kinds
    from kerbline.config.awaited import awaited, misfits, named

    found, there = tuple(named(config)), kinds(config)
    yield from awaited(found, there)
    yield from misfits(found, there)


def with_joined(config: Config) -> Config:
    """A config with the nodes that a gateway has by now; raises KerblineError."""
    from kerbline.keys import KeyRing
    from kerbline.keys.admission import Admission
    from kerbline.keys.ring import KEY_FOLDER

    ring = KeyRing(config.gateway.state_dir / KEY_FOLDER)
    return replace(config, nodes=Admission(config, ring, looks_only=True).nodes())


def told(found: Mapping[str, Any]) -> Iterator[str]:
    """Tables of both."""
    if not found["joined"]:
        yield "no node joined by a claim"
    rows = [
        (
            each["node_id"],
            each["asset"],
            each["kind"],
            each["port"],
            _waiting(each) if each["waits"] else "serves",
            f"claim of {_date(each['made_s'])}",
            f"by {each['technician'] or 'somebody'}, {each['laptop']}" if each["laptop"] else "",
        )
        for each in found["joined"]
    ]
    yield from aligned(rows)
    if found["revoked"]:
        yield "revoked keys:"
    ended = [
        (
            each["node_id"],
            each["asset"],
            _date(each["at_s"]),
            f"replaced by {each['by']}" if each["by"] else "removed",
        )
        for each in found["revoked"]
    ]
    for row in aligned(ended):
        yield f"  {row}"


def _waiting(joined: Mapping[str, Any]) -> str:
    if not joined["after"]:
        return "WAITS: its asset is a device of the config"
    return f"WAITS: kerbline replace CONFIG {joined['after']} {joined['node_id']}"


def asked(config: Path, question: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask the gateway that runs, or do it in the state folder of one that does not.

    Raises KerblineError with what is to be done.
    """
    from kerbline.config import load
    from kerbline.local_socket import SOCKET_FILE, NotServing, ask

    loaded = load(config)
    socket = loaded.gateway.state_dir / SOCKET_FILE
    try:
        return ask(socket, question)
    except NotServing:
        if _listens(socket):
            raise
    if question["ask"] == "claims":
        return _done(loaded, question)
    with _alone(loaded.gateway.state_dir):
        return _done(loaded, question)


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """No gateway begins, and no other command changes who joined, while this is held.

    It is the lock of the store, which a gateway takes before it reads who joined.
    """
    from kerbline.agent import STORE_FILE

    path = state / f"{STORE_FILE}.lock"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KerblineError(f"{path}: {error.strerror}; run this as the gateway's user") from None
    try:
        until_s = time.monotonic() + LOCK_S
        while not _taken(lock):
            if time.monotonic() > until_s:
                raise KerblineError(
                    f"{state} is in use, by a gateway that begins or ends or by another command, "
                    "so nothing was done; try again"
                )
            time.sleep(LOOK_S)
        yield
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _done(loaded: Config, question: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a gateway would answer, from the state folder alone."""
    from kerbline.keys import KeyRing, claim, gateway_key
    from kerbline.keys.admission import Admission
    from kerbline.keys.ring import KEY_FOLDER

    state = loaded.gateway.state_dir
    looks = question["ask"] == "claims"
    admission = Admission(loaded, KeyRing(state / KEY_FOLDER), looks_only=looks)
    now_s = int(time.time())
    match question:
        case {"ask": "claims"}:
            return admission.told()
        case {"ask": "claims-add", "sealed": str(sealed), "port": port}:
            private = gateway_key.load_or_make(state).private
            opened = claim.open(bytes.fromhex(sealed), private)
            return asdict(admission.admit(opened, admission.way(port), now_s))
        case {"ask": "claims-remove", "node": str(node)}:
            return asdict(admission.remove(node, now_s))
        case {"ask": "replace", "old": str(old), "new": str(new)}:
            told = asdict(admission.replace(old, new, now_s))
            heir = admission.joined.get(new)
            return told | {"serves": heir is not None and not heir.waits}
    raise AssertionError(question)


def _listens(socket: Path) -> bool:
    """Is somebody at this socket, who only was too slow?"""
    import socket as sockets

    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as sock:
        try:
            sock.connect(str(socket))
        except OSError:
            return False
    return True


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES)


def _date(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M} UTC"
