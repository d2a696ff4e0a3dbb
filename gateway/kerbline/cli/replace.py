"""`kerbline replace`: another node takes the place of one, and the asset keeps its id."""

from __future__ import annotations

import json
from pathlib import Path

import click

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("config", type=_FILE)
@click.argument("old")
@click.argument("new")
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object.")
def replace(config: Path, old: str, new: str, *, as_json: bool) -> int:
    """Let node NEW serve the asset of node OLD, whose key is revoked for ever."""
    from kerbline.cli.claims import asked

    found = asked(config, {"ask": "replace", "old": old, "new": new})
    if as_json:
        click.echo(json.dumps(found))
        return 0
    click.echo(f"{old}: its key is revoked, it is not answered any more")
    if found["serves"] and found.get("unserved"):
        click.echo(f"{new} has {found['asset']}, but is not served: {found['unserved']}")
    elif found["serves"]:
        click.echo(f"{new} serves {found['asset']}; its history goes on under that name")
    else:
        click.echo(
            f"{new} is to serve {found['asset']} as soon as it brings its claim: "
            f"kerbline permit {config}, or kerbline claims add {config} FILE"
        )
    from kerbline.config import load

    if any(node.id == old for node in load(config).nodes):
        click.echo(
            f"the [[node]] {old} in {config} counts no more; it may stay, or be removed once "
            f"nothing else in the file names {found['asset']}"
        )
    return 0
