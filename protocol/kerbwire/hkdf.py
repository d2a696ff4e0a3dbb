"""HMAC-SHA-256 and HKDF over what every MicroPython has: SHA-256."""

from hashlib import sha256


def hmac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104)."""
    if len(key) > 64:
        key = sha256(key).digest()
    key = key + bytes(64 - len(key))
    for pad in (0x36, 0x5C):
        message = sha256(bytes([byte ^ pad for byte in key]) + message).digest()
    return message


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
