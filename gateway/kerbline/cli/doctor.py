"""`kerbline doctor`: the cause and the fix, for whoever stands at the pole."""

from __future__ import annotations

import json
from pathlib import Path

import click

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("port", default="")
@click.option("--config", type=_FILE, help="Look at the gateway of this config and its broker too.")
@click.option("--board", "board_name", help="What the board is to be: see `kerbline boards list`.")
@click.option(
    "--clock-from", default="", help="Compare the clock: https://HOST, ntp://HOST, status.sock."
)
@click.option("--watch", is_flag=True, help="Plug the board in now: what appears?")
@click.option("--seconds", type=click.FloatRange(1, 600), default=30, help="How long to watch.")
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object.")
def doctor(
    port: str,
    *,
    config: Path | None,
    board_name: str | None,
    clock_from: str,
    watch: bool,
    seconds: float,
    as_json: bool,
) -> int:
    """Tell what is wrong with the board at PORT and around it; exit status 1 where anything is.

    A node at PORT restarts. Without PORT: what is plugged in.
    """
    from kerbline import boards
    from kerbline.field import doctor as doctors
    from kerbline.field.doctor.finding import Level

    board = boards.load(boards.find(board_name)) if board_name else None
    wanted = doctors.Wanted(port, board, config, clock_from, seconds if watch else 0.0)
    found = []
    for finding in doctors.examine(wanted, lambda text: click.echo(text, err=True)):
        found.append(finding)
        if not as_json:
            click.echo(finding.line)
    if as_json:
        told = {"worst": doctors.worst(found), "findings": [each.as_json() for each in found]}
        click.echo(json.dumps(told))
    return 1 if doctors.worst(found) is Level.FAULT else 0
