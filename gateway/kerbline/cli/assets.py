"""`kerbline assets`: the list of what stands in the city, into a gateway, out of it, and shown."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerbline.errors import KerblineError

if TYPE_CHECKING:
    from kerbline.assets import Asset, Registry
    from kerbline.assets.merge import Merged
    from kerbline.config import Config

_FILE = click.Path(path_type=Path)
_config = click.argument("config", type=_FILE)
_form = click.option("--format", "form", type=click.Choice(["csv", "json", "geojson"]))
STANDARD_INPUT = "-"


@click.group("assets")
def group() -> None:
    """Keep the list of assets: what stands where, apart from the devices that serve it."""


@group.command("import")
@_config
@click.argument("file", type=_FILE)
@_form
@click.option("--replace", is_flag=True, help="The file is the whole list: others are removed.")
@click.option("--dry-run", is_flag=True, help="Only tell what would change.")
def import_(config: Path, file: Path, *, form: str | None, replace: bool, dry_run: bool) -> int:
    """Put the assets of a CSV, JSON or GeoJSON file into the list, by their ids.

    Where one of them is wrong, nothing is changed: each fault is told, and the exit status is 2.
    """
    from kerbline.assets import kept, lists
    from kerbline.assets.merge import merged
    from kerbline.assets.metered import kinds

    loaded = _loaded(config)
    content = sys.stdin.buffer.read() if str(file) == STANDARD_INPUT else _content(file)
    drafts = lists.drafts(content, str(file), form or lists.form_of(file))
    folder = loaded.gateway.state_dir
    with kept.held(folder):
        try:
            before = kept.read(folder)
        except kept.AssetsLost:
            if not replace:
                raise
            before = []
        made = merged(before, drafts, kinds(loaded), whole=replace)
        if not dry_run:
            kept.write(folder, made.assets)
    for line in _notes(made):
        click.echo(f"note: {line}", err=True)
    click.echo(_summary(made) + ("; nothing was changed" if dry_run else ""))
    return 0 if dry_run else _hand_over(loaded)


@group.command()
@_config
@click.option("--out", type=_FILE, help="Written whole or not at all; else standard output.")
@_form
@click.option("--all", "everything", is_flag=True, help="Those that only the config names, too.")
def export(config: Path, *, out: Path | None, form: str | None, everything: bool) -> int:
    """Write the list as CSV, JSON or GeoJSON; `assets import` takes each of them."""
    from kerbline.assets import kept, lists
    from kerbline.assets.metered import kinds
    from kerbline.assets.registry import Registry

    loaded = _loaded(config)
    form = form or (lists.form_of(out) if out else lists.CSV)
    if form is None:
        raise click.UsageError(f"{out}: name --format, or end the name in .csv, .json, .geojson")
    assets = kept.read(loaded.gateway.state_dir)
    if everything:
        assets = list(Registry("", assets, kinds(loaded)).all())
    content = lists.written(assets, form).encode()
    if out is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        _keep(out, content, config, loaded)
    click.echo(f"{len(assets):,} assets", err=True)
    return 0


@group.command()
@_config
@click.argument("ids", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON list.")
def show(config: Path, ids: tuple[str, ...], *, as_json: bool) -> int:
    """Show assets, all or those named: what they are, where, at which device, how they are kept."""
    from kerbline.assets import kept, registry
    from kerbline.cli.claims import with_joined

    loaded = with_joined(_loaded(config))
    known = registry.empty(loaded)
    known.take(kept.read(loaded.gateway.state_dir))
    assets = {each.id: each for each in known.all()}
    for each in ids:
        if each not in assets:
            raise KerblineError(f"{each} is neither in the list of assets nor in {config}")
    chosen = [assets[each] for each in ids] or list(assets.values())
    rows = [_told(known, each, _devices(loaded)) for each in chosen]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return 0
    from kerbline.cli.tables import aligned

    keys = ("id", "type", "name", "place", "group", "zone", "segment", "device", "readings")
    for line in aligned([keys, *([str(row[key]) for key in keys] for row in rows)]):
        click.echo(line)
    return 0


def doubts(loaded: Config) -> list[str]:
    """What the list of a config's gateway may lack, or why it can't be read."""
    if loaded.city is None:
        return []
    from kerbline.assets import crossings, kept

    try:
        listed = kept.read(loaded.gateway.state_dir)
    except kept.AssetsLost as error:
        return [str(error)]
    found = list(crossings.doubts(loaded, listed))
    if loaded.brokers:
        from kerbline.assets import registry
        from kerbline.cli.iota import telegrams
        from kerbline.north.ngsi_ld.models import city_of
        from kerbline.north.ngsi_ld.models.doubts import doubts as doubts_of

        known = registry.empty(loaded)
        known.take(listed)
        found += doubts_of(city_of(loaded, known), telegrams(loaded))
    return found


def _loaded(path: Path) -> Config:
    from kerbline.config import load

    loaded = load(path)
    if loaded.city is None:
        raise KerblineError(f'{path}: assets belong to a city; add [city] with id = "..."')
    return loaded


def _content(file: Path) -> bytes:
    """A file, and what a terminal pipes under a name; more than a list may hold is cut."""
    from kerbline.assets.lists import MAX_BYTES

    if file.is_dir():
        raise KerblineError(f"{file} is a folder; name a file")
    with file.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _keep(out: Path, content: bytes, config: Path, loaded: Config) -> None:
    from kerbline import durable
    from kerbline.config import paths

    target = out.resolve()
    spared = [config, *paths(loaded)]
    if any(target.is_relative_to(each.resolve()) for each in spared):
        raise KerblineError(f"{out} belongs to the gateway; name another file")
    if target.exists() and not target.is_file():
        raise KerblineError(f"{out} is no regular file; name another, or leave out --out")
    if not target.parent.is_dir():
        raise KerblineError(f"{target.parent} is no folder; make it, or name another file")
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    durable.replace(target, content, mode=0o666, draft=part)


def _notes(made: Merged) -> Iterator[str]:
    most = 20
    yield from made.notes[:most]
    if len(made.notes) > most:
        yield f"and {len(made.notes) - most:,} more"


def _summary(made: Merged) -> str:
    said = f"{made.added:,} new, {made.changed:,} changed, {made.same:,} as they were"
    if made.removed:
        said += f", {made.removed:,} removed"
    return f"{said}; {len(made.assets):,} in the list"


def _hand_over(loaded: Config) -> int:
    """Let a running gateway take the list up."""
    from kerbline.local_socket import SOCKET_FILE, Declined, NotServing, ask

    name = loaded.gateway.id
    try:
        taken = ask(loaded.gateway.state_dir / SOCKET_FILE, {"ask": "assets"})
    except NotServing as error:
        click.echo(f"{name} takes them up when it starts: {error}")
    except Declined as error:
        click.echo(f"{name} runs and did not take them up: {error}", err=True)
        return 1
    else:
        click.echo(f"{name} runs and has taken them up")
        if closed := taken.get("personal_now"):
            waits = f"what of {', '.join(closed)} waits to be sent was taken while it was public"
            click.echo(f"restart {name}: {waits}, and still leaves", err=True)
    return 0


def _told(known: Registry, asset: Asset, devices: dict[str, str]) -> dict[str, Any]:
    return {
        "id": asset.id,
        "urn": known.urn(asset.type, asset.id),
        "type": asset.type,
        "name": asset.name,
        "place": _place(asset),
        "group": asset.group,
        "zone": asset.zone,
        "segment": asset.segment,
        "owner": asset.owner,
        "device": devices.get(asset.id, ""),
        "listed": known.listed(asset.id),
        "readings": "personal" if known.personal(asset.id) else "public",
    }


def _place(asset: Asset) -> str:
    if asset.location is None:
        return ""
    lon, lat, *_ = asset.location.positions[0]
    more = len(asset.location.positions) - 1
    return f"{lat:.6f} {lon:.6f}" + (f" and {more} more" if more else "")


def _devices(loaded: Config) -> dict[str, str]:
    """What the config has at each asset."""
    found = {node.asset: f"node {node.id}" for node in loaded.nodes}
    found |= {
        device.asset: f"{bus.name} unit {device.unit}"
        for bus in loaded.buses
        for device in bus.devices
    }
    for serial in loaded.serials:
        found |= {asset: f"{serial.name} {meter}" for meter, asset in serial.assets.items()}
        found[serial.asset] = serial.name
    return found
