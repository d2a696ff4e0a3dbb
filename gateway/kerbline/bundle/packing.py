"""Makes bundles: the archive of a build, and the same with the signatures of a root."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from kerbline.bundle import about as abouts
from kerbline.bundle import archive, ed25519, layout
from kerbline.bundle.about import About, Patch
from kerbline.bundle.faults import PackFault
from kerbline.bundle.reading import Bundle
from kerbline.bundle.root import Root
from kerbwire import manifest as manifests
from kerbwire.errors import LocalError
from kerbwire.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Contents:
    """What a release is made of; `files` and `starts` by their names on the node.

    `commit`: 40 hex digits, or "unknown". `micropython`: the oldest that runs it. `patches`:
    earlier bundles with the parts that lead from them to this one.
    """

    board: str
    chip: str
    version: str
    sequence: int
    files: Mapping[str, bytes]
    starts: Mapping[str, bytes]
    commit: str = "unknown"
    dirty: bool = False
    expires_s: int = 0
    mpy_cross: str = ""
    micropython: str = ""
    messages: int = 0
    image: bytes | None = None
    next_root: Root | None = None
    patches: tuple[tuple[Bundle, bytes], ...] = field(default=())

    def manifest(self) -> bytes:
        """The bytes of its manifest; raises PackFault."""
        try:
            numbers = [int(part) for part in self.version.split(".")[:3]]
            major, minor, patch = numbers
        except ValueError:
            raise PackFault(f"version {self.version!a} is not of three numbers") from None
        made = Manifest(self.sequence, (major, minor, patch), self.board)
        made.expires_s = self.expires_s
        if len(self.commit) == 40:
            made.commit = bytes.fromhex(self.commit[:8])
        made.next_root = self.next_root.hss if self.next_root else b""
        if self.image is not None:
            made.image = len(self.image), manifests.digest(self.image)
        made.entries = tuple(
            (name, len(content), manifests.digest(content))
            for name, content in sorted(self.files.items())
        )
        try:
            return manifests.encoded(made)
        except LocalError:
            raise PackFault(
                f"{self.board}: no manifest can hold this release; see the limits of "
                "protocol/kerbwire/manifest.py: 8,192 bytes, names of 48, no empty file"
            ) from None


def pack(contents: Contents, bill: bytes) -> bytes:
    """The unsigned bundle with its bill of materials; the same input makes the same bytes."""
    plain = contents.manifest()
    members = {layout.UNSIGNED: plain, layout.SBOM: bill}
    for content in contents.files.values():
        members[layout.OBJECTS + manifests.digest(content).hex()] = content
    for name, content in contents.starts.items():
        members[layout.STARTS + name] = content
    if contents.image is not None:
        members[layout.IMAGE] = contents.image
    patches = []
    for earlier, parts in sorted(contents.patches, key=lambda each: each[0].build):
        name = layout.PARTS + earlier.build.hex()
        members[name] = parts
        patches.append(
            Patch(
                earlier.build.hex(),
                name,
                sha256(parts).hexdigest(),
                len(parts),
                earlier.root.hex(),
                earlier.index,
            )
        )
    about = About(
        contents.version,
        contents.commit,
        contents.dirty,
        contents.sequence,
        contents.board,
        contents.chip,
        manifests.build_id(plain).hex(),
        contents.expires_s,
        contents.mpy_cross,
        contents.messages,
        {name: manifests.digest(data).hex() for name, data in contents.files.items()},
        tuple(patches),
        "" if contents.image is None else sha256(contents.image).hexdigest(),
        (contents.next_root.ed25519.hex(), contents.next_root.hss.hex())
        if contents.next_root
        else ("", ""),
        _sums(members),
    )
    return archive.packed({**members, abouts.NAME: about.encoded()})


def sign_off(
    bundle: Bundle, root: Root, sign_manifest: Callable[[bytes], bytes], private: bytes
) -> bytes:
    """The bundle, signed: `sign_manifest` makes a signed manifest, `private` is root's Ed25519."""
    old = (abouts.NAME, layout.APPROVAL, layout.UNSIGNED, layout.SIGNED)
    members = {name: data for name, data in bundle.members.items() if name not in old}
    members[layout.SIGNED] = sign_manifest(bundle.manifest_bytes)
    told = replace(bundle.about, members=_sums(members)).encoded()
    members[abouts.NAME] = told
    members[layout.APPROVAL] = root.fingerprint + ed25519.sign(told, private)
    return archive.packed(members)


def _sums(members: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256(content).hexdigest() for name, content in members.items()}
