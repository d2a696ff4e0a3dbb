"""HMAC-SHA-256 and HKDF over what every MicroPython has: SHA-256."""

from hashlib import sha256

from kerbwire import fast


def hmac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104)."""
    if len(key) > 64:
        key = sha256(key).digest()
    key = key + bytes(64 - len(key))
    inner = sha256(fast.xor(key, b"\x36" * 64) + message).digest()
    mac: bytes = sha256(fast.xor(key, b"\x5c" * 64) + inner).digest()
    return mac


def hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA-256 (RFC 5869), `length` <= 255 x 32 bytes."""
    prk = hmac(salt, secret)
    out = block = b""
    count = 0
    while len(out) < length:
        count += 1
        block = hmac(prk, block + info + bytes((count,)))
        out += block
    return out[:length]
