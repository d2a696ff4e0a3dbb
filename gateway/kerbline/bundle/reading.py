"""Reads a bundle and refuses every one that is not, byte for byte, as its makers released it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from kerbline.bundle import about as abouts
from kerbline.bundle import archive, checking, layout, signatures
from kerbline.bundle.about import About
from kerbline.bundle.faults import BundleFault
from kerbline.bundle.root import Root
from kerbwire import manifest as manifests
from kerbwire.errors import RemoteError
from kerbwire.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Bundle:
    """A release of one board class, in memory.

    `verified`: by the root that `load` was given. `signed_manifest` is b"", `root` (a fingerprint)
    b"" and `index` (of the HSS signature) -1 where nobody has signed yet.
    """

    about: About
    manifest: Manifest
    manifest_bytes: bytes
    signed_manifest: bytes
    root: bytes
    index: int
    verified: bool
    members: Mapping[str, bytes] = field(repr=False)

    @property
    def build(self) -> bytes:
        """The build's id, 8 bytes."""
        return manifests.build_id(self.manifest_bytes)

    def object(self, digest: bytes) -> bytes:
        """The object that the manifest names by this digest; KeyError for another."""
        return self.members[layout.OBJECTS + digest.hex()]

    @property
    def objects(self) -> dict[bytes, bytes]:
        """Every object by its digest."""
        return {digest: self.object(digest) for _, _, digest in self.manifest.entries}

    @property
    def files(self) -> dict[str, bytes]:
        """Every object by the name that it has on the node."""
        return {name: self.object(digest) for name, _, digest in self.manifest.entries}

    def parts_from(self, build: bytes) -> bytes | None:
        """What a node that runs that build needs beside its own objects; None: send them whole."""
        return self.members.get(layout.PARTS + build.hex())

    @property
    def starts(self) -> dict[str, bytes]:
        """What lies beside the slots and is laid by cable only: boot.py, main.py, slots.mpy."""
        return {
            name.removeprefix(layout.STARTS): content
            for name, content in self.members.items()
            if name.startswith(layout.STARTS)
        }

    @property
    def image(self) -> bytes | None:
        """A full MicroPython app image, for a board with OTA slots."""
        return self.members.get(layout.IMAGE)

    @property
    def sbom(self) -> bytes:
        """The bill of materials, CycloneDX 1.6 as JSON."""
        return self.members[layout.SBOM]

    @property
    def next_root(self) -> Root | None:
        """The root of the releases after this one, where it changes."""
        first, second = self.about.next_root
        return Root(bytes.fromhex(first), bytes.fromhex(second)) if first else None


def load(path: Path, root: Root | None) -> Bundle:
    """The bundle in a file; raises BundleFault.

    With a root both signatures are verified; without one the bundle is only whole in itself.
    """
    return loads(archive.read(path), path, root)


def loads(data: bytes, where: object, root: Root | None) -> Bundle:
    """As `load`, for bytes that came from `where`."""
    members = archive.unpacked(data, where)
    if abouts.NAME not in members:
        raise BundleFault(where, "member-missing", f"{abouts.NAME} is not in it")
    # First of all what is said at all: nothing unsigned is parsed where there is a root.
    fingerprint = signatures.approved(members, where, root)
    about = abouts.decode(members[abouts.NAME], where)
    checking.members_fit(members, about, where)
    plain, signed, index = signatures.manifest(members, where, root)
    try:
        manifest = manifests.decode(plain)
    except RemoteError:
        raise BundleFault(where, "manifest", "the manifest is malformed") from None
    checking.manifest_fit(manifest, plain, about, where)
    checking.objects_fit(manifest, members, where)
    checking.image_fit(manifest, members.get(layout.IMAGE), about, where)
    checking.parts_fit(manifest, members, about, where)
    return Bundle(
        about,
        manifest,
        plain,
        signed,
        fingerprint,
        index,
        root is not None,
        MappingProxyType(members),
    )


def demand(
    bundle: Bundle,
    where: object,
    *,
    board: str | None = None,
    at_least: int | None = None,
    now_s: int | None = None,
) -> None:
    """Raise BundleFault unless it is for that board, of that sequence or later, not expired.

    `now_s` counts from 2000-01-01 UTC.
    """
    about = bundle.about
    if board is not None and about.board != board:
        raise BundleFault(where, "board", f"is for {about.board}, not for {board}")
    if at_least is not None and about.sequence < at_least:
        raise BundleFault(where, "sequence", f"its sequence {about.sequence} is below {at_least}")
    if now_s is not None and about.expires_s and now_s >= about.expires_s:
        raise BundleFault(where, "expired", "may no longer be installed")
