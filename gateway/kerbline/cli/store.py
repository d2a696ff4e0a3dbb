"""`kerbline store`: look into the durable log, take a table out of it, check it, send it again."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from kerbline.cli.moments import Moment

if TYPE_CHECKING:
    from kerbline.store.census import Behind, Census
    from kerbline.store.suspects import Affected

_FILE = click.Path(path_type=Path)
_config = click.argument("config", type=_FILE, required=False)
_file = click.option("--file", type=_FILE, help="The store's file, instead of a config.")


class _Place(NamedTuple):
    path: Path
    cap_bytes: int | None
    others: tuple[Path, ...] = ()  # files and folders that the config names


@click.group("store")
def group() -> None:
    """Look into the durable log, export, check or send it again."""


@group.command()
@_config
@_file
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object.")
def info(config: Path | None, file: Path | None, *, as_json: bool) -> int:
    """Tell what a store holds and how far behind each sink is; a gateway may be running."""
    from kerbline.store import census
    from kerbline.store.reader import Reader

    place = _place(config, file)
    reader = Reader.open(place.path)
    try:
        found = census.take(reader, time.time_ns() // 1_000_000, place.cap_bytes)
    finally:
        reader.close()
    click.echo(json.dumps(asdict(found)) if as_json else "\n".join(_told(found)))
    return 0


@group.command()
@_config
@_file
@click.option("--out", type=_FILE, help="Written whole or not at all; else standard output.")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl", "parquet"]))
@click.option("--from", "from_ms", type=Moment(), help="Observed at this time or later.")
@click.option("--to", "to_ms", type=Moment(), help="Observed before this time.")
@click.option("--asset", multiple=True, help="Of this asset; may be given again.")
@click.option("--kind", multiple=True, help="Of this kind, `alarm` or `gap`; may be given again.")
def export(
    config: Path | None,
    file: Path | None,
    *,
    out: Path | None,
    form: str | None,
    from_ms: int | None,
    to_ms: int | None,
    asset: tuple[str, ...],
    kind: tuple[str, ...],
) -> int:
    """Write the log as CSV, JSON lines or Parquet; exit status 1 where a part can't be read."""
    from kerbline.store import export as exporting
    from kerbline.store.reader import Reader

    form = form or (out.suffix[1:] if out else "csv")
    if form not in exporting.FORMATS:
        raise click.UsageError(f"{out}: name --format, or end the name in .csv, .jsonl, .parquet")
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise click.UsageError("--from is not before --to: nothing lies between")
    choice = exporting.Choice(from_ms, to_ms, frozenset(asset), frozenset(kind))
    place = _place(config, file)
    reader = Reader.open(place.path)
    try:
        job = exporting.Export(reader, choice)
        spared = [config, *place.others] if config else []
        written = job.to_file(out, form, spared) if out else job.to_stream(sys.stdout, form)
    finally:
        reader.close()
    click.echo(f"{written.rows:,} rows", err=True)
    for each in written.absent:
        click.echo(f"the log has nothing of {each}", err=True)
    if written.unreadable:
        click.echo(
            f"{written.unreadable} batches can't be read: see `kerbline store verify`", err=True
        )
    return 1 if written.unreadable else 0


@group.command()
@_config
@_file
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object.")
def verify(config: Path | None, file: Path | None, *, as_json: bool) -> int:
    """Find damage and say which readings it concerns; exit status 1 if there is any."""
    from kerbline.store import verify as verifying

    path = _place(config, file).path
    verdict = verifying.verify(path)
    if as_json:
        click.echo(json.dumps(asdict(verdict)))
        return 1 if verdict.faults else 0
    for fault in verdict.faults:
        click.echo(fault.what)
        for each in fault.affected:
            click.echo(f"  {_records(each)}")
    if verdict.unchecked:
        click.echo(f"{verdict.unchecked:,} batches are of format 1 and have no checksum of theirs")
    sound = "sound" if not verdict.faults else f"{len(verdict.faults)} faults"
    click.echo(f"{path}: {sound}; {verdict.batches:,} batches, {verdict.entries:,} entries")
    return 1 if verdict.faults else 0


@group.command()
@_config
@_file
@click.option("--sink", required=True, help="Whose: `kerbline store info` lists them.")
@click.option("--from", "from_ms", type=Moment(), required=True, help="Stored then or later.")
@click.option("--to", "to_ms", type=Moment(), required=True, help="Stored before this time.")
def replay(config: Path | None, file: Path | None, *, sink: str, from_ms: int, to_ms: int) -> int:
    """Let a sink deliver a span of time again, from the gateway's next start on."""
    from kerbline.store.replay import order

    if from_ms >= to_ms:
        raise click.UsageError("--from is not before --to: nothing lies between")
    ordered = order(_place(config, file).path, sink, from_ms, to_ms)
    click.echo(
        f"{sink}: batches {ordered.first} to {ordered.last}, {ordered.entries:,} entries, go out"
        " again when the gateway starts"
    )
    return 0


def _place(config: Path | None, file: Path | None) -> _Place:
    if (config is None) == (file is None):
        raise click.UsageError("name the gateway's config, or a store with --file")
    if file is not None:
        return _Place(file, None)
    from kerbline.config import load, paths
    from kerbline.store import FILE_NAME

    assert config is not None
    loaded = load(config)
    path = loaded.gateway.state_dir / FILE_NAME
    return _Place(path, loaded.store.max_bytes, tuple(paths(loaded)))


def _told(found: Census) -> list[str]:
    cap = "no config, so no cap known"
    if found.cap_bytes is not None:
        cap = f"{found.cap_bytes:,} allowed, {found.left_bytes:,} left"
    return [
        f"{found.path}, {'in use by a gateway' if found.running else 'no gateway runs'}",
        f"bytes     {found.file_bytes:,} in the file, {found.log_bytes:,} in its log",
        f"cap       {found.used_bytes:,} bytes used; {cap}",
        f"entries   {found.entries:,} of {found.bytes_an_entry} bytes in {found.batches:,} batches",
        f"stored    {_at(found.oldest_ms)} to {_at(found.newest_ms)}",
        *[f"sink      {_sink(each)}" for each in found.sinks],
        *[f"gaps      {count:,} declared: {reason}" for reason, count in found.gaps.items()],
        *([f"unreadable {found.unreadable} batches: see verify"] if found.unreadable else []),
    ]


def _sink(sink: Behind) -> str:
    text = f"{sink.sink}: "
    if not sink.batches:
        text += "has everything"
    else:
        text += (
            f"{sink.entries:,} entries in {sink.batches:,} batches behind, oldest {sink.age_s:,} s"
        )
    return f"{text}; {sink.again:,} batches go again" if sink.again else text


def _at(at_ms: int | None) -> str:
    from kerbline.store.export import rfc3339

    return rfc3339(at_ms) or "-"


def _records(each: Affected) -> str:
    if each.last is None:
        numbers = f"{each.first} and later"
    else:
        numbers = f"{each.first}" if each.first == each.last else f"{each.first} to {each.last}"
    return f"{each.source} epoch {each.epoch}: {numbers}"
