"""The nodes' keys at the gateway: where each starts from, and its ratchet's durable state."""

from __future__ import annotations

import json
import logging
import re
import zlib
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from kerbline import durable
from kerbline.config.faults import Complaint
from kerbline.config.rules import KEY_BYTES, read_secret
from kerbline.keys.faults import KeyFault
from kerbline.keys.files import erase, replace

log = logging.getLogger("kerbline.keys")

KEY_FOLDER = "keys"  # in the gateway's state folder
MAX_GENERATION = (1 << 32) - 1
_KEY = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES}}}")


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """A node's key of one generation, and the next one while a WELCOME waits for its INFO."""

    generation: int
    key: bytes = field(repr=False)
    next_key: bytes | None = field(default=None, repr=False)


class KeyRing:
    """Keeps each node's `NodeKeys` in a file of its own, mode 0600, durable when `store` returns.

    A file remembers which key file it began with: a node that is flashed again, with a new key
    file, starts again at generation 0. A node that brought a claim has no key file: what stands
    here is all there is of its key.
    """

    __slots__ = ("_claimed", "_folder", "_origins")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._origins: dict[str, str] = {}
        self._claimed: dict[str, str] = {}  # origins by node id

    def load(self, node_id: str, key_file: Path) -> NodeKeys:
        """The kept keys, or generation 0 from the key file; raises KeyFault."""
        if node_id in self._claimed:
            return self._kept(node_id, self._claimed[node_id])
        first = first_key(key_file)
        self._origins[node_id] = origin_of(first)
        path = self._path(node_id)
        try:
            text = durable.content(path)
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

    def claimed(self, node_id: str, origin: str) -> None:
        """This node brought a claim, with a key of that origin: it has no key file."""
        self._claimed[node_id] = origin

    def has_claim(self, node_id: str) -> bool:
        """Did this node bring a claim, so that it has no key file?"""
        return node_id in self._claimed

    def take(self, node_id: str, key: bytes, generation: int) -> str:
        """Keep the key of a claim, durably, unless it is kept already; its origin."""
        origin = origin_of(key)
        self.claimed(node_id, origin)
        try:
            self._kept(node_id, origin)
        except KeyFault:
            self._origins[node_id] = origin
            self.store(node_id, NodeKeys(generation, key))
        return origin

    def tip(self, node_id: str) -> tuple[str, NodeKeys] | None:
        """The origin and the newest keys that are kept of a node; None where there are none."""
        try:
            return _parse(self._path(node_id), durable.content(self._path(node_id)))
        except (OSError, KeyFault):
            return None

    def forget(self, node_id: str) -> None:
        """Its keys are gone when this returns, as far as a file system lets go of anything."""
        self._claimed.pop(node_id, None)
        try:
            erase(self._path(node_id))
        except OSError as error:
            raise KeyFault(f"{self._path(node_id)}: can't be erased: {error.strerror}") from None

    def _kept(self, node_id: str, origin: str) -> NodeKeys:
        """The keys of a node that brought a claim; KeyFault where they are lost."""
        self._origins[node_id] = origin
        kept = self.tip(node_id)
        if kept is None or kept[0] != origin:
            raise KeyFault(
                f"node {node_id}: its key is lost here; bring its claim again: `kerbline permit` "
                "at the gateway, or `kerbline claims add`"
            )
        return kept[1]

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
            durable.folder(self._folder)
            replace(path, line.encode())
        except OSError as error:
            raise KeyFault(f"{path}: can't be written: {error.strerror}") from None

    def _path(self, node_id: str) -> Path:
        return self._folder / f"{node_id}.json"


def first_key(key_file: Path) -> bytes:
    """What a key file holds; raises KeyFault."""
    content = read_secret(key_file)
    if isinstance(content, Complaint):
        raise KeyFault(f"key file {content.problem}; {content.remedy}")
    if not _KEY.fullmatch(content.lower()):
        raise KeyFault(f"key file {key_file} does not hold {2 * KEY_BYTES} hex digits")
    return bytes.fromhex(content)


def origin_of(key: bytes) -> str:
    """Names a key that a node began with, without telling it."""
    return sha256(b"kerbline key origin" + key).hexdigest()[:16]


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
