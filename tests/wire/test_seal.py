"""The ciphers and the key schedule against vectors of the RFCs and of a second implementation."""

from kerbwire import hkdf, keyschedule, seal
from wire.pair import flipped
from wire.vectors import load

_x = bytes.fromhex


def test_ccm() -> None:
    for case in load("crypto")["ccm"]:
        cipher = seal.cipher(_x(case["key"]))
        nonce, aad, plain, sealed = [_x(case[n]) for n in ("nonce", "aad", "plain", "sealed")]
        assert cipher.seal(nonce, aad, plain) == sealed, case["name"]
        assert cipher.open(nonce, aad, sealed) == plain, case["name"]


def test_ccm_of_rfc_8613_c4_is_the_published_one() -> None:
    case = load("crypto")["ccm"][0]
    assert case["sealed"] == "612f1092f1776f1c1668b3825e"


def test_ccm_refuses_every_flipped_bit() -> None:
    case = load("crypto")["ccm"][0]
    cipher = seal.cipher(_x(case["key"]))
    nonce, aad, sealed = [_x(case[n]) for n in ("nonce", "aad", "sealed")]
    for bit in range(8 * len(sealed)):
        assert cipher.open(nonce, aad, flipped(sealed, bit)) is None
    for bit in range(8 * len(aad)):
        assert cipher.open(nonce, flipped(aad, bit), sealed) is None
    assert cipher.open(nonce, aad, sealed[: seal.TAG_BYTES - 1]) is None


def test_hmac_of_rfc_4231() -> None:
    for case in load("crypto")["hmac"]:
        assert hkdf.hmac(_x(case["key"]), _x(case["message"])) == _x(case["mac"])
    first = load("crypto")["hmac"][0]["mac"]
    assert first == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"


def test_hkdf_of_rfc_5869_and_rfc_8613() -> None:
    cases = load("crypto")["hkdf"]
    for case in cases:
        salt, secret, info = [_x(case[n]) for n in ("salt", "secret", "info")]
        assert hkdf.hkdf(salt, secret, info, case["length"]) == _x(case["okm"])
    assert cases[0]["okm"][:20] == "3cb25f25faacd57a9043"
    assert cases[3]["okm"] == "f0910ed7295e6ad4b54fc793154302ff"  # RFC 8613 C.1.1


def test_the_key_schedule() -> None:
    known = load("keys")
    given = known["given"]
    key = _x(given["key"])
    assert keyschedule.ratchet(key) == _x(known["ratchet"]["next"])
    names = ("node_id", "node_nonce", "gateway_nonce")
    keys = keyschedule.session_keys(key, *[_x(given[name]) for name in names])
    nonce = bytes(13)
    for name, cipher in (("up_key", keys.up), ("down_key", keys.down)):
        assert cipher.seal(nonce, b"", b"x") == seal.cipher(_x(known[name])).seal(nonce, b"", b"x")


def test_nonces() -> None:
    known = load("keys")
    given = known["given"]
    names = ("key", "node_id", "node_nonce", "gateway_nonce")
    keys = keyschedule.session_keys(*[_x(given[name]) for name in names])
    ids = (keyschedule.UP_ID, keyschedule.DOWN_ID)
    for case in known["nonces"]:
        assert keys.nonce(ids[case["direction"]], case["fseq"]) == _x(case["nonce"])


def test_equal() -> None:
    assert seal.equal(b"abc", b"abc")
    assert not seal.equal(b"abc", b"abd") and not seal.equal(b"abc", b"ab")
