"""CBOR: what RFC 8949 says of integers and byte strings, and nothing else."""

from kerbwire import cbor
from kerbwire.errors import LocalError, RemoteError
from kerbwire.limits import CBOR_ITEMS
from wire.vectors import load


def _refused(body: bytes) -> bool:
    try:
        cbor.decode(body)
    except RemoteError as fault:
        return fault.code == "cbor"
    return False


def _unencodable(item: int) -> bool:
    try:
        cbor.encode([item])
    except LocalError as fault:
        return fault.code == "integer"
    return False


def test_integers_and_bytes_of_rfc_8949_appendix_a() -> None:
    for case in load("cbor")["good"]:
        item = int(case["integer"]) if "integer" in case else bytes.fromhex(case["bytes"])
        wire = bytes.fromhex(case["cbor"])
        assert cbor.encode([item]) == wire, case
        assert cbor.decode(wire) == [item], case


def test_whatever_is_not_its_one_form_is_refused() -> None:
    for case in load("cbor")["malformed"]:
        assert _refused(bytes.fromhex(case["cbor"])), case


def test_a_sequence_has_no_array_around_it() -> None:
    assert cbor.decode(cbor.encode([1, b"ab", -1])) == [1, b"ab", -1]
    assert cbor.decode(b"") == []


def test_cbor_items_is_a_bound() -> None:
    assert len(cbor.decode(bytes(CBOR_ITEMS))) == CBOR_ITEMS
    assert _refused(bytes(CBOR_ITEMS + 1))


def test_integers_end_at_64_bit() -> None:
    assert _unencodable(1 << 64)
    assert _unencodable(-(1 << 64) - 1)


def test_every_head_byte_is_taken_or_refused() -> None:
    for head in range(256):
        for tail in (b"", b"\x00", b"\xff" * 9):
            body = bytes((head,)) + tail
            try:
                items = cbor.decode(body)
            except RemoteError:
                continue
            assert cbor.encode(items) == body
