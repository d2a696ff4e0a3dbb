"""`kerbline node`: build a node's firmware, and put it on a board."""

from __future__ import annotations

from pathlib import Path

import click

_FILE = click.Path(path_type=Path)


@click.group("node")
def group() -> None:
    """Build a node, and put it on a board."""


@group.command()
@click.argument("boards", nargs=-1)
@click.option("--out", type=_FILE, default=Path("build/firmware"), show_default=True)
def build(boards: tuple[str, ...], *, out: Path) -> int:
    """Compile the firmware of BOARDS, or of all; exit status 1 where a budget is exceeded."""
    from kerbline.firmware import every

    status = 0
    for told in every.build(boards, out):
        click.echo(told.report)
        for fault in told.faults:
            click.echo(fault, err=True)
            status = 1
    return status


@group.command()
@click.option("--port", required=True, help="The board's REPL: /dev/ttyUSB0, socket://host:port.")
@click.option("--board", required=True, help="Its name, as `kerbline boards list` has it.")
@click.option("--settings", required=True, type=_FILE, help="The node's settings, a TOML file.")
@click.option("--key-file", type=_FILE, help="Write the node's key there, for the gateway.")
@click.option("--dry-run", is_flag=True, help="Check and compare; change nothing.")
@click.option("--over-budget", is_flag=True, help="Install a build that exceeds a budget.")
def install(
    port: str,
    board: str,
    settings: Path,
    *,
    key_file: Path | None,
    dry_run: bool,
    over_budget: bool,
) -> int:
    """Put a built node on a board with a REPL; prints its [[node]] for the gateway's config."""
    from kerbline.field import install as installer

    job = installer.prepare(board, settings, key_file)
    done = installer.install(
        job,
        port,
        dry_run=dry_run,
        say=lambda text: click.echo(text, err=True),
        over_budget=over_budget,
    )
    click.echo(installer.table(job), nl=False)
    return 0 if done else 1
