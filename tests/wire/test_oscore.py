"""The key schedule is RFC 8613's: its appendix C.1 to C.3 come out of our info structure."""

from binascii import unhexlify

from kerbwire import hkdf, keyschedule

_SECRET = bytes(range(1, 17))
_SALT = unhexlify("9e7ca92223786340")
_CONTEXT = unhexlify("37cbf3210017a2d3")
_NIL = b"\xf6"

# salt, id context or None, sender id, recipient id, sender key, recipient key, common IV
_CASES = (
    (
        _SALT,
        None,
        b"",
        b"\x01",
        "f0910ed7295e6ad4b54fc793154302ff",
        "ffb14e093c94c9cac9471648b4f98710",
        "4622d4dd6d944168eefb54987c",
    ),
    (
        b"",
        None,
        b"\x00",
        b"\x01",
        "321b26943253c7ffb6003b0b64d74041",
        "e57b5635815177cd679ab4bcec9d7dda",
        "be35ae297d2dace910c52e99f9",
    ),
    (
        _SALT,
        _CONTEXT,
        b"",
        b"\x01",
        "af2a1300a5e95788b356336eeecd2b92",
        "e39a0c7c77b43f03b4b39ab9a268699f",
        "2ca58fb85ff1b81c0b7181b85e",
    ),
)


def _info(sender_id: bytes, context: "bytes | None", kind: bytes, length: int) -> bytes:
    """Ours, with nil where there is no context: a node always has its id there."""
    info = keyschedule._info(sender_id, context or b"", kind, length)
    at = 2 + len(sender_id)  # behind the array's head and the id's
    return info if context else info[:at] + _NIL + info[at + 1 :]


def test_keys_of_rfc_8613_appendix_c1_to_c3() -> None:
    for salt, context, sender_id, recipient_id, sender, recipient, common_iv in _CASES:
        for own_id, kind, known in (
            (sender_id, b"Key", sender),
            (recipient_id, b"Key", recipient),
            (b"", b"IV", common_iv),
        ):
            length = len(known) // 2
            info = _info(own_id, context, kind, length)
            assert hkdf.hkdf(salt, _SECRET, info, length) == unhexlify(known), (known, info)
