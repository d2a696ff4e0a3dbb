"""The gateway's own list of assets: one file of its state folder, whole or not there."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from kerbline.assets import places
from kerbline.assets.asset import Asset
from kerbline.assets.faults import AssetsFault
from kerbline.assets.listed import plain

FILE_NAME = "assets.json"  # in the gateway's state folder
FORMAT = 1


class AssetsLost(AssetsFault):
    """The list is there and can't be read, or is damaged."""

    exit_status = 1


def read(state_dir: Path) -> list[Asset]:
    """The list, empty where none was ever imported; raises AssetsLost."""
    path = state_dir / FILE_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        remedy = "let the gateway's user read it"
        raise AssetsLost(f"{path}: can't be read: {error.strerror}; {remedy}") from None
    try:
        tree = orjson.loads(content)
        version, check, assets = tree["format"], tree["crc32"], tree["assets"]
        sound = check == _check(assets)
    except (ValueError, KeyError, TypeError):
        sound, version = False, FORMAT
    if version != FORMAT:
        problem = f"format {version!r}, written by another version of kerbline"
        raise AssetsLost(f"{path}: {problem}; import the list again with --replace")
    if not sound:
        raise AssetsLost(f"{path}: damaged; import the list again with --replace")
    return [_asset(each) for each in assets]


def write(state_dir: Path, assets: Iterable[Asset]) -> None:
    """Keep the list; after a power cut the old or the new one stands there whole.

    A list that can't be read is put aside as `.damaged`. Raises AssetsFault where it can't be kept.
    """
    path = state_dir / FILE_NAME
    listed = [plain(each) for each in assets]
    content = orjson.dumps({"format": FORMAT, "crc32": _check(listed), "assets": listed})
    try:
        read(state_dir)
    except AssetsLost:
        path.replace(path.with_suffix(".damaged"))
    try:
        replaced(path, content + b"\n", mode=0o600)
    except OSError as error:
        raise AssetsFault(f"{path}: can't be written: {error.strerror}") from None


@contextmanager
def held(state_dir: Path) -> Iterator[None]:
    """Nobody else changes the list meanwhile; raises AssetsFault where somebody does."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise AssetsFault(f"{state_dir}: can't be used: {error.strerror}") from None
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = f"{state_dir / FILE_NAME}: another import is under way"
            raise AssetsFault(f"{where}; try again when it is done") from None
        yield
    finally:
        os.close(folder)


def replaced(path: Path, content: bytes, *, mode: int) -> None:
    """Put `content` at `path`, durably, whole or not at all; it belongs to the folder's owner."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(draft, flags, mode), "wb") as file:
            file.write(content)
            file.flush()
            if os.geteuid() == 0:  # with sudo: the gateway's own user must read it
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check(assets: object) -> int:
    return zlib.crc32(orjson.dumps(assets))


def _asset(tree: dict[str, Any]) -> Asset:
    geometry = tree.pop("location", None)
    return Asset(**tree, location=None if geometry is None else places.parse(geometry))
