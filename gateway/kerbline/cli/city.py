"""`kerbline city`: what stands between this gateway and the city's platforms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerbline.cli import iota

if TYPE_CHECKING:
    from kerbline.config import Config
    from kerbline.north.ngsi_ld.dead_letters import DeadLetters

_FILE = click.Path(path_type=Path)
_config = click.argument("config", type=_FILE)
_sink = click.option("--sink", help="The name of its [[ngsi_ld]]; not needed where there is one.")
_numbers = click.argument("numbers", type=click.IntRange(1), nargs=-1)


@click.group(name="city")
def group() -> None:
    """Look at what the city's platforms get, and refuse."""


@group.group(name="dead-letters")
def dead_letters() -> None:
    """What a platform refused for good: look at it, send it again or drop it."""


@dead_letters.command(name="list")
@_config
@_sink
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object a line.")
def list_(config: Path, *, sink: str | None, as_json: bool) -> int:
    """Tell each dead letter with its number and reason; a gateway may be running."""
    loaded = _loaded(config)
    for name in [sink] if sink else [broker.name for broker in loaded.brokers]:
        for letter in _letters(loaded, name).letters:
            told = letter.told()
            if as_json:
                click.echo(json.dumps({"sink": name, **told}))
                continue
            what = ", ".join(told["attributes"])
            click.echo(f"{name} {letter.number}  {told['at']}  {told['id']} ({what})")
            alike = f" (alike: {letter.count} since {told['first_at']})" if letter.count > 1 else ""
            click.echo(f"    {letter.way}: {letter.reason}{alike}")
    return 0


@dead_letters.command()
@_config
@_sink
@_numbers
def replay(config: Path, *, sink: str | None, numbers: tuple[int, ...]) -> int:
    """Let the running gateway send these again, or all: into the history."""
    loaded = _loaded(config)
    name = _named(loaded, sink)
    count = _ask(loaded, name, "replay", numbers)
    click.echo(f"{name}: {count} go again; those that are refused again come back")
    return 0


@dead_letters.command()
@_config
@_sink
@_numbers
@click.option("--all", "every", is_flag=True, help="Every one of this sink.")
def drop(config: Path, *, sink: str | None, numbers: tuple[int, ...], every: bool) -> int:
    """Forget these for ever."""
    from kerbline.local_socket import NotServing

    if every == bool(numbers):
        raise click.UsageError("which? Give their numbers, or --all")
    loaded = _loaded(config)
    name = _named(loaded, sink)
    try:
        count = _ask(loaded, name, "drop", numbers)
    except NotServing:
        count = _letters(loaded, name).drop(set(numbers) or None)
    click.echo(f"{name}: {count} dropped")
    return 0


group.add_command(iota.provision)


def _loaded(config: Path) -> Config:
    from kerbline.config import load

    return load(config)


def _named(config: Config, sink: str | None) -> str:
    names = [broker.name for broker in config.brokers]
    if sink is None and len(names) == 1:
        return names[0]
    if sink not in names or sink is None:
        raise click.UsageError(f"--sink is one of {', '.join(names) or 'none: no [[ngsi_ld]]'}")
    return sink


def _letters(config: Config, name: str) -> DeadLetters:
    from kerbline.north.ngsi_ld.dead_letters import DeadLetters, place

    found = DeadLetters(place(config.gateway.state_dir, _named(config, name)))
    if found.unread is not None:
        raise click.ClickException(
            f"{found.path}: {found.unread.strerror}; call it as the gateway's user or as root"
        )
    return found


def _ask(config: Config, name: str, what: str, numbers: tuple[int, ...]) -> int:
    from kerbline.local_socket import SOCKET_FILE, ask

    question = {"ask": "dead-letters", "sink": name, "do": what, "numbers": numbers or None}
    return int(ask(config.gateway.state_dir / SOCKET_FILE, question)["count"])
