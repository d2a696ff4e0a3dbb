"""Whether what is in a bundle fits together; each function raises BundleFault if not."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from hashlib import sha256

from kerbline.bundle import about as abouts
from kerbline.bundle import layout
from kerbline.bundle.about import About
from kerbline.bundle.faults import BundleFault
from kerbwire import manifest as manifests
from kerbwire.manifest import Manifest
from kerbwire.parts import MAGIC, WINDOW_BITS

_ROOM_BYTES = 4096  # of lists in parts, beside what they make
_CHANGED = {
    layout.UNSIGNED: "manifest-changed",
    layout.SIGNED: "manifest-changed",
    layout.OBJECTS: "object-changed",
    layout.PARTS: "parts-changed",
    layout.STARTS: "start-changed",
    layout.IMAGE: "image-changed",
    layout.SBOM: "sbom-changed",
}


def members_fit(members: Mapping[str, bytes], about: About, where: object) -> None:
    """Every member is there, none beside them, each as bundle.json says."""
    present = members.keys() - {abouts.NAME, layout.APPROVAL}
    for name in sorted(present - about.members.keys()):
        raise BundleFault(where, "member-unknown", f"{name} is in it, and {abouts.NAME} lacks it")
    for name in sorted(about.members.keys() - present):
        raise BundleFault(where, "member-missing", f"{name} is not in it")
    for name, wanted in about.members.items():
        if sha256(members[name]).hexdigest() != wanted:
            folder, slash, _ = name.rpartition("/")
            reason = _CHANGED[folder + slash if slash else name]
            raise BundleFault(where, reason, f"{name} is not what {abouts.NAME} says")
    if layout.SBOM not in members:
        raise BundleFault(where, "member-missing", f"{layout.SBOM} is not in it")


def manifest_fit(manifest: Manifest, plain: bytes, about: About, where: object) -> None:
    """bundle.json says of the release what the manifest says."""
    told: Mapping[str, tuple[object, object]] = {
        "build": (about.build, manifests.build_id(plain).hex()),
        "sequence": (about.sequence, manifest.sequence),
        "board": (about.board, manifest.board),
        "expires_s": (about.expires_s, manifest.expires_s),
        "next_root": (about.next_root[1], manifest.next_root.hex()),
        "commit": (_short(about.commit), manifest.commit.hex()),
        "version": (about.version.split(".")[:3], [str(part) for part in manifest.version]),
        "objects": (about.objects, {name: d.hex() for name, _, d in manifest.entries}),
    }
    for name, (here, there) in told.items():
        if here != there:
            raise BundleFault(
                where, "manifest-differs", f"{abouts.NAME} and the manifest differ in {name}"
            )


def _short(commit: str) -> str:
    """What the manifest has of a commit's name."""
    return commit[:8] if len(commit) == 40 else bytes(4).hex()


def objects_fit(manifest: Manifest, members: Mapping[str, bytes], where: object) -> None:
    """Every object of the manifest is there, of its size and hash, and no other."""
    named = set()
    for name, size, digest in manifest.entries:
        member = layout.OBJECTS + digest.hex()
        named.add(member)
        content = members.get(member)
        if content is None:
            raise BundleFault(where, "object-missing", f"{name} ({member}) is not in it")
        if manifests.digest(content) != digest:
            raise BundleFault(where, "object-swapped", f"{member} is not {name}")
        if len(content) != size:
            raise BundleFault(
                where, "object-size", f"{name} has {len(content)} bytes, the manifest says {size}"
            )
    for member in sorted(members):
        if member.startswith(layout.OBJECTS) and member not in named:
            raise BundleFault(where, "object-unknown", f"{member} is none of the manifest's")


def parts_fit(
    manifest: Manifest, members: Mapping[str, bytes], about: About, where: object
) -> None:
    """Parts are those of bundle.json, lead to this build and inflate to no more than they can."""
    told = {patch.file: patch for patch in about.patches}
    for member in sorted(told.keys() ^ {name for name in members if name.startswith(layout.PARTS)}):
        raise BundleFault(where, "parts", f"{member} and {abouts.NAME} do not fit")
    head = MAGIC + bytes.fromhex(about.build)
    # Lists of what to copy are shorter than what they make.
    most = 2 * sum(size for _, size, _ in manifest.entries) + _ROOM_BYTES
    for member, patch in told.items():
        content = members[member]
        sound = (
            member == layout.PARTS + patch.from_build
            and patch.size == len(content)
            and patch.sha256 == about.members[member]
            and content.startswith(head)
        )
        if not sound:
            raise BundleFault(where, "parts", f"{member} and {abouts.NAME} do not fit")
        if not _inflates(content[len(head) :], most):
            raise BundleFault(
                where, "parts", f"{member} is no stream that inflates to {most:,} bytes or less"
            )


def _inflates(stream: bytes, most: int) -> bool:
    """Is it one deflate stream and nothing else, of so many bytes at the most?"""
    inflate = zlib.decompressobj(-WINDOW_BITS)
    try:
        inflate.decompress(stream, most)
    except zlib.error:
        return False
    return inflate.eof and not inflate.unused_data


def image_fit(manifest: Manifest, image: bytes | None, about: About, where: object) -> None:
    """The image is the one that the manifest names."""
    wanted = None if image is None else (len(image), manifests.digest(image))
    told = "" if image is None else sha256(image).hexdigest()
    if manifest.image != wanted or about.image_sha256 != told:
        raise BundleFault(
            where, "image", f"{layout.IMAGE} is not the image that the manifest names"
        )
