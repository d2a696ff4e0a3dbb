"""The city writes an attribute of a group, and each of its lamps does it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from kerbline.assets import Asset
from tests.gateway.ngsi_orders_scene import (
    BY_HTTP,
    LAMP,
    LEVEL,
    OTHER,
    POWER,
    Scene,
    attribute,
    play,
)

QUAY = "urn:ngsi-ld:StreetlightGroup:stad:quay"
AT = f"/ngsi-ld/v1/entities/{QUAY}"
REGISTRATION = "urn:ngsi-ld:ContextSourceRegistration:stad:gw-1:StreetlightGroup:quay"
LAMPS = tuple(Asset(f"lamp-{n}", "Streetlight", group="quay") for n in (1, 2))
FAR = Asset("lamp-9", "Streetlight", group="quay")  # at another gateway


def scene(folder: Path, more: str = "", *far: Asset) -> Scene:
    return Scene(folder, BY_HTTP + more, ways=1 if "inclusive" in more else 3, listed=LAMPS + far)


def done(of: Scene) -> dict[str, Any]:
    return {each.asset: each.arguments.get("level_pct") for each in of.life.street.done}


def told(of: Scene) -> list[str]:
    return [each for each in of.states() if "group quay" in each]


def test_each_lamp_of_a_group_does_what_is_written_there(tmp_path: Path) -> None:
    async def story(here: Scene) -> None:
        await here.start()
        await here.known()
        kept = here.broker.registrations[REGISTRATION]
        assert (kept["mode"], kept["information"][0]["entities"][0]["id"]) == ("exclusive", QUAY)
        assert (await here.city("PATCH", f"{AT}/attrs/{LEVEL}", attribute(0.3)))[0] == 204
        assert done(here) == {"lamp-1": 30, "lamp-2": 30}
        for lamp in (LAMP, OTHER, QUAY):
            _, entity = await here.city("GET", f"/ngsi-ld/v1/entities/{lamp}")
            assert (entity[LEVEL]["value"], entity[POWER]["value"]) == (0.3, "on"), lamp
        await here.until(lambda: len(here.states()) == 5)
        assert told(here) == ["OK set_level level_pct 30 hold_s 0 at group quay"]
        each = {state for state in here.states() if "lamp" in state and state[:2] == "OK"}
        assert len(each) == 2
        body = {POWER: "off"}
        assert (await here.city("PATCH", f"{AT}/attrs", body))[0] == 204
        assert done(here) == {"lamp-1": 0, "lamp-2": 0}

    play(scene(tmp_path), story)


def test_what_one_lamp_did_not_do_is_told_by_its_name(tmp_path: Path) -> None:
    async def story(here: Scene) -> None:
        life = await here.start()
        await here.known()
        life.street.answers_of["lamp-2"] = "failed"
        status, said = await here.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3})
        assert (status, said["title"], said["detail"]) == (502, "partly", "lamp-2 failed")
        assert said["operation"].startswith("urn:ngsi-ld:DeviceOperation:stad:ld-")
        await here.until(lambda: bool(told(here)))
        assert told(here)[0].startswith("ERROR set_level level_pct 30")
        assert told(here)[0].endswith("at group quay: partly: lamp-2 failed")
        life.street.answer = life.street.answers_of["lamp-2"] = "failed"
        status, said = await here.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3})
        assert (status, said["title"]) == (502, "failed")  # each, and for the same reason
        life.street.answers_of["lamp-2"] = "unsupported"
        status, said = await here.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3})
        assert (status, said["title"]) == (502, "none_of_them")
        assert said["detail"] == "lamp-1 failed, lamp-2 unsupported"

    play(scene(tmp_path), story)


def test_a_group_with_a_lamp_that_is_away_is_over_when_its_time_is(tmp_path: Path) -> None:
    async def story(here: Scene) -> None:
        life = await here.start()
        await here.known()
        life.street.there = False
        status, said = await here.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3})
        assert (status, said["title"]) == (504, "expired")
        assert life.street.done == []

    play(scene(tmp_path, "ttl_s = 1.0\n"), story)


def test_an_order_that_is_none_reaches_no_lamp_and_a_repeat_runs_once(tmp_path: Path) -> None:
    async def story(here: Scene) -> None:
        await here.start()
        await here.known()
        assert (await here.here("PATCH", f"{AT}/attrs", {LEVEL: 1.3}))[0] == 400
        assert (await here.here("PATCH", f"{AT}/attrs", {"name": "x"}))[0] == 404
        assert here.life.street.done == []
        for _ in range(2):
            key = {"idempotency-key": "one"}
            assert (await here.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3}, **key))[0] == 204
        assert len(here.life.street.done) == 2

    play(scene(tmp_path), story)


def test_a_group_of_two_gateways_is_registered_by_both(tmp_path: Path) -> None:
    """Exclusive it could be one's alone: redirected it is forwarded to each."""

    async def story(here: Scene) -> None:
        await here.start()
        await here.known()
        assert here.broker.registrations[REGISTRATION]["mode"] == "redirect"
        assert (await here.city("PATCH", f"{AT}/attrs/{LEVEL}", attribute(0.3)))[0] == 204
        assert done(here) == {"lamp-1": 30, "lamp-2": 30}

    play(scene(tmp_path, "", FAR), story)


def test_a_group_that_the_list_gets_later_is_registered_and_its_lamps_are_told_apart(
    tmp_path: Path,
) -> None:
    async def story(here: Scene) -> None:
        life = await here.start()
        await here.known()
        life.registry.take([LAMPS[0], Asset("lamp-2", "Streetlight", group="park")])
        await here.until(lambda: len(here.broker.registrations) == 4)
        assert (await here.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3}))[0] == 204
        assert done(here) == {"lamp-1": 30}
        life.registry.take([])
        await here.until(lambda: len(here.broker.registrations) == 2)
        assert (await here.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3}))[0] == 404

    play(scene(tmp_path), story)


def test_lamps_that_differ_have_no_level_together(tmp_path: Path) -> None:
    async def story(here: Scene) -> None:
        life = await here.start()
        await here.known()
        assert (await here.here("GET", AT))[0] == 404
        await life.report("lamp-1", 30)
        await life.report("lamp-2", 0)
        _, entity = await here.here("GET", f"{AT}?options=keyValues")
        assert entity == {"id": QUAY, "type": "StreetlightGroup", POWER: "on"}
        await life.report("lamp-1", 0)
        _, entity = await here.here("GET", f"{AT}?options=keyValues")
        assert entity == {"id": QUAY, "type": "StreetlightGroup", POWER: "off", LEVEL: 0}

    play(scene(tmp_path), story)


def test_the_lamps_of_a_group_are_under_way_together(tmp_path: Path) -> None:
    """One that answers late holds up no other."""

    async def story(here: Scene) -> None:
        life = await here.start()
        await here.known()
        life.street.deaf = True
        asking = asyncio.create_task(here.here("PATCH", f"{AT}/attrs", {LEVEL: 0.3}))
        await here.until(lambda: len(life.street.done) == 2)
        for command in life.street.done:
            life.street.answer_to(command)
        assert (await asking)[0] == 204

    play(scene(tmp_path), story)
