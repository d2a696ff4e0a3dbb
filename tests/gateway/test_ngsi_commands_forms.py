"""What is written of attributes, and the orders that it is: pure, and of any JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbline.assets import registry as assets
from kerbline.config import load
from kerbline.model import Key, Reading, Value
from kerbline.north.commands import Rejection
from kerbline.north.ngsi_ld import models
from kerbline.north.ngsi_ld.attributes import NoValue, attributes, instant_ms, short, written
from kerbline.north.ngsi_ld.known import KEPT, Known
from kerbline.north.ngsi_ld.notifications import (
    NoNotification,
    Notification,
    Seen,
    Verdict,
    judged,
    parsed,
)
from kerbline.north.ngsi_ld.orders import Catalogue, Terms, wanted
from kerbline.north.ngsi_ld.registration import registrations, subscription

CABINET = "urn:ngsi-ld:StreetlightControlCabinet:stad:cab-1"
LAMP = "urn:ngsi-ld:Streetlight:stad:lamp-1"
LEVEL = "illuminanceLevel"
NOW_MS = 1_790_000_000_000
CONFIG = """\
[gateway]
id = "gw-1"
state_dir = "state"
[city]
id = "stad"
[[node]]
id = "sl-1"
asset = "lamp-1"
kind = "streetlight"
key_file = "node.key"
port = "socket://127.0.0.1:1"
[[modbus]]
name = "bus"
port = "socket://127.0.0.1:2"
[[modbus.device]]
unit = 1
asset = "cab-1"
[[modbus.device.register]]
name = "power_w"
address = 0
[modbus.device.register.writable]
min = 0
max = 9000
[[modbus.device.register]]
name = "mode"
address = 1
[modbus.device.register.writable]
values = [0, 1, 2]
[[modbus.device.register]]
name = "voltage_l1_v"
address = 2
"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    (tmp_path / "node.key").write_text("0" * 32)
    (tmp_path / "node.key").chmod(0o600)
    (tmp_path / "gw.toml").write_text(CONFIG)
    config = load(tmp_path / "gw.toml")
    city = models.city_of(config, assets.empty(config))
    return Catalogue(config, city, Terms(hold_s=60))


def known(catalogue: Catalogue) -> Known:
    city = catalogue._city
    return Known(catalogue, lambda entry: models.changes(entry, city))


def report(at_ms: int, level: int) -> Reading:
    values: dict[str, Value] = {"level_pct": level, "power_w": 3, "status": 0}
    return Reading(Key("sl-1", 1, at_ms), "lamp-1", "streetlight", at_ms, 0, values)


def test_a_cabinets_writable_registers_are_its_attributes_in_their_units(
    catalogue: Catalogue,
) -> None:
    assert list(catalogue.targets[CABINET].attributes) == ["totalActivePower", "mode"]
    body = {"totalActivePower": {"value": 1.5, "unitCode": "KWT"}, "mode": 2}
    found = wanted(catalogue.targets, CABINET, body, catalogue.terms)
    assert not isinstance(found, Rejection)
    assert found.order == {"operation": "write", "arguments": {"power_w": 1500, "mode": 2}}
    for value in ("1", True, {"value": 1.5, "unitCode": "WTT"}):
        refused = wanted(catalogue.targets, CABINET, {"totalActivePower": value}, catalogue.terms)
        assert isinstance(refused, Rejection)
        assert refused.reason in ("wrong_type", "wrong_unit")
    assert (CABINET, "mode") in catalogue
    assert (CABINET, "voltageR") not in catalogue


@pytest.mark.parametrize(
    ("value", "pct"), [(0, 0), (0.0, 0), (0.001, 1), (0.294, 29), (1, 100), (1.0, 100)]
)
def test_levels_are_whole_percent_and_a_little_light_is_light(
    catalogue: Catalogue, value: float, pct: int
) -> None:
    found = wanted(catalogue.targets, LAMP, {LEVEL: value}, catalogue.terms)
    assert not isinstance(found, Rejection)
    assert found.order["arguments"] == {"level_pct": pct, "hold_s": 60}


def test_what_stands_beside_a_value_is_taken_in_each_form(catalogue: Catalogue) -> None:
    until = "2026-11-22T12:00:00Z"
    stamp = {"@type": "DateTime", "@value": until}
    for beside in (until, {"type": "Property", "value": until}, {"value": stamp["@value"]}, stamp):
        body = {LEVEL: {"type": "Property", "value": 0.5, "expiresAt": beside, "holdFor": 9.0}}
        found = wanted(catalogue.targets, LAMP, body, catalogue.terms)
        assert not isinstance(found, Rejection)
        assert found.expires_at == until
        assert found.order["arguments"] == {"level_pct": 50, "hold_s": 9}


@given(JSON)
def test_any_json_is_a_value_or_none(body: Any) -> None:
    try:
        found = written(body)
    except NoValue:
        return
    assert found.observed_at_ms is None or isinstance(found.observed_at_ms, int)


@given(JSON, st.sampled_from(["", "body", "data", "all"]))
def test_any_message_is_a_notification_or_none(body: Any, depth: str) -> None:
    shapes = {
        "": body,
        "body": {"metadata": {}, "body": body},
        "data": {"body": {"type": "Notification", "data": body}},
        "all": {"body": {"type": "Notification", "data": [{"id": LAMP, LEVEL: body}]}},
    }
    text = json.dumps(shapes[depth]).encode()
    try:
        found = parsed(text)
    except NoNotification:
        return
    assert all(isinstance(entity, str) for entity, _ in found.data)


@given(body=st.dictionaries(st.sampled_from([LEVEL, "powerState", "x"]), JSON, max_size=3))
def test_any_attributes_are_an_order_or_a_named_rejection(body: dict[str, Any]) -> None:
    targets = {LAMP: _target()}
    found = wanted(targets, LAMP, body, Terms())
    if isinstance(found, Rejection):
        assert found.reason.isidentifier()
    else:
        assert found.order["operation"] in ("set_level", "release")


def _target() -> Any:
    from kerbline.north.ngsi_ld.orders import LAMP_ATTRIBUTES, Target

    return Target("lamp-1", LAMP, "Streetlight", dict.fromkeys(LAMP_ATTRIBUTES))


FORECAST = {"type": "Property", "value": 0.2, "datasetId": "urn:ngsi-ld:Dataset:forecast"}


def test_only_the_default_instance_is_an_order(catalogue: Catalogue) -> None:
    """4.5.5: what has a datasetId is one view among several, a forecast or a plan."""
    refused = wanted(catalogue.targets, LAMP, {LEVEL: FORECAST}, catalogue.terms)
    assert isinstance(refused, Rejection)
    assert refused.reason == "wrong_type"
    assert "datasetId" in refused.detail
    default = {"type": "Property", "value": 0.9}
    none = {"id": LAMP, "type": "Streetlight", LEVEL: [FORECAST], "powerState": FORECAST}
    for each, left in (({**none, LEVEL: [FORECAST, default]}, {LEVEL: default}), (none, {})):
        body = {"type": "Notification", "data": [each]}
        told = parsed(json.dumps({"metadata": {}, "body": body}).encode())
        assert told.data == ((LAMP, left),)
    plain = {"id": LAMP, LEVEL: [default, default]}
    body = {"type": "Notification", "data": [plain]}
    told = parsed(json.dumps({"metadata": {}, "body": body}).encode())
    assert told.data == ((LAMP, {LEVEL: [default, default]}),)


def test_names_that_a_broker_expanded_are_understood() -> None:
    assert short("https://smartdatamodels.org/dataModel.Streetlighting/powerState") == "powerState"
    assert short("https://uri.etsi.org/ngsi-ld/v1#value") == "value"
    assert short(LAMP) == LAMP
    body = {"id": LAMP, "type": "Streetlight", "@context": "x", "https://a/b/powerState": "on"}
    assert attributes(body) == {"powerState": "on"}


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T01:00:00.5+01:00", 500),
        ("1970-01-01T00:00:01", None),
        ("soon", None),
        (5, None),
        (None, None),
    ],
)
def test_instants_have_a_zone(text: object, ms: int | None) -> None:
    assert instant_ms(text) == ms


def test_verdicts(catalogue: Catalogue) -> None:
    ours, seen = known(catalogue), Seen()
    ours.offer(report(NOW_MS, 80))
    told = Notification("n", "s", NOW_MS + 5_000, ())
    date = "2026-09-21T14:13:20.000Z"
    assert instant_ms(date) == NOW_MS

    def verdict(value: object, **beside: object) -> Verdict:
        one = {"type": "Property", "value": value, **beside}
        return judged(LAMP, LEVEL, one, told, ours, seen, NOW_MS + 6_000, 60_000)

    assert verdict(0.8, observedAt=date) is Verdict.OURS
    assert verdict(0.8000000000001, observedAt=date) is Verdict.OURS
    assert verdict(0.3, observedAt="2026-09-21T14:13:00.000Z") is Verdict.OURS  # older than ours
    assert verdict(0.3, observedAt=date) is Verdict.ORDER  # a broker that keeps our date
    assert verdict(0.3, observedAt=date) is Verdict.SEEN
    assert verdict(0.8, observedAt=date) is Verdict.ORDER  # back to what we measured then
    assert verdict(0.8, observedAt=date) is Verdict.SEEN
    assert verdict(0.3, observedAt=date) is Verdict.ORDER
    ours.restated(LAMP, [LEVEL])
    assert verdict(0.8, observedAt=date) is Verdict.OURS
    assert verdict(0.3, observedAt=date) is Verdict.ORDER
    assert verdict(0.8) is Verdict.ORDER
    assert verdict(0.8) is Verdict.SEEN
    assert Seen(seen.orders).orders == seen.orders
    assert verdict(0.8, observedAt=date) is Verdict.OURS
    assert verdict(0.8) is Verdict.ORDER  # again, after ours
    assert verdict(0.8, modifiedAt="2026-09-21T14:13:21Z") is Verdict.ORDER
    assert verdict(0.8, modifiedAt="2026-09-21T14:00:00Z") is Verdict.STALE
    assert verdict(0.4, observedAt="2026-09-21T15:13:21Z") is Verdict.STALE
    ours.offer(report(NOW_MS + 5_000, 81))
    between = "2026-09-21T14:13:22.000Z"  # of a city's clock, and of no value of ours
    assert verdict(0.81, observedAt=between) is Verdict.ORDER
    late = Notification("n", "s", NOW_MS - 120_000, ())
    assert judged(LAMP, LEVEL, 0.9, late, ours, seen, NOW_MS, 60_000) is Verdict.STALE
    assert judged(LAMP, LEVEL, {}, late, ours, seen, NOW_MS, 60_000) is Verdict.ORDER  # aloud


def test_no_more_than_so_many_values_are_kept_and_the_newest_tells(catalogue: Catalogue) -> None:
    found = known(catalogue)
    for number in range(2 * KEPT):
        found.offer(report(NOW_MS + number, number))
    assert not found.is_dated_by_us(LAMP, LEVEL, NOW_MS)
    assert found.is_dated_by_us(LAMP, LEVEL, NOW_MS + KEPT)
    found.offer(report(NOW_MS, 99))  # late
    newest = found.newest(LAMP, LEVEL)
    assert newest is not None
    assert newest.value == (2 * KEPT - 1) / 100


def test_an_exclusive_registration_is_of_one_entity_and_an_inclusive_one_of_all(
    catalogue: Catalogue,
) -> None:
    targets = list(catalogue.targets.values())
    headers = {"Authorization": "Bearer x"}
    where = ("stad:gw-1", "exclusive", "http://gw", headers, NOW_MS)
    each = registrations(targets, *where)
    assert [len(one.body["information"]) for one in each] == [1, 1]
    assert each[0].id == "urn:ngsi-ld:ContextSourceRegistration:stad:gw-1:lamp-1"
    assert each[0].body["expiresAt"] == "2026-09-22T14:13:20.000Z"
    assert each[0].body["contextSourceInfo"] == [{"key": "Authorization", "value": "Bearer x"}]
    (one,) = registrations(targets, "stad:gw-1", "inclusive", "http://gw", {}, NOW_MS)
    assert one.id == "urn:ngsi-ld:ContextSourceRegistration:stad:gw-1"
    assert len(one.body["information"]) == 2
    assert registrations([], *where) == []
    assert subscription([], "stad:gw-1", "mqtt://x/y", "z", NOW_MS) is None
