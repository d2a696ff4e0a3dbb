"""Changes as bodies of NGSI-LD: normalized, concise and temporal, @context within or by Link."""

from __future__ import annotations

import pytest

from kerbline.north.ngsi_ld.change import GEO, RELATIONSHIP, Attribute, Change
from kerbline.north.ngsi_ld.contexts import OFFICIAL, SUBJECTS, Contexts
from kerbline.north.ngsi_ld.forms import Form

AT_MS = 1_789_000_000_000
AT, LATER = "2026-09-10T00:26:40.000Z", "2026-09-10T00:26:41.250Z"
POINT = {"type": "Point", "coordinates": [18.1, 59.3]}
LAMP = "urn:ngsi-ld:Streetlight:x:1"
CITYS = "https://city.example/context.jsonld"


def lamp(**attributes: Attribute) -> Change:
    return Change(LAMP, "Streetlight", attributes)


WHOLE = lamp(
    powerConsumption=Attribute(24.5, AT_MS, "WTT", ("undated", "uncertainty_ms:9000")),
    status=Attribute("ok", AT_MS),
    name=Attribute("Lamp 1"),
    owner=Attribute(["City"]),
    address=Attribute({"streetAddress": "Quay St"}),
    location=Attribute(POINT, kind=GEO),
    refDevice=Attribute(["urn:ngsi-ld:Device:x:1"], kind=RELATIONSHIP),
)


def test_the_normalized_form_names_each_kind() -> None:
    assert Form().entity(WHOLE) == {
        "id": LAMP,
        "type": "Streetlight",
        "powerConsumption": {
            "type": "Property",
            "value": 24.5,
            "observedAt": AT,
            "unitCode": "WTT",
            "status": {"type": "Property", "value": "undated uncertainty_ms:9000"},
        },
        "status": {
            "type": "Property",
            "value": "ok",
            "observedAt": AT,
            "status": {"type": "Property", "value": "good"},
        },
        "name": {"type": "Property", "value": "Lamp 1"},
        "owner": {"type": "Property", "value": ["City"]},
        "address": {"type": "Property", "value": {"streetAddress": "Quay St"}},
        "location": {"type": "GeoProperty", "value": POINT},
        "refDevice": {"type": "Relationship", "object": ["urn:ngsi-ld:Device:x:1"]},
        "@context": OFFICIAL.format("Streetlighting"),
    }


def test_the_concise_form_says_no_more_than_is_needed() -> None:
    assert Form(concise=True).entity(WHOLE) == {
        "id": LAMP,
        "type": "Streetlight",
        "powerConsumption": {
            "value": 24.5,
            "observedAt": AT,
            "unitCode": "WTT",
            "status": "undated uncertainty_ms:9000",
        },
        "status": {"value": "ok", "observedAt": AT, "status": "good"},
        "name": "Lamp 1",
        "owner": ["City"],
        "address": {"value": {"streetAddress": "Quay St"}},
        "location": POINT,
        "refDevice": {"object": ["urn:ngsi-ld:Device:x:1"]},
        "@context": OFFICIAL.format("Streetlighting"),
    }


@pytest.mark.parametrize("concise", [False, True])
def test_history_rises_and_has_each_moment_once(concise: bool) -> None:  # noqa: FBT001
    typed = {} if concise else {"type": "Property"}
    good = {"status": "good" if concise else {"type": "Property", "value": "good"}}
    late = lamp(powerConsumption=Attribute(3, AT_MS + 1_250, "WTT"), name=Attribute("Lamp 1"))
    early = lamp(powerConsumption=Attribute(1, AT_MS, "WTT"), status=Attribute("ok", AT_MS))
    again = lamp(powerConsumption=Attribute(2, AT_MS, "WTT"))
    assert Form(concise=concise).temporal([late, early, again]) == {
        "id": LAMP,
        "type": "Streetlight",
        "powerConsumption": [
            {**typed, "value": 2, "observedAt": AT, "unitCode": "WTT", **good},
            {**typed, "value": 3, "observedAt": LATER, "unitCode": "WTT", **good},
        ],
        "status": [{**typed, "value": "ok", "observedAt": AT, **good}],
        "@context": OFFICIAL.format("Streetlighting"),
    }


def test_what_only_stands_has_no_history() -> None:
    assert Form().temporal([lamp(name=Attribute("Lamp 1"))]) is None


def test_a_context_is_in_the_body_or_in_a_link_and_never_in_both() -> None:
    within, linked = Form(), Form(link=True)
    assert within.headers("Alert") == {"Content-Type": "application/ld+json"}
    assert linked.headers("Alert") == {
        "Content-Type": "application/json",
        "Link": f"<{OFFICIAL.format('Alert')}>; "
        'rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"',
    }
    assert "@context" not in linked.entity(WHOLE)
    assert "@context" not in (linked.temporal([WHOLE]) or {})


def test_a_city_that_hosts_the_contexts_is_asked_alone() -> None:
    several = Form(Contexts((CITYS, "https://city.example/core.jsonld")))
    assert several.entity(WHOLE)["@context"] == [CITYS, "https://city.example/core.jsonld"]
    linked = Form(Contexts((CITYS,)), link=True)
    assert CITYS in linked.headers("Device")["Link"]
    assert {linked.group(each) for each in SUBJECTS} == {CITYS}


def test_a_link_parts_what_is_not_mapped_alike() -> None:
    linked = Form(link=True)
    assert linked.group("Device") == linked.group("DeviceMeasurement") != linked.group("Alert")
    assert {Form().group(each) for each in SUBJECTS} == {""}
