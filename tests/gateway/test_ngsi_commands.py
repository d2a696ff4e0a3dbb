"""The city writes an attribute, and a lamp does it: by way of a context source registration."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from kerbline.model import CommandState
from kerbline.north.ngsi_ld.orders import command_id
from tests.gateway.ngsi_orders_scene import (
    BY_HTTP,
    HASTY,
    LAMP,
    LEVEL,
    OTHER,
    POWER,
    Scene,
    attribute,
    moment,
    play,
)

AT = f"/ngsi-ld/v1/entities/{LAMP}"
REGISTRATION = "urn:ngsi-ld:ContextSourceRegistration:stad:gw-1:lamp-1"


def level_of(scene: Scene) -> list[Any]:
    return [command.arguments.get("level_pct") for command in scene.life.street.done]


def ends(scene: Scene) -> list[str]:
    return sorted(each for each in scene.states() if each.startswith(("ERROR", "EXPIRED")))


def test_a_lamp_does_what_the_city_writes_and_it_is_confirmed(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        life = await scene.start()
        await life.report("lamp-1", 80)
        await scene.known()
        status, _ = await scene.city("PATCH", f"{AT}/attrs/{LEVEL}", attribute(0.3))
        assert status == 204
        (command,) = life.street.done
        assert (command.asset, command.operation) == ("lamp-1", "set_level")
        assert command.arguments == {"level_pct": 30, "hold_s": 0, "fade_ms": 0}
        assert command.source == "operator/ngsi-ld:platform"
        status, entity = await scene.city("GET", AT)
        assert (entity[LEVEL]["value"], entity[POWER]["value"]) == (0.3, "on")
        await scene.until(lambda: len(scene.states()) == 2)
        assert [text.split()[0] for text in scene.states()] == ["DELIVERED", "OK"]
        audit = life.store.commands.audit(command.id)
        assert [each.state for each in audit] == ["PENDING", "DELIVERED", "OK"]

    play(Scene(tmp_path), story)


def test_what_is_registered_is_in_no_upsert_and_whole_in_the_history(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        life = await scene.start()
        await scene.known()
        for level in (10, 20, 30):
            await life.report("lamp-1", level)
            await asyncio.sleep(0.05)
        history = scene.broker.entities.history
        await scene.until(lambda: len(history.get(LAMP, {}).get(LEVEL, ())) == 3)
        assert [each["value"] for each in history[LAMP][LEVEL]] == [0.1, 0.2, 0.3]
        assert LEVEL not in scene.broker.entities.now[LAMP]
        assert "powerConsumption" in scene.broker.entities.now[LAMP]
        assert scene.broker.conflicts == []

    play(Scene(tmp_path), story)


def test_an_inclusive_registration_leaves_the_state_with_the_broker(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        life = await scene.start()
        await life.report("lamp-1", 80)
        await scene.known()
        now = scene.broker.entities.now
        await scene.until(lambda: LEVEL in now.get(LAMP, {}))
        assert (await scene.city("PATCH", f"{AT}/attrs/{LEVEL}", attribute(0.3)))[0] == 204
        assert level_of(scene) == [30]
        assert now[LAMP][LEVEL]["value"] == 0.3
        life.street.answer = "failed"
        assert (await scene.city("PATCH", f"{AT}/attrs/{LEVEL}", attribute(0.5)))[0] == 502
        await scene.until(lambda: now[LAMP][LEVEL]["value"] == 0.8)  # what is so, again

    play(Scene(tmp_path, BY_HTTP + 'mode = "inclusive"\n', ways=1), story)


def test_both_attributes_off_on_and_back_to_the_schedule(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.start()
        await scene.known()
        for body in (
            {POWER: "off"},
            {POWER: attribute("on")},
            {POWER: {"value": "on"}, LEVEL: 0.5},
        ):
            assert (await scene.city("PATCH", f"{AT}/attrs", body))[0] == 204
        assert (await scene.city("PATCH", AT, {LEVEL: attribute(35, unitCode="P1")}))[0] == 204
        null = attribute("urn:ngsi-ld:null")
        assert (await scene.city("PATCH", f"{AT}/attrs/{LEVEL}", null))[0] == 204
        assert level_of(scene) == [0, 100, 50, 35, None]
        assert scene.life.street.done[-1].operation == "release"

    play(Scene(tmp_path), story)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({LEVEL: 1.1}, 400, "out_of_range"),
        ({LEVEL: -0.01}, 400, "out_of_range"),
        ({LEVEL: "0.3"}, 400, "wrong_type"),
        ({LEVEL: True}, 400, "wrong_type"),
        ({LEVEL: {"type": "Relationship", "object": "urn:x"}}, 400, "wrong_type"),
        ({LEVEL: [attribute(0.1), attribute(0.2)]}, 400, "wrong_type"),
        ({LEVEL: attribute(0.3, unitCode="LUX")}, 400, "wrong_unit"),
        ({LEVEL: 0.3, POWER: "off"}, 400, "contradiction"),
        ({POWER: "low"}, 400, "out_of_range"),
        ({POWER: 1}, 400, "wrong_type"),
        ({}, 400, "missing_argument"),
        ({"status": "ok"}, 404, "unknown_attribute"),
        ({LEVEL: 0.3, "status": "ok"}, 404, "unknown_attribute"),
        ([LEVEL], 400, "wrong_type"),
        ({LEVEL: attribute(0.3, expiresAt="tomorrow")}, 400, "bad_expiry"),
        ({LEVEL: attribute(0.3, expiresAt="2020-01-01T00:00:00Z")}, 504, "expired"),
        ({LEVEL: attribute(0.3, holdFor="long")}, 400, "wrong_type"),
        ({LEVEL: 0.3, "@context": {LEVEL: "https://example.org/other"}}, 400, "unknown_context"),
        (b"{", 400, "not_json"),
    ],
)
def test_what_is_no_order_is_refused_by_name_and_nothing_is_done(
    tmp_path: Path, body: object, status: int, reason: str
) -> None:
    async def story(scene: Scene) -> None:
        life = await scene.start()
        await scene.known()
        answer, told = await scene.here("PATCH", f"{AT}/attrs", body)
        assert (answer, told["title"]) == (status, reason), told
        assert told["type"].startswith("https://uri.etsi.org/ngsi-ld/errors/")
        assert life.street.done == []

    play(Scene(tmp_path), story)


@pytest.mark.parametrize("meter", ["WaterConsumptionObserved:stad:meter-1", "Streetlight:stad:x"])
def test_of_a_household_and_of_what_is_not_here_nothing_is_told(tmp_path: Path, meter: str) -> None:
    async def story(scene: Scene) -> None:
        await scene.start()
        await scene.known()
        place = f"/ngsi-ld/v1/entities/urn:ngsi-ld:{meter}"
        assert (await scene.here("GET", place))[0] == 404
        answer, told = await scene.here("PATCH", f"{place}/attrs", {"waterConsumption": 1})
        assert (answer, told["title"]) == (404, "unknown_entity")

    play(Scene(tmp_path), story)


def test_a_refusal_of_the_lamp_of_the_config_and_of_a_holder_each_have_their_status(
    tmp_path: Path,
) -> None:
    async def story(scene: Scene) -> None:
        life = await scene.start()
        await scene.known()
        life.street.answer = "failed"
        answer, told = await scene.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3})
        assert (answer, told["title"]) == (502, "failed")
        assert told["operation"].startswith("urn:ngsi-ld:DeviceOperation:stad:ld-")
        life.street.never = "unsupported: set_level"
        answer, told = await scene.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3})
        assert (answer, told["title"], told["detail"]) == (422, "unsupported", "set_level")
        answer, told = await scene.here("DELETE", f"{AT}/attrs/{LEVEL}")
        assert (answer, told["title"], told["detail"]) == (403, "not_permitted", "release")
        answer, told = await scene.here("DELETE", f"{AT}/attrs/{LEVEL}?datasetId=urn:x:forecast")
        assert (answer, told["title"]) == (404, "unknown_attribute")
        wanted = ["DELIVERED", "ERROR", "REJECTED", "REJECTED"]
        await scene.until(lambda: [each.split()[0] for each in scene.states()] == wanted)

    play(Scene(tmp_path, BY_HTTP + 'operations = ["set_level"]\n'), story)


def test_an_order_to_a_lamp_that_is_away_expires_and_is_told_so(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        life = await scene.start()
        await scene.known()
        life.street.there = False
        began_s = time.monotonic()
        answer, told = await scene.city("PATCH", f"{AT}/attrs/{LEVEL}", attribute(0.3))
        assert (answer, told["title"]) == (504, "expired")
        assert time.monotonic() - began_s >= 2.0
        life.street.there = True
        await life.orders.joined("lamp-1")
        assert life.street.done == []
        wanted = ["PENDING", "EXPIRED"]
        await scene.until(lambda: [each.split()[0] for each in scene.states()] == wanted)

    play(Scene(tmp_path, HASTY), story)


def test_an_order_with_time_is_under_way_when_the_broker_has_waited(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        life = await scene.start()
        await scene.known()
        life.street.there = False
        until = "2999-01-01T00:00:00Z"
        answer, told = await scene.here(
            "PATCH", f"{AT}/attrs", {LEVEL: attribute(1, expiresAt=until)}
        )
        assert (answer, told["detail"]) == (400, "more than 24 h ahead")
        lasting = {LEVEL: attribute(1, expiresAt=moment(600))}
        answer, told = await scene.here("PATCH", f"{AT}/attrs", lasting)
        assert (answer, told["state"]) == (202, "PENDING")
        life.street.there = True
        await life.orders.joined("lamp-1")
        wanted = ["REJECTED", "PENDING", "DELIVERED", "OK"]
        await scene.until(lambda: [each.split()[0] for each in scene.states()] == wanted)

    play(Scene(tmp_path, HASTY.replace("2.0", "0.5")), story)


def test_a_repeat_with_its_key_runs_once_and_without_one_again(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.start()
        await scene.known()
        for _ in range(3):
            key = {"idempotency-key": "one"}
            assert (await scene.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3}, **key))[0] == 204
        assert level_of(scene) == [30]
        assert (await scene.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3}))[0] == 204
        assert level_of(scene) == [30, 30]

    play(Scene(tmp_path), story)


def test_after_a_kill_nothing_stale_is_done_and_the_city_is_told(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        life = await scene.start()
        await scene.known()
        life.street.deaf = True  # sent, and killed before the answer
        key = {"idempotency-key": "one"}
        asking = asyncio.create_task(scene.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3}, **key))
        await scene.until(lambda: bool(life.street.done))
        life.street.there = False  # and one that waits
        soon_over = {LEVEL: attribute(0.4, expiresAt=moment(2))}
        waiting = asyncio.create_task(scene.here("PATCH", f"{AT}/attrs", soon_over))
        await scene.until(lambda: len(life.store.commands.open()) == 2 or bool(ends(scene)))
        await scene.kill()
        await asyncio.gather(asking, waiting, return_exceptions=True)
        await asyncio.sleep(2.0)  # until that one's time is over
        second = await scene.start()
        await scene.until(lambda: len(ends(scene)) == 2)
        assert second.street.done == []
        unknown, expired = ends(scene)
        assert unknown.startswith("ERROR set_level level_pct 30")
        assert unknown.endswith("outcome_unknown")
        assert expired.startswith("EXPIRED set_level level_pct 40")
        answer, told = await scene.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3}, **key)
        assert (answer, told["title"]) == (502, "outcome_unknown")
        assert second.street.done == []

    play(Scene(tmp_path), story)


def test_each_lamp_is_registered_once_however_often_we_begin(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        for _ in range(2):
            await scene.start()
            await scene.known()
            await scene.kill()
        kept = scene.broker.registrations
        assert set(kept) == {REGISTRATION, REGISTRATION.replace("lamp-1", "lamp-2")}
        first = kept[REGISTRATION]
        assert first["mode"] == "exclusive"
        (information,) = first["information"]
        assert information["entities"] == [{"id": LAMP, "type": "Streetlight"}]
        assert information["propertyNames"] == [LEVEL, POWER]
        kept.clear()  # a broker that lost all
        await scene.start()
        await scene.known()
        assert len(kept) == 2

    play(Scene(tmp_path), story)


def test_what_the_broker_held_of_a_lamp_before_makes_room_for_the_registration(
    tmp_path: Path,
) -> None:
    async def story(scene: Scene) -> None:
        body = {"id": LAMP, "type": "Streetlight", LEVEL: attribute(0.9), "name": attribute("x")}
        scene.broker.entities.upsert(body, update=True)
        await scene.start()
        await scene.known()
        assert LEVEL not in scene.broker.entities.now[LAMP]
        assert "name" in scene.broker.entities.now[LAMP]

    play(Scene(tmp_path), story)


def test_a_way_that_the_config_names_no_more_is_taken_away(tmp_path: Path) -> None:
    from kerbline.agent.city.ways import place, take_away

    async def story(scene: Scene) -> None:
        life = await scene.start()
        await scene.known()
        await scene.kill()
        (broker,) = life.config.brokers
        assert place(life.config, broker).exists()
        await take_away(life.config, broker)
        assert scene.broker.registrations == {}
        assert not place(life.config, broker).exists()

    play(Scene(tmp_path), story)


def test_lamps_that_may_not_be_ordered_by_state_are_asked_for_their_level_alone(
    tmp_path: Path,
) -> None:
    async def story(scene: Scene) -> None:
        life = await scene.start()
        await scene.known()
        await life.report("lamp-1", 30)
        now = scene.broker.entities.now
        await scene.until(lambda: POWER in now.get(LAMP, {}))
        assert LEVEL not in now[LAMP]
        assert (await scene.here("PATCH", f"{AT}/attrs/{POWER}", attribute("on")))[0] == 404

    play(Scene(tmp_path, BY_HTTP + f'attributes = ["{LEVEL}"]\n'), story)


def test_what_is_so_is_told_in_each_form(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        life = await scene.start()
        await scene.known()
        answer, told = await scene.here("GET", AT)
        assert (answer, told["title"]) == (404, "not_known_yet")
        await life.report("lamp-1", 30)
        await life.report("lamp-2", 0)
        _, told = await scene.here("GET", AT)
        assert told["id"] == LAMP
        assert {"type", "value", "observedAt", "unitCode"} <= told[LEVEL].keys()
        assert set(told) == {"id", "type", LEVEL, POWER}
        _, told = await scene.here("GET", f"{AT}?attrs={POWER}&options=keyValues")
        assert told == {"id": LAMP, "type": "Streetlight", POWER: "on"}
        _, told = await scene.here("GET", f"{AT}?format=concise", accept="application/ld+json")
        assert told[LEVEL]["value"] == 0.3
        assert told["@context"].startswith("https://")
        every = "/ngsi-ld/v1/entities?type=Streetlight&format=simplified"
        _, told = await scene.here("GET", every)
        assert {each["id"]: each[POWER] for each in told} == {LAMP: "on", OTHER: "off"}
        assert (await scene.here("GET", f"{every}&limit=1&offset=1"))[1] == told[1:]
        assert (await scene.here("GET", "/ngsi-ld/v1/entities?type=Device"))[1] == []

    play(Scene(tmp_path), story)


def test_what_a_broker_forwards_in_its_own_way_is_understood(tmp_path: Path) -> None:
    """Expanded names; the attribute within the attribute; a Property in a list."""

    async def story(scene: Scene) -> None:
        await scene.start()
        await scene.known()
        expanded = "https://smartdatamodels.org/dataModel.Streetlighting/illuminanceLevel"
        bodies: list[object] = [
            {LEVEL: attribute(0.1)},
            [attribute(0.2)],
            {"value": 0.3, "@context": ["https://example.org/context.jsonld"]},
            0.4,
        ]
        for body in bodies:
            assert (await scene.here("PATCH", f"{AT}/attrs/{LEVEL}", body))[0] == 204
        assert (await scene.here("PATCH", f"{AT}/attrs", {expanded: {"value": 0.5}}))[0] == 204
        assert (await scene.here("PUT", f"{AT}/attrs/{LEVEL}", attribute(0.6)))[0] == 204
        merge = {"content-type": "application/merge-patch+json"}
        assert (await scene.here("PATCH", AT, {"id": LAMP, LEVEL: 0.7}, **merge))[0] == 204
        assert level_of(scene) == [10, 20, 30, 40, 50, 60, 70]

    play(Scene(tmp_path), story)


def test_the_same_parts_make_the_same_id() -> None:
    assert command_id("a", 1) == command_id("a", 1) != command_id("a", 2)
    assert len(command_id("x" * 999)) <= 64
    assert CommandState.OK in CommandState
