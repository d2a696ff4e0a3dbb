"""`kerbline firmware`: make, sign and look at releases of a node's firmware."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from kerbline.bundle import Bundle

Command = TypeVar("Command", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path)
_DAY = click.DateTime(["%Y-%m-%d"])
_SEQUENCE = click.IntRange(1, (1 << 32) - 1)

_BUNDLE = click.argument("bundle", type=_FILE)
_WITNESS = click.option(
    "--witness", type=_FILE, help="Folder of the witness, outside of the key's."
)
_REPLACE = click.option(
    "--replace", is_flag=True, help="Write over what is at --out, a signed bundle too."
)


def _from(text: str) -> Callable[[Command], Command]:
    """Earlier bundles, for what the text says."""
    return click.option(
        "--from", "earlier", multiple=True, type=_FILE, help=f"{text} Several times."
    )


@click.group("firmware")
def group() -> None:
    """Make, sign, verify and look at releases of a node's firmware."""


@group.command()
@click.argument("board")
@click.option(
    "--sequence", required=True, type=_SEQUENCE, help="Above that of each release before."
)
@click.option("--out", required=True, type=_FILE, help="The bundle, NAME.kerb.")
@click.option("--expires", type=_DAY, help="The last day, UTC, on which a node takes it.")
@_from("A bundle that nodes run: adds what leads from it to this one.")
@click.option("--micropython", type=_FILE, help="An .app-bin that goes with it (OTA slots).")
@click.option("--next-root", type=_FILE, help="release.pub of the key that signs what follows.")
@click.option("--over-budget", is_flag=True, help="Build what exceeds the board's budget, too.")
@_REPLACE
def build(
    board: str,
    *,
    sequence: int,
    out: Path,
    expires: datetime | None,
    earlier: tuple[Path, ...],
    micropython: Path | None,
    next_root: Path | None,
    over_budget: bool,
    replace: bool,
) -> int:
    """Build BOARD's firmware into an unsigned bundle; the same tree makes the same bytes."""
    from kerbline.field.signing import assembly
    from kerbline.field.signing.disk import RealDisk
    from kerbline.field.signing.outlet import outlet, put

    place = outlet(out, replace=replace)
    if expires and expires.date() < datetime.now(UTC).date():
        _say(f"warning: its last day was {expires.date()}: no node takes it any more")
    data, bundle = assembly.assemble(
        board,
        sequence=sequence,
        say=_say,
        expires=expires.date() if expires else None,
        earlier=earlier,
        micropython=micropython,
        next_root=next_root,
        over_budget=over_budget,
    )
    put(RealDisk(), place, data)
    if bundle.about.dirty:
        _say("warning: the tree has changes that no commit has: nobody can build this again")
    click.echo(f"{out}: build {bundle.build.hex()}, {len(data):,} bytes, not signed")
    for patch in bundle.about.patches:
        click.echo(f"from build {patch.from_build}: {patch.size:,} bytes")
    return 0


@group.command()
@click.argument("folder", type=_FILE)
@_WITNESS
def keygen(folder: Path, *, witness: Path | None) -> int:
    """Make a release key in the new FOLDER; its release.pub is what others get."""
    from kerbline.field.signing import keys
    from kerbline.field.signing.disk import RealDisk

    witnesses = witness or keys.default_witnesses()
    root = keys.generate(RealDisk(), folder, witnesses)
    click.echo(f"root {root}: {folder / keys.PUBLIC} is public, the rest of {folder} is secret")
    click.echo(f"its witness: {keys.witness_of(root, witnesses)}")
    return 0


@group.command()
@_BUNDLE
@click.option("--key", required=True, type=_FILE, help="The folder that `keygen` made.")
@click.option("--out", type=_FILE, help="Write there; without it BUNDLE is signed in its place.")
@_from("A bundle that this key signed: its index must be below.")
@_WITNESS
@_REPLACE
@click.option("--adopt", is_flag=True, help="Sign with a key that this machine does not know.")
@click.option("--next-index", type=click.IntRange(0, 1023), help="With --adopt: go on from there.")
@click.option("--from-dirty-tree", is_flag=True, help="Sign what nobody can build again.")
def sign(
    bundle: Path,
    *,
    key: Path,
    out: Path | None,
    earlier: tuple[Path, ...],
    witness: Path | None,
    replace: bool,
    adopt: bool,
    next_index: int | None,
    from_dirty_tree: bool,
) -> int:
    """Sign BUNDLE with a release key; each signature is one of 1,024 and is never given back."""
    from kerbline.field.signing import keys, signer

    if adopt != (next_index is not None):
        raise click.UsageError("--adopt and --next-index N go together")
    done = signer.sign(
        bundle,
        out or bundle,
        key,
        witness or keys.default_witnesses(),
        say=_say,
        earlier=earlier,
        adopt_index=next_index,
        from_dirty_tree=from_dirty_tree,
        replace=replace,
    )
    click.echo(
        f"{out or bundle}: signed by root {done.bundle.root.hex()}, index {done.index}, "
        f"{done.left:,} left"
    )
    return 0


@group.command()
@_BUNDLE
@click.option("--root", "root_file", required=True, type=_FILE, help="release.pub of the makers.")
@click.option("--board", help="Refuse what is for another board.")
@click.option("--at-least", type=_SEQUENCE, help="Refuse a lower sequence.")
@click.option("--on", type=_DAY, help="Refuse what is expired on that day; without it, now.")
def verify(
    bundle: Path,
    *,
    root_file: Path,
    board: str | None,
    at_least: int | None,
    on: datetime | None,
) -> int:
    """Tell whether BUNDLE is, byte for byte, what the owner of the root released."""
    from kerbline.bundle import Root, demand, load
    from kerbline.field.signing.assembly import EPOCH

    root = Root.load(root_file)
    found = load(bundle, root)
    now = on.replace(tzinfo=UTC) if on else datetime.now(UTC)
    now_s = int((now - EPOCH).total_seconds())
    demand(found, bundle, board=board, at_least=at_least, now_s=now_s)
    about = found.about
    click.echo(
        f"{bundle}: good; {about.board} {about.version}, sequence {about.sequence}, build "
        f"{about.build}, signed by root {root}"
    )
    return 0


@group.command()
@_BUNDLE
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object.")
def inspect(bundle: Path, *, as_json: bool) -> int:
    """Tell what is in BUNDLE; trusts nobody's signature."""
    import json

    from kerbline.bundle import load

    found = load(bundle, None)
    told = _told(found)
    if as_json:
        click.echo(json.dumps(told | {"files": _files(found)}))
        return 0
    for name, value in told.items():
        click.echo(f"{name.replace('_', ' '):12} {_shown(value)}")
    click.echo(f"\n{'bytes':>7}  {'SHA-256, cut':32}  name")
    for file in _files(found):
        click.echo(f"{file['bytes']:7,}  {file['digest']}  {file['name']}")
    return 0


def _told(bundle: Bundle) -> dict[str, object]:
    from kerbline.field.signing.assembly import last_day

    about = bundle.about
    image = bundle.image
    return {
        "board": about.board,
        "chip": about.chip,
        "version": about.version,
        "sequence": about.sequence,
        "build": about.build,
        "commit": about.commit + (" and changes" if about.dirty else ""),
        "last_day": last_day(about.expires_s),
        "mpy_cross": about.mpy_cross,
        "messages": about.messages,
        "signed_by": bundle.root.hex() or None,
        "index": None if bundle.index < 0 else bundle.index,
        "next_root": str(bundle.next_root) if bundle.next_root else None,
        "image_bytes": None if image is None else len(image),
        "parts": {patch.from_build: patch.size for patch in about.patches},
    }


def _files(bundle: Bundle) -> list[dict[str, object]]:
    return [
        {"name": name, "bytes": size, "digest": digest.hex()}
        for name, size, digest in bundle.manifest.entries
    ]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"from {key}: {size:,} bytes" for key, size in value.items()) or "-"
    return "-" if value is None else str(value)


def _say(text: str) -> None:
    click.echo(text, err=True)
