"""`kerbline gateway`: what a gateway is to its technicians."""

from __future__ import annotations

import json
from pathlib import Path

import click

_FILE = click.Path(path_type=Path)


@click.group("gateway")
def group() -> None:
    """What a gateway is to its technicians."""


@group.command()
@click.option("--state", type=_FILE, help="The gateway's state folder.")
@click.option("--config", type=_FILE, help="The gateway's config file, which names the folder.")
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object.")
def key(*, state: Path | None, config: Path | None, as_json: bool) -> int:
    """Print the key to which technicians seal claims; made at first."""
    from kerbline.keys import gateway_key

    folder = state_folder(state, config)
    made = gateway_key.load_or_make(folder)
    line, words = gateway_key.told(made.public), gateway_key.fingerprint(made.public)
    if as_json:
        click.echo(json.dumps({"public": made.public.hex(), "fingerprint": words}))
        return 0
    click.echo(line)
    click.echo(f"fingerprint {words}")
    click.echo(
        "The first line goes into the technician's profile; compare the fingerprint by phone.",
        err=True,
    )
    return 0


def state_folder(state: Path | None, config: Path | None) -> Path:
    """The folder that one of the two options names; click.UsageError for both or none."""
    if (state is None) == (config is None):
        raise click.UsageError("give --state FOLDER or --config gateway.toml")
    if state is not None:
        return state
    from kerbline.config import load

    assert config is not None
    return load(config).gateway.state_dir
