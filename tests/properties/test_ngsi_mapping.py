"""Whatever a log may hold: what leaves of it is JSON, valid, mapped, and never without its flag."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from kerbline.model import Key, Reading, Value
from kerbline.north.ngsi_ld.forms import Form
from kerbline.north.ngsi_ld.models import changes
from kerbwire.messages import EVENT_NAMES
from kerbwire.schema import SCHEMAS
from tests.gateway.city_day import ASSETS, city, config
from tests.gateway.smart_data_models import folded, needs_models, terms, used, validator

UNITS = [unit for bus in config().buses for unit in bus.devices]
NAMES = sorted(
    {each.name for schema in SCHEMAS for each in schema.fields}
    | {each.name for unit in UNITS for each in unit.registers}
    | {"event", "value", "o3_ppb", "text", "_l", "x_"}
)
KINDS = ("streetlight", "water_meter", "air_quality", "modbus", "serial", "event", "kpi", "odd")
NUMBERS = st.integers(-(1 << 70), 1 << 70) | st.floats()
VALUES: st.SearchStrategy[Value] = (
    NUMBERS
    | st.booleans()
    | st.sampled_from(sorted(EVENT_NAMES.values()))
    | st.text(max_size=8)
    | st.lists(st.integers(), max_size=3).map(tuple)
)
READINGS = st.builds(
    Reading,
    key=st.builds(Key, st.sampled_from(["n-1", "gw-1"]), st.just(1), st.integers(1, 9)),
    asset=st.sampled_from([each.id for each in ASSETS]),
    kind=st.sampled_from(KINDS),
    observed_at_ms=st.integers(-(1 << 62), 1 << 62),
    uncertainty_ms=st.integers(0, 1 << 40),
    values=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=12),
    quality=st.sampled_from([(), ("undated",), ("not_available", "timeout")]),
)
CITY, FORM = city(), Form()


@needs_models
@given(READINGS)
def test_what_leaves_is_valid_whatever_came(reading: Reading) -> None:
    for change in changes(reading, CITY):
        entity = orjson.loads(orjson.dumps(FORM.entity(change)))
        validator(change.type)(folded(entity))
        assert not set(used(entity)) - terms(change.type) - {"@context"}
        for name, attribute in entity.items():
            if not isinstance(attribute, dict) or "observedAt" not in attribute:
                continue
            if attribute["type"] == "Property" and reading.quality:
                assert set(reading.quality) <= set(attribute["status"]["value"].split()), name
