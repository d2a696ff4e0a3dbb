"""The golden vectors of CLAIM: what is asked and said on each kind of line, and a sealed claim."""

from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tools import second_wire as wire

GATEWAY, EPHEMERAL = bytes(range(32)), bytes(range(32, 64))  # private keys
CONTENT: wire.Items = [1, b"sl-0001", b"lamp-1", b"streetlight", bytes(range(16)), 3, b"udp"]
PLACE: wire.Items = [1790000000, 525163, 133777]
ALL = 255


def claim() -> dict[str, Any]:
    """Frames as they go, those to be refused with their codes, and the claim in them."""
    sealed = _sealed()
    node = b"sl-0001"
    items: wire.Items = [19, node, sealed]
    refused: list[tuple[str, int, wire.Items, str]] = [
        ("a HELLO", wire.UP, [0, node, sealed], "type"),
        ("from the gateway", wire.DOWN, items, "type"),
        ("no claim", wire.UP, [19, node], "value"),
        ("no node id", wire.UP, [19, b"", sealed], "value"),
        ("a node id of 17 bytes", wire.UP, [19, bytes(17), sealed], "value"),
        ("a number in place of the node id", wire.UP, [19, 1, sealed], "value"),
        ("an empty claim", wire.UP, [19, node, b""], "value"),
        ("201 bytes", wire.UP, [19, node, bytes(201)], "value"),
    ]
    return {
        "sealed": {
            "gateway_private": GATEWAY.hex(),
            "gateway_public": _public(GATEWAY).hex(),
            "ephemeral_private": EPHEMERAL.hex(),
            "content": wire.body([*CONTENT, *PLACE]).hex(),
            "claim": sealed.hex(),
        },
        "node_id": node.hex(),
        "asked": {
            "stream": wire.plain(wire.DOWN, None, [2, 1]).hex(),
            "datagram": wire.plain(wire.DOWN, 0, [2, 1]).hex(),
            "bus": wire.plain(wire.DOWN, ALL, [2, 1, node]).hex(),
        },
        "said": {
            "stream": wire.plain(wire.UP, None, items).hex(),
            "datagram": wire.plain(wire.UP, 0, items).hex(),
            "bus": wire.plain(wire.UP, 0, items).hex(),
            "with later items": wire.plain(wire.UP, 0, [*items, 7, b"x"]).hex(),
        },
        "refused": [
            {"name": name, "frame": wire.plain(direction, 0, body).hex(), "error": error}
            for name, direction, body, error in refused
        ],
    }


def _sealed() -> bytes:
    gateway, own = _public(GATEWAY), _public(EPHEMERAL)
    shared = X25519PrivateKey.from_private_bytes(EPHEMERAL).exchange(
        X25519PrivateKey.from_private_bytes(GATEWAY).public_key()
    )
    keys = wire.hkdf(b"", shared, b"kerbline claim 1" + own + gateway, 28)
    head = b"\x01" + sha256(gateway).digest()[:4] + own
    return head + AESGCM(keys[:16]).encrypt(keys[16:], wire.body([*CONTENT, *PLACE]), head)


def _public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
