"""Ed25519 (RFC 8032) over a bundle's `bundle.json`; knows no file and no bundle."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

KEY_BYTES = 32  # of a private and of a public key
SIGNATURE_BYTES = 64


def public(private: bytes) -> bytes:
    """The public key of a private one (RFC 8032, 5.1.5)."""
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def sign(message: bytes, private: bytes) -> bytes:
    """The signature; the same message and key make the same one."""
    return Ed25519PrivateKey.from_private_bytes(private).sign(message)


def verified(message: bytes, signature: bytes, public_key: bytes) -> bool:
    """Did the owner of the key sign the message?"""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):  # ValueError: a point that is on no curve
        return False
    return True
