"""Each entity of a day is as Smart Data Models want it, in every form."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import fastjsonschema
import orjson
import pytest

from kerbline.model import Command, CommandResult, CommandState
from kerbline.north.ngsi_ld.change import Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.contexts import SUBJECTS
from kerbline.north.ngsi_ld.forms import Form
from kerbline.north.ngsi_ld.models import changes, lacks, operation, standing
from tests.gateway.city_day import T0_MS, city, day
from tests.gateway.smart_data_models import folded, needs_models, schema, terms, used, validator

COMMAND = Command("order 7/é", "sl-0001", "set_level", {"level_pct": 30}, T0_MS + 9_000, "mqtt")


def everything() -> list[Change]:
    """All changes of a day, what stands first."""
    here: City = city()
    stands = {change.id: change for change in standing(here, personal=True)}
    found = [change for change in stands.values() if not lacks(change)]
    for entry in day():
        for change in changes(entry, here):
            found.append(change)
            if change.id in stands:
                both = {**stands[change.id].attributes, **change.attributes}
                found.append(change._replace(attributes=both))
    for state in CommandState:
        found.append(operation.change(CommandResult("7", "sl-0001", state, "late", T0_MS), here))
        result = CommandResult("order 7/é", "sl-0001", state, "", T0_MS)
        found.append(operation.change(result, here, COMMAND))
    return found


@pytest.fixture(scope="module", name="found")
def _found() -> list[Change]:
    return everything()


def test_a_day_has_every_type_that_the_city_was_promised(found: list[Change]) -> None:
    assert {change.type for change in found} == set(SUBJECTS)


@needs_models
@pytest.mark.parametrize("concise", [False, True], ids=["normalized", "concise"])
def test_each_change_is_whole_by_itself(found: list[Change], concise: bool) -> None:  # noqa: FBT001
    form = Form(concise=concise)
    for change in found:
        entity = orjson.loads(orjson.dumps(form.entity(change)))
        validator(change.type)(folded(entity))
        assert not set(used(entity)) - terms(change.type) - {"@context"}, entity


@needs_models
def test_each_history_is_whole(found: list[Change]) -> None:
    by_id: dict[str, list[Change]] = defaultdict(list)
    for change in found:
        by_id[change.id].append(change)
    told = 0
    for some in by_id.values():
        body = Form().temporal(some)
        if body is None:
            continue
        for name, instances in body.items():
            if not isinstance(instances, list):
                continue
            told += len(instances)
            stamps = [each["observedAt"] for each in instances]
            assert stamps == sorted(set(stamps)), (body["id"], name)
            for each in instances:
                part: dict[str, Any] = {"id": body["id"], "type": body["type"], name: each}
                assert not set(used(part)) - terms(some[0].type)
    assert told > 5_000


@needs_models
def test_every_target_is_an_attribute_of_its_type() -> None:
    from kerbline.north.ngsi_ld.units import TARGETS

    for type_name, targets in TARGETS.items():
        known = set()
        for part in schema(type_name)["allOf"]:
            known |= set(part.get("properties", ()))
        assert set(targets) <= known, type_name


@needs_models
@pytest.mark.parametrize(
    ("attribute", "value"),
    [("illuminanceLevel", 30), ("refDevice", "urn:ngsi-ld:Device:x:1"), ("status", "off")],
)
def test_the_judge_is_no_rubber_stamp(attribute: str, value: object) -> None:
    lamp = {"id": "urn:a:b", "type": "Streetlight", "status": "ok", "illuminanceLevel": 0.3}
    lamp["location"] = {"type": "Point", "coordinates": [18.1, 59.3]}
    validator("Streetlight")(lamp)
    with pytest.raises(fastjsonschema.JsonSchemaValueException, match=attribute):
        validator("Streetlight")({**lamp, attribute: value})
    assert set(used({**lamp, "lampHours": {"value": 3}})) - terms("Streetlight") == {"lampHours"}
