"""`kerbline commission`: a bare board to a proven, bound and claimed node; and its records."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kerbline.field.commission.run import Line, Teller

_FILE = click.Path(path_type=Path)
_MARKS = {
    "done": "[green]✓[/]",
    "stands": "[green]·[/]",
    "warning": "[yellow]![/]",
    "end": "[bold green]■[/]",
    "would": "[cyan]○[/]",
}


@click.group("commission", invoke_without_command=True)
@click.option("--port", help="The board's port: /dev/ttyUSB0, socket://host:port.")
@click.option("--asset", help="The id of the asset that it serves from now on.")
@click.option("--location", help='Where: "52.3731, 4.8922", or words.')
@click.option("--technician", help="Who does this.")
@click.option("--node", help="The node's id; without it the next free one, of prefix and MAC.")
@click.option("--replaces", help="The node that served the asset until now.")
@click.option("--profile", "profile_file", type=_FILE, help="What is the same all day: site.toml.")
@click.option("--board", help="Its name, as `kerbline boards list` has it.")
@click.option("--micropython", type=_FILE, help="The stock image for its chip.")
@click.option("--sha256", "micropython_sha256", help="What that image must have.")
@click.option("--bundle", type=_FILE, help="A release; without one the tree is built.")
@click.option("--root", type=_FILE, help="release.pub: whose releases the node takes.")
@click.option("--gateway-key", type=_FILE, help="What `kerbline gateway key` printed.")
@click.option("--gateway", type=_FILE, help="Prove it there: the gateway's status.sock.")
@click.option("--gateway-line", help="The node's line there, where it has several of its kind.")
@click.option("--line", help="Prove it here: an adapter on the node's line, or host:port (UDP).")
@click.option("--again", is_flag=True, help="A new life of a board that is done.")
@click.option("--dry-run", is_flag=True, help="Look and check; change nothing.")
@click.option("--yes", is_flag=True, help="Ask nothing; what is missing is a fault.")
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object a line.")
@click.pass_context
def group(
    context: click.Context,
    /,
    *,
    profile_file: Path | None,
    yes: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - each is typed above
) -> int:
    """Take a bare ESP32 to a proven, bound, claimed node; run it again and it goes on."""
    if context.invoked_subcommand is not None:
        return 0
    from kerbline.field.commission import places, run, site
    from kerbline.field.commission.order import Wish
    from kerbline.field.commission.words import CommissionFault

    profile = site.load(profile_file) if profile_file else site.NOTHING
    port = options["port"] or profile.site.port
    if port is None:
        raise CommissionFault("missing", what="the board's port", option="--port", key="port")
    known = {each.name for each in fields(Wish)}
    wish = Wish(
        **{"profile": profile, **{k: v for k, v in options.items() if k in known}} | {"port": port}
    )
    teller = _for_machine() if as_json else _for_people(asks=not yes and sys.stdin.isatty())
    done = run.commission(wish, places.usual(), teller, lambda: time.time_ns() // 1_000_000)
    return 0 if done else 1


@group.group()
def records() -> None:
    """This laptop's signed records."""


@records.command()
@click.argument("file", type=_FILE, required=False)
@click.option("--laptop", help="The public key in hex that must have signed them.")
def verify(file: Path | None, *, laptop: str | None) -> int:
    """Verify the queue, or FILE: each signature, each link of the chain, and its end."""
    from kerbline.field.commission import ledger, places
    from kerbline.field.commission.words import CommissionFault

    path = file or places.usual().records
    if not path.exists():
        raise CommissionFault("records_none", path=path)
    chain = ledger.read(path, laptop=laptop)
    signer = chain.records[0]["laptop"] if chain.records else "nobody"
    click.echo(f"{path}: {len(chain.records)} records, whole; signed by {signer}")
    return 0


@records.command()
@click.argument("to", type=_FILE)
def export(to: Path) -> int:
    """Copy the verified queue to the file TO, which `records verify` verifies anywhere."""
    from kerbline.field.commission import ledger, places

    count = ledger.export(places.usual().records, to)
    click.echo(f"{to}: {count} records")
    return 0


@records.command("list")
@click.option("--json", "as_json", is_flag=True, help="For a machine: the records as they are.")
def list_(*, as_json: bool) -> int:
    """A line a record."""
    from kerbline.cli.tables import aligned
    from kerbline.field.commission import ledger, places

    chain = ledger.read(places.usual().records)
    if as_json:
        for record in chain.records:
            click.echo(json.dumps(record))
        return 0
    rows = [
        (str(r["n"]), r["at"], r["kind"], r["node"], r["asset"], r["mac"], r["clock"])
        for r in chain.records
    ]
    for row in aligned(rows):
        click.echo(row)
    return 0


@group.command()
@click.argument("payload")
def label(payload: str) -> int:
    """Tell what a label's PAYLOAD, read or typed, says."""
    from kerbline.field.commission.label import parse

    found = parse(payload)
    click.echo(f"node {found.node_id}, MAC {found.mac}")
    return 0


def _for_machine() -> Teller:
    from kerbline.field.commission.run import DETAIL, Teller

    def tell(line: Line) -> None:
        if line.state != DETAIL:
            click.echo(json.dumps(line.as_json()))

    return Teller(tell)


def _for_people(*, asks: bool) -> Teller:
    from kerbline.field.commission.order import ASKED
    from kerbline.field.commission.run import Teller

    def ask(names: Sequence[str]) -> Mapping[str, str]:
        return {name: click.prompt(f"{ASKED[name][2]}") for name in names} if asks else {}

    def agree(question: str) -> bool:
        return click.confirm(question, default=True) if asks else True

    view = _View()
    return Teller(view.tell, view.progress, ask, agree)


class _View:
    """A line a step; on a terminal the one under way has its parts and seconds."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)
        self._status: Any = None
        self._title = ""

    def tell(self, line: Line) -> None:
        """One line of the run."""
        if line.state == "begins":
            self._title = line.text
            self._begin()
        elif line.state == "detail":
            if self._status is not None:
                self._status.update(f"{self._title}: {_plain(line.text)}")
        else:
            self._end()
            name = f"{line.step:<9}" if line.state not in ("warning", "end") else ""
            if line.state != "failed":  # the fault itself is said by whoever ends the program
                self._console.print(f"{_MARKS[line.state]} {name} {_plain(line.text)}")

    def progress(self, done: int, of: int) -> None:
        """Of the step under way."""
        if self._status is not None and of:
            self._status.update(f"{self._title}: {100 * done // of} %")

    def _begin(self) -> None:
        if self._console.is_terminal:
            self._status = self._console.status(self._title)
            self._status.start()

    def _end(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
