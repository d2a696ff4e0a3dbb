"""Releases at hand for tests: one key for all of them, and a small release of a street light."""

import itertools
import os
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from kerbline.bundle import Bundle, Contents, Root, ed25519, loads, pack, sbom, sign_off
from kerbline.bundle.root import HSS_BEGINS
from kerbline.field.signing.assembly import packed
from kerbline.field.signing.lms import HEIGHT, Secret, Tree
from kerbwire import release
from tools.trees import ROOT

BOARD = "streetlight-esp32"
# Enough to look like code, little enough to be flipped bit by bit.
FILES = {
    "kerbnode/app.mpy": b"M\x06\x00\x1f" + bytes(range(256)) * 5,
    "kerbnode/sun.mpy": b"M\x06\x00\x1f" + bytes(range(255, -1, -1)) * 2,
    "kerbwire/node.mpy": b"M\x06\x00\x1f" + b"the same words again and again; " * 40,
}
STARTS = {"boot.py": b"import slots\n", "main.py": b"slots.start()\n", "slots.mpy": b"M\x06\x00"}
SMALL = Contents(
    board=BOARD,
    chip="esp32",
    version="0.1.0",
    sequence=7,
    files=FILES,
    starts=STARTS,
    commit="0123456789abcdef0123456789abcdef01234567",
    mpy_cross="1.29.0",
    messages=3,
    micropython="1.24",
)


@dataclass(frozen=True)
class Key:
    """A release key for tests: its seed is in this file."""

    root: Root
    tree: Tree
    private: bytes
    indices: "itertools.count[int]"

    def manifest(self, plain: bytes) -> bytes:
        """The signed manifest; each call takes an index."""
        signature = self.tree.sign(release.to_be_signed(plain), next(self.indices))
        return release.joined(plain, signature)

    def signed(self, bundle: Bundle | bytes) -> bytes:
        """The bundle, signed."""
        plain = loads(bundle, "unsigned", None) if isinstance(bundle, bytes) else bundle
        return sign_off(plain, self.root, self.manifest, self.private)


@cache
def key(letter: str = "r") -> Key:
    """The same letter is the same key; only the first run in a checkout takes a second for it."""
    tree = _tree(_kept(letter), letter)
    private = letter.encode() * 32
    return Key(Root(ed25519.public(private), tree.public), tree, private, itertools.count())


def copied(letter: str, index: int) -> Key:
    """A copy of a key on another machine, which is at that index."""
    own = key(letter)
    return replace(own, tree=_tree(_kept(letter), letter), indices=itertools.count(index))


def _kept(letter: str) -> Path:
    return ROOT / "build" / "keys" / f"{letter}-{metadata.version('pyhsslms')}"


def _tree(kept: Path, letter: str) -> Tree:
    try:
        found = pickle.loads(kept.read_bytes())
        assert isinstance(found, Tree)
    except (OSError, EOFError, pickle.UnpicklingError):
        found = Tree(Secret(HEIGHT, letter.encode() * 16, letter.encode() * 24))
        kept.parent.mkdir(parents=True, exist_ok=True)
        fresh = kept.with_suffix(f".{os.getpid()}")  # at once: other workers read it
        fresh.write_bytes(pickle.dumps(found))
        fresh.replace(kept)
    return found


def stranger() -> Root:
    """A root that nothing here is signed with; costs no tree."""
    return Root(ed25519.public(b"s" * 32), HSS_BEGINS + bytes(range(40)))


def unsigned(contents: Contents = SMALL, **changes: Any) -> bytes:
    """A bundle without signatures; `changes` are of Contents' fields."""
    changed = replace(contents, **changes)
    return pack(changed, sbom.made(changed))


def following(earlier: Bundle, contents: Contents = SMALL, **changes: Any) -> bytes:
    """A bundle without signatures, with parts from an earlier one."""
    return packed(replace(contents, **changes), [earlier])[0]


def signed(contents: Contents = SMALL, *, by: str = "r", **changes: Any) -> bytes:
    """A bundle as it is released."""
    return key(by).signed(unsigned(contents, **changes))


def with_files(changes: Mapping[str, bytes], without: Iterable[str] = ()) -> dict[str, bytes]:
    """FILES with other content or other names."""
    return {n: c for n, c in {**FILES, **changes}.items() if n not in set(without)}
