"""Labels, ids and places of commissioning: what needs no board."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from kerbline import durable
from kerbline.field.commission import job, ledger, order, proof
from kerbline.field.commission.label import ALPHABET, MOST, Label, parse, save
from kerbline.field.commission.ledger import Ledger
from kerbline.field.commission.order import Wish, degrees
from kerbline.field.commission.places import Places, usual
from kerbline.field.commission.words import CommissionFault
from kerbwire.gateway import GatewaySession
from kerbwire.limits import STREAM
from kerbwire.ranges import RangeSet

MAC = "24:0a:c4:00:01:10"
FIRST = string.ascii_letters + string.digits
node_ids = st.builds(
    lambda first, rest: first + rest,
    st.sampled_from(FIRST),
    st.text(FIRST + "-_", max_size=15),
)
macs = st.binary(min_size=6, max_size=6).map(lambda mac: ":".join(f"{byte:02x}" for byte in mac))


@given(node_ids, macs)
def test_every_label_is_short_and_is_read_back(node_id: str, mac: str) -> None:
    label = Label(node_id, mac)
    assert len(label.payload) <= MOST
    assert set(label.payload) <= set(ALPHABET + ": ")
    code = segno.make_qr(label.payload, error="q", boost_error=False)
    assert code.mode == "alphanumeric" and int(code.version) <= 3
    assert parse(label.payload) == parse(f" {label.payload.lower()}\n") == label


@given(node_ids, macs, st.data())
def test_a_character_read_wrongly_is_seen(node_id: str, mac: str, data: st.DataObject) -> None:
    """20 bits of hash: one of a million slips through, and none of these did."""
    payload = Label(node_id, mac).payload
    at = data.draw(st.integers(0, len(payload) - 1))
    other = data.draw(st.sampled_from([c for c in ALPHABET + ":" if c != payload[at]]))
    with pytest.raises(CommissionFault):
        parse(payload[:at] + other + payload[at + 1 :])


@pytest.mark.parametrize("text", ["", "KB1", "KB1:::", "KB2:A:240AC4000110:AAAA", "http://x/" * 9])
def test_what_is_no_label_is_told(text: str) -> None:
    with pytest.raises(CommissionFault, match="not a label of ours"):
        parse(text)


def test_a_label_is_drawn_twice_the_same(tmp_path: Path) -> None:
    label = Label("sl-000110", MAC)
    paths = save(label, tmp_path, "sl-000110 at lamp-7")
    before = [path.read_bytes() for path in paths]
    assert before[0].startswith(b"\x89PNG") and b"<title>sl-000110 at lamp-7</title>" in before[1]
    assert [path.read_bytes() for path in save(label, tmp_path, "sl-000110 at lamp-7")] == before


def bound(places: Places, node: str, asset: str, mac: str) -> None:
    """A record of a board that has that id and asset."""
    durable.folder(places.folder)
    body = {"node": node, "asset": asset, "mac": mac, "life": 1}
    Ledger(places).add("bound", f"job of {mac}", body, 0)


def test_an_id_is_the_next_free_one(tmp_path: Path) -> None:
    places = Places(tmp_path / "commission")
    wish = Wish("", asset="a")
    other = "ff:ff:c4:00:01:10"
    assert order.free_node_id(wish, MAC, places, ledger.read(places.records)) == "n-000110"
    bound(places, "n-000110", "lamp-1", other)
    chain = ledger.read(places.records)
    assert order.free_node_id(wish, MAC, places, chain) == "n-c4000110"
    assert order.free_node_id(wish, other, places, chain) == "n-000110"  # its own
    with job.opened(places, "00:0a:c4:00:01:10") as begun:
        begun.learn(node="n-c4000110", asset="lamp-2")
    assert order.free_node_id(wish, MAC, places, chain) == "n-0ac4000110"
    for node in ("n-000110", "n-c4000110"):
        with pytest.raises(CommissionFault, match=f"node {node} is another board already"):
            order.free_node_id(Wish("", node=node), MAC, places, chain)


def test_an_asset_has_one_node(tmp_path: Path) -> None:
    places = Places(tmp_path / "commission")
    other = "ff:ff:c4:00:01:10"
    bound(places, "n-1", "lamp-1", other)
    chain = ledger.read(places.records)
    with pytest.raises(CommissionFault, match=r"lamp-1 has node n-1 already \(record 1, MAC ff:"):
        order.check_asset("lamp-1", MAC, places, chain)
    order.check_asset("lamp-1", other, places, chain)
    order.check_asset("lamp-1", MAC, places, chain, replaces="n-1")
    order.check_asset("lamp-2", MAC, places, chain)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("52.3731, 4.8922", (52.3731, 4.8922)),
        ("-33.9,18", (-33.9, 18.0)),
        ("91, 4", None),
        ("52.3, 181", None),
        ("corner of 5th, 7", None),
        ("52.3", None),
    ],
)
def test_degrees_are_told_from_words(text: str, found: tuple[float, float] | None) -> None:
    assert degrees(text) == found


def test_the_state_folder_is_the_users_own() -> None:
    assert usual({"XDG_STATE_HOME": "/x"}).folder == Path("/x/kerbline/commission")
    assert usual({"XDG_STATE_HOME": "relative"}).folder.is_absolute()


def test_a_damaged_job_is_named_and_left(tmp_path: Path) -> None:
    places = Places(tmp_path / "commission")
    with job.opened(places, MAC) as begun:
        begun.learn(asset="a")
    path = places.job(MAC) / "job.json"
    whole = path.read_bytes()
    nameless = whole.replace(b'"steps": {}', b'"steps": {"flash": {}}')
    assert nameless != whole
    other = whole.replace(MAC.encode(), b"00:00:00:00:00:00")
    for text in (b"", b"{", b"[]", other, nameless):
        path.write_bytes(text)
        with (
            pytest.raises(CommissionFault, match="damaged; move its folder away"),
            job.opened(places, MAC),
        ):
            raise AssertionError
        assert path.read_bytes() == text


class Offered(GatewaySession):
    """Counts how often it was given a time to offer."""

    told = 0

    def set_utc(self, offset_ms: int, uncertainty_ms: int) -> None:
        self.told += 1
        super().set_utc(offset_ms, uncertainty_ms)


def test_a_clock_in_doubt_is_told_to_no_node() -> None:
    for sure in (True, False):
        session = Offered(b"n-1", (0, bytes(16), None), None, RangeSet(), os.urandom, STREAM, None)
        proof._Ear(b"n-1", session, lambda _: None, tells_time=sure).tell_time()
        assert session.told == sure
