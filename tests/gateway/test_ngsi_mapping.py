"""What a city gets of an entry: entities of Smart Data Models in the forms of NGSI-LD."""

from __future__ import annotations

from kerbline.assets import Asset, Location, Registry
from kerbline.model import Key, Reading
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.forms import Form
from kerbline.north.ngsi_ld.models import CHOOSE, changes

AT_MS = 1_789_000_000_000
AT = "2026-09-10T00:26:40.000Z"
LAMP = Asset("sl-0001", "Streetlight", location=Location("Point", ((18.1, 59.3),)))


def lamp(status: int = 0, **others: object) -> Reading:
    values = {"level_pct": 30, "power_w": 24.5, "energy_wh": 12_345, "status": status}
    fields: dict[str, object] = {"uncertainty_ms": 500, **others}
    return Reading(Key("n1", 1, 1), "sl-0001", "streetlight", AT_MS, values=values, **fields)  # type: ignore[arg-type]


def city() -> City:
    return City(Registry("sjoestad", [LAMP], {"sl-0001": "streetlight"}), (), CHOOSE)


def test_a_report_of_a_lamp_is_a_normalized_streetlight() -> None:
    (change,) = changes(lamp(), city())
    assert Form().entity(change) == {
        "id": "urn:ngsi-ld:Streetlight:sjoestad:sl-0001",
        "type": "Streetlight",
        "status": {"type": "Property", "value": "ok", "observedAt": AT},
        "illuminanceLevel": {
            "type": "Property",
            "value": 0.3,
            "observedAt": AT,
            "unitCode": "C62",
        },
        "powerConsumption": {
            "type": "Property",
            "value": 24.5,
            "observedAt": AT,
            "unitCode": "WTT",
        },
        "lifetimePowerConsumption": {
            "type": "Property",
            "value": 12.345,
            "observedAt": AT,
            "unitCode": "KWH",
        },
        "powerState": {"type": "Property", "value": "on", "observedAt": AT},
        "location": {
            "type": "GeoProperty",
            "value": {"type": "Point", "coordinates": [18.1, 59.3]},
        },
        "@context": "https://raw.githubusercontent.com/smart-data-models/"
        "dataModel.Streetlighting/master/context.jsonld",
    }
