"""The gateway's own list of assets: one file of its state folder, whole or not there."""

from __future__ import annotations

import fcntl
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from kerbline import durable
from kerbline.assets import places
from kerbline.assets.asset import Asset, plain
from kerbline.assets.faults import AssetsFault

FILE_NAME = "assets.json"  # in the gateway's state folder
FORMAT = 1


class AssetsLost(AssetsFault):
    """The list is there and can't be read, or is damaged."""

    exit_status = 1


class _Newer(Exception):
    """A format that is not ours."""


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
        return _parse(orjson.loads(content))
    except _Newer as error:
        problem = f"format {error}, written by another version of kerbline"
    except (ValueError, LookupError, TypeError, AttributeError):  # whatever the bytes became
        problem = "damaged"
    raise AssetsLost(f"{path}: {problem}; import the list again with --replace")


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
        durable.replace(path, content + b"\n")
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


def _check(assets: object) -> int:
    return zlib.crc32(orjson.dumps(assets))


def _parse(tree: dict[str, Any]) -> list[Asset]:
    if tree["format"] != FORMAT:
        raise _Newer(tree["format"])
    if tree["crc32"] != _check(tree["assets"]):
        raise ValueError
    return [_asset(each) for each in tree["assets"]]


def _asset(tree: dict[str, Any]) -> Asset:
    geometry = tree.pop("location", None)
    texts = {key: sys.intern(text) for key, text in tree.items()}  # one "Streetlight" for all
    return Asset(**texts, location=None if geometry is None else places.parse(geometry))
