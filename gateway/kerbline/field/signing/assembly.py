"""Assembles a release from the tree: builds the board, makes its parts, packs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path

from kerbline import boards
from kerbline.bundle import (
    Bundle,
    Contents,
    PackFault,
    Root,
    image,
    load,
    loads,
    pack,
    parts,
    sbom,
)
from kerbline.firmware import build, cross, identity, kept
from kerbwire.manifest import digest
from kerbwire.messages import MESSAGES_VERSION
from kerbwire.parts import steps

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # of a manifest's times
_LAST_DAY = EPOCH.date() + timedelta(days=(1 << 32) // 86_400 - 1)  # its 32 bits hold the end of it


def expiry_s(day: date | None) -> int:
    """When a release expires whose last day this is, in s since 2000-01-01 UTC; 0: never.

    Raises PackFault for a day that no manifest can tell.
    """
    if day is None:
        return 0
    seconds = ((day - EPOCH.date()).days + 1) * 86_400
    if not 0 < seconds < 1 << 32:
        raise PackFault(
            f"--expires {day}: a manifest tells days from {EPOCH.date()} to {_LAST_DAY} alone"
        )
    return seconds


def last_day(expires_s: int) -> str | None:
    """The last day of a release, as `expiry_s` has it; None where it never expires."""
    if expires_s == 0:
        return None
    return (EPOCH + timedelta(seconds=expires_s - 1)).date().isoformat()


def assemble(
    board_name: str,
    *,
    sequence: int,
    say: Callable[[str], None],
    expires: date | None = None,
    earlier: Sequence[Path] = (),
    micropython: Path | None = None,
    next_root: Path | None = None,
    over_budget: bool = False,
) -> tuple[bytes, Bundle]:
    """The unsigned bundle of that board, and what it says; raises KerblineError."""
    file = boards.find(board_name)
    board = boards.load(file)
    before = [_earlier(path, board.name, sequence) for path in earlier]
    expires_s = expiry_s(expires)
    app_image = None if micropython is None else image.load(micropython, board.chip.name)
    following = None if next_root is None else Root.load(next_root)
    firmware = _built(board, str(file), say, over_budget=over_budget)  # which takes its time
    contents = replace(
        _contents(board, firmware, sequence),
        expires_s=expires_s,
        image=app_image,
        next_root=following,
    )
    return packed(contents, before)


def _built(
    board: boards.Board, file: str, say: Callable[[str], None], *, over_budget: bool
) -> build.Firmware:
    firmware = build.build(build.of_board(board, file), keep=kept.folder())
    faults = build.exceeded(firmware)
    if faults and not over_budget:
        raise build.BuildFault("\n".join([*faults, "no release exceeds its budget"]))
    for fault in faults:
        say(f"warning: {fault}")
    return firmware


def _contents(board: boards.Board, firmware: build.Firmware, sequence: int) -> Contents:
    """What the build itself tells."""
    chip = board.chip
    return Contents(
        board=board.name,
        chip=chip.name,
        version=identity.version(),
        sequence=sequence,
        files={name: data for name, data in firmware.files.items() if name != build.IDENTITY_FILE},
        starts=firmware.starts,
        commit=str(firmware.about["commit"]),
        dirty=bool(firmware.about["dirty"]),
        mpy_cross=cross.version(),
        messages=MESSAGES_VERSION,
        micropython=".".join(map(str, chip.micropython)) if chip.real else "",
    )


def packed(contents: Contents, before: Sequence[Bundle] = ()) -> tuple[bytes, Bundle]:
    """The unsigned bundle of these contents with parts from earlier ones, and what it says."""
    plain = contents.manifest()
    objects = {digest(content): content for content in contents.files.values()}
    patches = []
    for old in before:
        made = parts.made(plain, objects.__getitem__, old.manifest_bytes, old.object)
        if made:  # else all that is new is a name
            _prove(made, plain, objects, old)
            patches.append((old, made))
    whole = replace(contents, patches=tuple(patches))
    data = pack(whole, sbom.made(whole))
    return data, loads(data, "the bundle", None)


class _Sink:
    """Objects that parts made, in memory; `found` by their digests."""

    def __init__(self) -> None:
        self.found: dict[bytes, bytes] = {}
        self._digest = b""
        self._made = bytearray()

    def begin(self, digest: bytes, _size: int) -> None:
        self._digest, self._made = digest, bytearray()

    def write(self, data: memoryview) -> None:
        self._made += data

    def end(self) -> None:
        self.found[self._digest] = bytes(self._made)


def _prove(made: bytes, plain: bytes, objects: Mapping[bytes, bytes], old: Bundle) -> None:
    """Do parts and earlier objects, applied as a node does it, give all of this release's?"""
    sink = _Sink()

    def opened(digest: bytes) -> BytesIO | None:
        return BytesIO(old.objects[digest]) if digest in old.objects else None

    for _ in steps(BytesIO(made), plain, opened, sink):
        pass
    assert {**old.objects, **sink.found}.items() >= objects.items()


def _earlier(path: Path, board: str, sequence: int) -> Bundle:
    """A bundle that nodes of that board run before this sequence; raises KerblineError."""
    old = load(path, None)
    if old.about.board != board:
        raise PackFault(f"{path}: is for {old.about.board}, not for {board}")
    if old.about.sequence >= sequence:
        raise PackFault(
            f"{path}: its sequence is {old.about.sequence}; a node takes higher ones only: "
            f"say --sequence {old.about.sequence + 1} or more"
        )
    return old
