"""`kerbline flash` and `kerbline unbrick`: MicroPython and a node into boards' flash."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kerbline.field.flash import Job, Outcome, Step
    from kerbline.field.unbrick import Finding

_FILE = click.Path(path_type=Path)

_BOARD = click.option("--board", help="The board's name, as `kerbline boards list` has it.")
_IMAGE = click.option("--micropython", type=_FILE, help="MicroPython's .bin; needed once a chip.")
_SHA256 = click.option("--sha256", "expected", default="", help="What the image must have.")
_BUNDLE = click.option("--bundle", type=_FILE, help="A release; without it, the tree's build.")
_ROOT = click.option("--root", type=_FILE, help="release.pub that the bundle must be signed by.")
_BAUD = click.option("--baud", type=click.IntRange(9600, 3_000_000), default=460_800)
_YES = click.option("--yes", is_flag=True, help="Ask nothing.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.command()
@click.argument("ports", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every USB socket with a board's adapter.")
@click.option("--jobs", type=click.IntRange(1, 64), default=20, show_default=True)
@_BOARD
@_IMAGE
@_SHA256
@_BUNDLE
@_ROOT
@_BAUD
@_YES
@_JSON
def flash(
    ports: tuple[str, ...],
    *,
    every: bool,
    jobs: int,
    board: str | None,
    micropython: Path | None,
    expected: str,
    bundle: Path | None,
    root: Path | None,
    baud: int,
    yes: bool,
    as_json: bool,
) -> int:
    """Write MicroPython and the node into the boards at PORTS; a node's key and settings stay.

    A node that has readings in its log is asked about, or left as it is. Exit status 1 where a
    board failed; the others are done all the same.
    """
    from kerbline.field import flash as flashing
    from kerbline.field import flash_images

    job = _prepared(board, micropython, expected, bundle, root)
    wanted = _wanted(ports, every=every)
    if every and not yes:
        click.confirm(f"Flash {len(wanted)} boards: {', '.join(wanted)}?", abort=True, err=True)
    memory = flash_images.Memory.usual(flash_images.Cache.usual())
    with _shown(wanted, quiet=as_json) as tell:
        outcomes = flashing.many(job, wanted, memory, tell, jobs, baud, spare=not yes)
    spared = {each.port: each for each in outcomes if each.fault and each.fault.code == "unsent"}
    if spared and not as_json and sys.stdin.isatty() and _are_meant(spared.values()):
        with _shown(list(spared), quiet=False) as tell:
            again = flashing.many(job, list(spared), memory, tell, jobs, baud)
        spared.update((each.port, each) for each in again)
        outcomes = [spared.get(each.port, each) for each in outcomes]
    failed = [each for each in outcomes if each.fault is not None]
    for each in outcomes:
        if as_json:
            click.echo(json.dumps(_told(each)))
        elif each.fault is not None:
            click.echo(f"{each.slot}: {each.fault.cause}; {each.fault.remedy}", err=True)
    if not as_json:
        click.echo(f"{len(outcomes) - len(failed)} of {len(outcomes)} boards done")
    return 1 if failed else 0


@click.command()
@click.argument("port")
@_BOARD
@_IMAGE
@_SHA256
@_BUNDLE
@_ROOT
@_BAUD
@click.option("--look", is_flag=True, help="Say what is wrong; change nothing.")
@_YES
@_JSON
def unbrick(
    port: str,
    *,
    board: str | None,
    micropython: Path | None,
    expected: str,
    bundle: Path | None,
    root: Path | None,
    baud: int,
    look: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Say what is wrong with the board at PORT; then erase and write all of its flash.

    Everything on it is lost: key, settings, readings that it has not sent.
    """
    from kerbline.field import unbrick as unbricking

    job = None if look else _prepared(board, micropython, expected, bundle, root)
    findings = unbricking.look(port)
    for each in findings:
        _tell_finding(each, as_json=as_json)
    if job is None:
        return 1 if any(each.code != "sound" for each in findings) else 0
    if not as_json:
        click.echo(unbricking.LOST, err=True)
    if not yes:
        click.confirm(f"Erase the board at {port} and write {job.board}?", abort=True, err=True)
    with _shown([port], quiet=as_json) as tell:
        done = unbricking.rewrite(job, port, tell, baud)
    _tell_finding(done, as_json=as_json)
    return 0 if done.code == "sound" else 1


def _prepared(
    board: str | None,
    micropython: Path | None,
    expected: str,
    bundle: Path | None,
    root: Path | None,
) -> Job:
    """The job; its image is kept for the next time."""
    from kerbline.field import flash as flashing
    from kerbline.field import flash_images

    if board is None:
        raise click.UsageError("--board is missing: `kerbline boards list` names them")
    if root is not None and bundle is None:
        raise click.UsageError("--root is for a --bundle")
    cache = flash_images.Cache.usual()
    job = flashing.prepare(board, micropython, expected, cache, bundle, root)
    if job.stock.is_new:
        click.echo(
            f"warning: {micropython}: taken as it is; compare its SHA-256 with the one of its "
            f"maker: {job.stock.sha256}",
            err=True,
        )
    if bundle is not None and root is None:
        click.echo(f"warning: {bundle}: no --root, so nobody's signature was checked", err=True)
    try:
        flash_images.keep(job.stock, cache)
    except OSError as fault:
        what = f"{fault.filename or 'its cache'}: {fault.strerror or fault}"
        click.echo(f"warning: the image is not kept ({what}); name it the next time too", err=True)
    return job


def _wanted(ports: Sequence[str], *, every: bool) -> list[str]:
    from kerbline.boardtools import usb
    from kerbline.field.flash import FlashFault

    found = list(dict.fromkeys(ports))
    if every:
        found += [each.device for each in usb.sockets() if each.adapter]
    if not found and every:
        raise FlashFault("no USB socket has a board; is the cable in, and has it data wires?")
    if not found:
        raise click.UsageError("name a port, such as /dev/ttyUSB0, or --all")
    return list(dict.fromkeys(found))


def _are_meant(spared: Iterable[Outcome]) -> bool:
    """Are nodes to be flashed whose readings would be lost?"""
    for each in spared:
        assert each.fault is not None
        click.echo(f"{each.slot}: {each.fault.cause}", err=True)
    return click.confirm("Flash these all the same?", err=True)


@contextmanager
def _shown(ports: Sequence[str], *, quiet: bool) -> Iterator[Callable[[Step], None]]:
    """Takes steps from many threads: a bar a board on a terminal, else a line a change."""
    if quiet:
        yield _say_nothing
    elif sys.stderr.isatty():
        with _bars(ports) as tell:
            yield tell
    else:
        yield _line_teller()


def _say_nothing(step: Step) -> None:
    """For scripts: what counts comes at the end."""


def _line_teller() -> Callable[[Step], None]:
    lock = threading.Lock()
    last: dict[str, str] = {}

    def tell(step: Step) -> None:
        with lock:
            if last.get(step.port) != step.what:
                last[step.port] = step.what
                text = f": {step.text}" if step.text else ""
                click.echo(f"{step.port}: {step.what}{text}", err=True)

    return tell


@contextmanager
def _bars(ports: Sequence[str]) -> Iterator[Callable[[Step], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from kerbline.boardtools import usb

    columns = (
        TextColumn("{task.fields[slot]:<14}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {
            port: progress.add_task("waits", total=1.0, slot=usb.socket_of(port).slot[-14:])
            for port in ports
        }

        def tell(step: Step) -> None:
            done = step.done / step.of if step.of else (1.0 if step.what == "done" else None)
            text = f"{step.what}: {step.text}" if step.text else step.what
            progress.update(tasks[step.port], description=text, completed=done)

        yield tell


def _told(outcome: Outcome) -> dict[str, object]:
    found, written, fault = outcome.found, outcome.written, outcome.fault
    return {
        "port": outcome.port,
        "slot": outcome.slot,
        "ok": fault is None,
        "code": fault.code if fault else "",
        "cause": fault.cause if fault else "",
        "remedy": fault.remedy if fault else "",
        "chip": found.name if found else "",
        "mac": found.mac if found else "",
        "flash_bytes": found.flash_bytes if found else 0,
        "written_bytes": written.written_bytes if written else 0,
        "sent_bytes": written.sent_bytes if written else 0,
        "attempts": outcome.attempts,
        "seconds": round(outcome.seconds, 3),
    }


def _tell_finding(finding: Finding, *, as_json: bool) -> None:
    if as_json:
        click.echo(
            json.dumps({"code": finding.code, "cause": finding.cause, "remedy": finding.remedy})
        )
    else:
        remedy = f"; {finding.remedy}" if finding.remedy else ""
        click.echo(f"{finding.cause}{remedy}")
