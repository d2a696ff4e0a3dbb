"""A release key's folder: two private keys, mode 0600, and release.pub, which others get."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from kerbline.bundle import Root, ed25519
from kerbline.field.signing.counter import Counter
from kerbline.field.signing.disk import Disk, keep
from kerbline.field.signing.faults import SignerFault
from kerbline.field.signing.lms import HEIGHT, IDENTIFIER_BYTES, SEED_BYTES, Secret, Tree

PUBLIC = "release.pub"
SECRET = "release.key"
LOCK = "lock"
_FIRST_LINE = "kerbline release key: whoever has this can update your nodes"
_NAMES = ("ed25519", "identifier", "seed")


@dataclass(frozen=True, slots=True)
class Private:
    """What a root's signatures are made with."""

    hss: Secret
    ed25519: bytes = field(repr=False)

    @classmethod
    def fresh(cls) -> Private:
        """From the system's chance."""
        return cls(Secret.fresh(), secrets.token_bytes(ed25519.KEY_BYTES))

    @property
    def text(self) -> str:
        """What release.key says."""
        values = (self.ed25519, self.hss.identifier, self.hss.seed)
        lines = [f"{n} {v.hex()}" for n, v in zip(_NAMES, values, strict=True)]
        return "\n".join([_FIRST_LINE, f"height {self.hss.height}", *lines]) + "\n"


def default_witnesses() -> Path:
    """Where witnesses are kept: the user's state folder (XDG base directories)."""
    told = os.environ.get("XDG_STATE_HOME", "")
    state = Path(told) if told.startswith("/") else Path.home() / ".local" / "state"
    return state / "kerbline" / "release"


def witness_of(root: Root, folder: Path) -> Path:
    """The witness of a root."""
    return folder / f"{root}.index"


def generate(disk: Disk, folder: Path, witnesses: Path) -> Root:
    """A fresh release key in a new folder; raises SignerFault, OSError."""
    _check_apart(folder, witnesses)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SignerFault(folder, "exists", "is not empty", "name a folder that is not there yet")
    folder.chmod(0o700)
    witnesses.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = Private.fresh()
    root = Root(ed25519.public(private.ed25519), Tree(private.hss).public)
    keep(disk, folder / SECRET, private.text.encode())
    Counter(disk, folder, witness_of(root, witnesses)).begin()
    keep(disk, folder / PUBLIC, root.text.encode())
    (folder / PUBLIC).chmod(0o644)
    disk.sync_folder(folder.absolute().parent)
    return root


def load(folder: Path) -> tuple[Root, Private]:
    """The key in a folder; raises SignerFault, BundleFault. Whether it is whole `tree` tells."""
    path = folder / SECRET
    try:
        mode = path.stat().st_mode
        lines = path.read_text().splitlines() if path.is_file() else []  # a pipe would wait
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text"
        raise SignerFault(
            path, "key", f"can't be read: {why}", "name the folder that `keygen` made"
        ) from None
    if lines and mode & 0o077:
        raise SignerFault(path, "permission", "others may read it", f"chmod 600 {path}")
    try:
        values = dict(line.split(" ") for line in lines[1:])
        height, private = int(values["height"]), bytes.fromhex(values["ed25519"])
        identifier, seed = bytes.fromhex(values["identifier"]), bytes.fromhex(values["seed"])
        sound = lines[0] == _FIRST_LINE and height == HEIGHT and len(seed) == SEED_BYTES
        sound = sound and len(identifier) == IDENTIFIER_BYTES and len(private) == ed25519.KEY_BYTES
    except (ValueError, KeyError, IndexError):
        sound = False
    if not sound:
        raise SignerFault(path, "key", "is no release key", "restore it: see releases.md")
    return Root.load(folder / PUBLIC), Private(Secret(height, identifier, seed), private)


def tree(folder: Path, root: Root, private: Private) -> Tree:
    """The key's tree, made anew; raises SignerFault where it is not the one of the root."""
    made = Tree(private.hss)
    if root != Root(ed25519.public(private.ed25519), made.public):
        raise SignerFault(
            folder, "key", f"{SECRET} and {PUBLIC} do not fit", "restore it: see releases.md"
        )
    return made


@contextmanager
def alone(*folders: Path) -> Iterator[None]:
    """As long as nobody else signs with one of these folders; raises SignerFault("busy")."""
    held: list[int] = []
    try:
        for folder in folders:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            held.append(os.open(folder / LOCK, flags, 0o600))
            try:
                flock(held[-1], LOCK_EX | LOCK_NB)
            except BlockingIOError:
                raise SignerFault(
                    folder, "busy", "another signer is at work", "wait until it is done"
                ) from None
        yield
    finally:
        for descriptor in held:  # a killed signer's lock goes with it
            os.close(descriptor)


def _check_apart(folder: Path, witnesses: Path) -> None:
    if witnesses.resolve().is_relative_to(folder.resolve()):
        raise SignerFault(
            witnesses,
            "witness",
            f"lies in the key's folder {folder}: one backup would bring back both",
            "name a place outside of it",
        )
