"""Claims: sealed to one gateway, opened by it alone, refused after any change; its key's file."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from kerbline.keys import KeyFault, claim, gateway_key
from kerbline.keys.claim import Claim, ClaimFault
from kerbwire import cbor
from kerbwire.hkdf import hkdf

PRIVATE = bytes(range(32))
PUBLIC = X25519PrivateKey.from_private_bytes(PRIVATE).public_key().public_bytes_raw()
OTHER = bytes(range(1, 33))

LAMP = Claim("sl-17", "lamp-17", "streetlight", bytes(range(16)), 1, "udp", 1_780_000_000)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", fullmatch=True)
CLAIMS = st.builds(
    Claim,
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,15}", fullmatch=True),
    NAMES,
    st.sampled_from(claim.KINDS),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**32 - 1),
    st.sampled_from(claim.LINKS),
    st.integers(0, 253_402_300_799),
    st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
    st.binary(min_size=8, max_size=8),
    st.text(max_size=40).filter(str.isprintable),
)


def _refused(sealed: bytes, private: bytes = PRIVATE) -> str:
    with pytest.raises(ClaimFault) as fault:
        claim.open(sealed, private)
    return fault.value.reason


@settings(max_examples=200, deadline=None)
@given(CLAIMS)
def test_what_is_sealed_opens_at_its_gateway_and_fits_one_frame(made: Claim) -> None:
    sealed = claim.seal(made, PUBLIC)
    assert len(sealed) <= claim.MAX_BYTES
    opened = claim.open(sealed, PRIVATE)
    if made.position is not None:
        assert opened.position is not None
        for told, was in zip(opened.position, made.position, strict=True):
            assert abs(told - was) <= 0.5 / claim.PER_DEGREE + 1e-9
    assert (opened.node_id, opened.asset, opened.kind, opened.key) == (
        made.node_id,
        made.asset,
        made.kind,
        made.key,
    )
    assert (opened.generation, opened.link, opened.made_s) == (
        made.generation,
        made.link,
        made.made_s,
    )


@pytest.mark.parametrize("name", ["Ann Lind", "", "Łucja Brzęczyszczykiewicz-Żółć", "李" * 20])
@pytest.mark.parametrize("place", [None, (-90.0, -180.0)])
def test_a_claim_says_where_its_records_are(name: str, place: tuple[float, float] | None) -> None:
    longest = {"node_id": "n" * 16, "asset": "a" * 32, "link": "rs485", "generation": 2**32 - 1}
    by = {"laptop": bytes(range(8)), "technician": name, "position": place}
    made = replace(LAMP, **longest, **by, made_s=253_402_300_799)  # type: ignore[arg-type]
    sealed = claim.seal(made, PUBLIC)
    assert len(sealed) <= claim.MAX_BYTES
    opened = claim.open(sealed, PRIVATE)
    assert opened.laptop == bytes(range(8)) and name.startswith(opened.technician)
    assert len(opened.technician.encode()) in (len(name.encode()), 22, 23, 24)


def test_what_would_stand_in_a_log_as_another_line_is_no_claim() -> None:
    made = replace(LAMP, laptop=bytes(8), technician="Ann\nWARNING: \u200dlights")
    assert claim.open(claim.seal(made, PUBLIC), PRIVATE).technician == "AnnWARNING: lights"
    said: list[int | bytes] = [
        1,
        b"sl-17",
        b"lamp-17",
        b"streetlight",
        bytes(16),
        1,
        b"udp",
        1_780_000_000,
    ]
    assert claim._read(cbor.encode([*said, bytes(8), b"Ann"])).technician == "Ann"
    wrong: list[list[int | bytes]] = []
    wrong += ([bytes(8), b"Ann\nB"], [bytes(7), b"Ann"], [bytes(8)], [1, bytes(8), b"Ann"])
    for more in wrong:
        with pytest.raises(ClaimFault) as fault:
            claim._read(cbor.encode([*said, *more]))
        assert fault.value.reason == "content"


def test_a_claim_of_the_vectors_opens() -> None:
    file = Path(__file__).parents[2] / "protocol" / "vectors" / "claim.json"
    given = json.loads(file.read_text())["sealed"]
    opened = claim.open(bytes.fromhex(given["claim"]), bytes.fromhex(given["gateway_private"]))
    assert opened == Claim(
        "sl-0001",
        "lamp-1",
        "streetlight",
        bytes(range(16)),
        3,
        "udp",
        1_790_000_000,
        (52.5163, 13.3777),
    )


def test_two_claims_of_one_node_share_nothing_but_the_head() -> None:
    one, two = claim.seal(LAMP, PUBLIC), claim.seal(LAMP, PUBLIC)
    assert one[:5] == two[:5] and one[5:37] != two[5:37] and one[37:] != two[37:]


def test_each_changed_bit_is_refused() -> None:
    sealed = claim.seal(LAMP, PUBLIC)
    reasons = set[str]()
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        reasons.add(_refused(bytes(changed)))
    assert reasons == {"version", "foreign", "forged"}


def test_a_claim_cut_short_or_drawn_out_is_refused() -> None:
    sealed = claim.seal(LAMP, PUBLIC)
    for size in range(len(sealed)):
        assert _refused(sealed[:size]) in ("size", "forged")
    assert _refused(sealed + b"\0") == "forged"
    assert _refused(sealed.ljust(claim.MAX_BYTES + 1, b"\0")) == "size"


def test_another_gateway_is_told_so_before_any_curve() -> None:
    assert _refused(claim.seal(LAMP, PUBLIC), OTHER) == "foreign"
    assert not claim.is_for(claim.seal(LAMP, PUBLIC), b"\7" * 32)


def test_a_point_of_small_order_is_refused() -> None:
    sealed = claim.seal(LAMP, PUBLIC)
    assert _refused(sealed[:5] + bytes(32) + sealed[37:]) == "forged"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        b"\x02" + bytes(20),
        b"\x81\x01",
        bytes(60),
        b"\x01\x45sl-17\x47lamp-17\x4bstreetlight\x50" + bytes(16) + b"\x00\x43udp\x00\x00",
        b"\x01\x45sl-17\x47lamp-17\x4bstreetlight\x4f" + bytes(15) + b"\x00\x43udp\x00",
        b"\x01\x45sl/17\x47lamp-17\x4bstreetlight\x50" + bytes(16) + b"\x00\x43udp\x00",
    ],
)
def test_what_somebody_sealed_that_is_no_claim_is_refused(content: bytes) -> None:
    """The public key is no secret: what opens may still be anything."""
    ephemeral = X25519PrivateKey.from_private_bytes(OTHER)
    shared = ephemeral.exchange(X25519PrivateKey.from_private_bytes(PRIVATE).public_key())
    ours = ephemeral.public_key().public_bytes_raw()
    head = b"\x01" + claim.hint(PUBLIC) + ours
    keys = hkdf(b"", shared, b"kerbline claim 1" + ours + PUBLIC, 28)
    sealed = head + AESGCM(keys[:16]).encrypt(keys[16:], content, head)
    assert _refused(sealed) in ("size", "content", "version")


@pytest.mark.parametrize(
    "changes",
    [
        {"node_id": "a/b"},
        {"node_id": "n" * 17},
        {"asset": ""},
        {"kind": "toaster"},
        {"key": b"short"},
        {"generation": 2**32},
        {"link": "lora"},
        {"made_s": -1},
        {"made_s": 253_402_300_800},  # no date: of year 10000
        {"position": (91.0, 0.0)},
    ],
)
def test_no_claim_is_sealed_that_would_be_refused(changes: dict[str, object]) -> None:
    fields: dict[str, object] = {name: getattr(LAMP, name) for name in LAMP.__slots__} | changes
    with pytest.raises(ClaimFault, match="commission the node again"):
        claim.seal(Claim(**fields), PUBLIC)  # type: ignore[arg-type]


@pytest.mark.parametrize("around", ["{}", "Dear all,\r\n> {}\n\nBest regards\nMs Example", " {}"])
def test_a_claim_survives_the_mail(around: str) -> None:
    sealed = claim.seal(LAMP, PUBLIC)
    text = claim.to_text(sealed).replace("\n", "\n> " if ">" in around else "\n")
    assert claim.from_text(around.format(text).encode()) == sealed
    assert claim.from_text(sealed) == sealed


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"hello", b"kerbline claim 1\n!!!!"])
def test_a_file_of_something_else_says_so(content: bytes) -> None:
    with pytest.raises(ClaimFault, match="this is no claim"):
        claim.open(claim.from_text(content), PRIVATE)


def test_no_words_of_ours_tell_a_key() -> None:
    assert LAMP.key.hex() not in repr(LAMP) and repr(LAMP.key) not in repr(LAMP)
    made = gateway_key.GatewayKey(PRIVATE, PUBLIC)
    assert repr(PRIVATE) not in repr(made)


def test_a_gateway_makes_its_key_once_and_for_itself_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    made = gateway_key.load_or_make(state)
    assert gateway_key.load_or_make(state) == made == gateway_key.load(state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    kept = list(state.iterdir())
    assert [path.name for path in kept] == ["gateway.key"]
    assert stat.S_IMODE(kept[0].stat().st_mode) == 0o600
    assert claim.open(claim.seal(LAMP, made.public), made.private) == LAMP


def test_a_damaged_or_public_gateway_key_is_not_used(tmp_path: Path) -> None:
    gateway_key.load_or_make(tmp_path)
    path = tmp_path / "gateway.key"
    path.chmod(0o644)
    with pytest.raises(KeyFault, match="chmod 600"):
        gateway_key.load_or_make(tmp_path)
    path.chmod(0o600)
    path.write_text("00")
    with pytest.raises(KeyFault, match="damaged; put its backup there"):
        gateway_key.load_or_make(tmp_path)


@pytest.mark.parametrize("to", ["gateway.key", "stick/gateway.key"])
def test_a_gateway_key_that_leads_nowhere_is_not_made_anew(tmp_path: Path, to: str) -> None:
    (tmp_path / "gateway.key").symlink_to(to)
    with pytest.raises(KeyFault, match="is a link that leads nowhere; bring back what"):
        gateway_key.load_or_make(tmp_path)
    assert (tmp_path / "gateway.key").is_symlink()


def test_the_public_half_goes_into_a_profile_and_over_the_phone() -> None:
    told = gateway_key.told(PUBLIC)
    assert gateway_key.read_public(f"# our gateway\n{told}\n") == PUBLIC
    assert len(gateway_key.fingerprint(PUBLIC)) == 24
    with pytest.raises(KeyFault, match="kerbline gateway key"):
        gateway_key.read_public(told[:-1])
