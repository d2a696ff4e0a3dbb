"""The nodes' keys at the gateway: where each starts from, and its ratchet's durable state."""

from __future__ import annotations

import json
import logging
import os
import re
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from kerbline.config.faults import Complaint
from kerbline.config.rules import KEY_BYTES, read_secret
from kerbline.errors import KerblineError

log = logging.getLogger("kerbline.keys")

MAX_GENERATION = (1 << 32) - 1
_KEY = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES}}}")


class KeyFault(KerblineError):
    """A key that can't be read or kept; its text never holds the key."""

    code = "key"


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """A node's key of one generation, and the next one while a WELCOME waits for its INFO."""

    generation: int
    key: bytes = field(repr=False)
    next_key: bytes | None = field(default=None, repr=False)


class KeyRing:
    """Keeps each node's `NodeKeys` in a file of its own, mode 0600, durable when `store` returns.

    A file remembers which key file it began with: a node that is flashed again, with a new key
    file, starts again at generation 0.
    """

    __slots__ = ("_folder", "_origins")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._origins: dict[str, str] = {}

    def load(self, node_id: str, key_file: Path) -> NodeKeys:
        """The kept keys, or generation 0 from the key file; raises KeyFault."""
        first = _first_key(key_file)
        self._origins[node_id] = _origin(first)
        path = self._path(node_id)
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return NodeKeys(0, first)
        except OSError as error:
            raise KeyFault(f"{path}: can't be read: {error.strerror}") from None
        try:
            origin, keys = _parse(path, text)
        except KeyFault as fault:
            # The node ratchets up from its first key; refusing would darken a whole street.
            path.replace(path.with_suffix(".damaged"))
            log.error("%s; set aside, node %s begins with its key file", fault, node_id)
            return NodeKeys(0, first)
        return keys if origin == self._origins[node_id] else NodeKeys(0, first)

    def store(self, node_id: str, keys: NodeKeys) -> None:
        """Make `keys` of a loaded node durable, in the place of what was kept; raises KeyFault."""
        body = {
            "origin": self._origins[node_id],
            "generation": keys.generation,
            "key": keys.key.hex(),
            "next_key": keys.next_key.hex() if keys.next_key else None,
        }
        line = json.dumps(body | {"check": _check(body)}) + "\n"
        path = self._path(node_id)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(path, line.encode())
        except OSError as error:
            raise KeyFault(f"{path}: can't be written: {error.strerror}") from None

    def _path(self, node_id: str) -> Path:
        return self._folder / f"{node_id}.json"


def _first_key(key_file: Path) -> bytes:
    content = read_secret(key_file)
    if isinstance(content, Complaint):
        raise KeyFault(f"key file {content.problem}; {content.remedy}")
    if not _KEY.fullmatch(content.lower()):
        raise KeyFault(f"key file {key_file} does not hold {2 * KEY_BYTES} hex digits")
    return bytes.fromhex(content)


def _origin(first_key: bytes) -> str:
    """Names a key file's content without telling it."""
    return sha256(b"kerbline key origin" + first_key).hexdigest()[:16]


def _check(body: dict[str, object]) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())


def _parse(path: Path, text: bytes) -> tuple[str, NodeKeys]:
    damaged = KeyFault(f"{path}: damaged")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise damaged from None
    if not isinstance(body, dict) or body.pop("check", None) != _check(body):
        raise damaged
    match body:
        case {
            "origin": str(origin),
            "generation": int(generation),
            "key": str(key),
            "next_key": str() | None as next_key,
        } if (
            0 <= generation <= MAX_GENERATION
            and _KEY.fullmatch(key)
            and (next_key is None or _KEY.fullmatch(next_key))
        ):
            following = None if next_key is None else bytes.fromhex(next_key)
            return origin, NodeKeys(generation, bytes.fromhex(key), following)
    raise damaged


def _replace(path: Path, content: bytes) -> None:
    """Write so that after a power cut either the old or the new content stands there whole.

    What was there is blanked and lies ready for the next time: a full disk that takes no new block
    still takes a key.
    """
    draft, blank = path.with_suffix(".new"), path.with_suffix(".old")
    _write(draft, content)
    blank.unlink(missing_ok=True)
    with suppress(OSError):  # the first key, or a file system without links
        os.link(path, blank)
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    with suppress(OSError):  # the key is safe; without a blank the next one needs room
        _write(blank, bytes(len(content)))
        blank.replace(draft)


def _write(path: Path, content: bytes) -> None:
    """In its place, block for block; durable on return."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        file.truncate()
        os.fsync(file.fileno())
