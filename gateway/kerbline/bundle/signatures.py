"""The two signatures of a bundle, Ed25519 over bundle.json and HSS/LMS over the manifest."""

from __future__ import annotations

from collections.abc import Mapping

from kerbline.bundle import about as abouts
from kerbline.bundle import ed25519, layout
from kerbline.bundle.faults import BundleFault
from kerbline.bundle.root import FINGERPRINT_BYTES, Root
from kerbwire import lms, release
from kerbwire.errors import RemoteError

# An HSS signature of one level (RFC 8554, 5.4 and 6.2): 0, q, LM-OTS type, C and 51 y, LMS type,
# 10 nodes of the path; all hashes of 24 bytes.
_PATH_BYTES = 24 * 10
HSS_SIGNATURES = 1 << 10
_OTS_TYPE = bytes.fromhex("00000007")
_LMS_TYPE = bytes.fromhex("0000000b")


def approved(members: Mapping[str, bytes], where: object, root: Root | None) -> bytes:
    """The fingerprint of the root that signed; b"" where there is no signature and no root."""
    approval = members.get(layout.APPROVAL, b"")
    signed = layout.SIGNED in members and layout.APPROVAL in members
    if not signed and root is not None:
        raise BundleFault(where, "unsigned", "has no signature")
    if not signed:
        return b""
    fingerprint, signature = approval[:FINGERPRINT_BYTES], approval[FINGERPRINT_BYTES:]
    if root is not None:
        if fingerprint != root.fingerprint:
            raise BundleFault(
                where, "wrong-root", f"is signed by root {fingerprint.hex()}, not by {root}"
            )
        if not ed25519.verified(members[abouts.NAME], signature, root.ed25519):
            raise BundleFault(where, "ed25519", f"the Ed25519 signature of {abouts.NAME} is wrong")
    return fingerprint


def manifest(
    members: Mapping[str, bytes], where: object, root: Root | None
) -> tuple[bytes, bytes, int]:
    """The manifest's bytes, the signed manifest and its signature's index."""
    if (layout.SIGNED in members) == (layout.UNSIGNED in members):
        raise BundleFault(where, "manifest", f"needs either {layout.SIGNED} or {layout.UNSIGNED}")
    if layout.UNSIGNED in members:
        return members[layout.UNSIGNED], b"", -1
    signed = members[layout.SIGNED]
    try:
        plain, signature = release.split(signed)
    except RemoteError:
        raise BundleFault(
            where,
            "cose",
            f"{layout.SIGNED} is no COSE_Sign1 with {lms.SIGNATURE_BYTES:,} bytes of HSS",
        ) from None
    types = signature[:4], signature[8:12], signature[-4 - _PATH_BYTES : -_PATH_BYTES]
    if types != (bytes(4), _OTS_TYPE, _LMS_TYPE):
        raise BundleFault(where, "hss-type", "the HSS signature is of another type")
    index = int.from_bytes(signature[4:8], "big")
    if index >= HSS_SIGNATURES:
        raise BundleFault(where, "hss-index", f"the HSS signature has index {index}")
    if root is not None:
        try:
            plain = release.verified(signed, root.hss)
        except RemoteError:
            raise BundleFault(where, "hss", "the HSS signature of the manifest is wrong") from None
    return plain, signed, index
