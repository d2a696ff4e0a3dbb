"""Answers that no broker should give: none ends the gateway, none loses a value unseen."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from kerbline.north.ngsi_ld.answers import Again, Partly, judged, retry_after_s
from kerbline.north.ngsi_ld.client import Client, NoAnswer
from kerbline.north.ngsi_ld.dead_letters import DeadLetters
from kerbline.north.ngsi_ld.registrar import REGISTRATIONS, Document, NotPut, Registrar
from kerbline.north.ngsi_ld.token import Anonymous, FileToken, NoToken
from kerbline.sim.ngsi_ld import Fault, Request
from kerbline.sim.ngsi_ld_forward import Forwarder
from tests import steady
from tests.gateway.ngsi_ld_scene import Scene, lamp, once, play

A = "urn:ngsi-ld:Streetlight:stad:lamp-1"
CORE = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.8.jsonld"
IN_NINE = "Thu, 01 Jan 1970 00:00:09 GMT"
NO_DATES = (
    "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
    "Fri, 31 Dec 2026 23:59:59 +99999999999999999999",
    "soon",
)


@pytest.mark.parametrize("text", NO_DATES)
def test_what_is_no_date_says_nothing(text: str) -> None:
    assert retry_after_s({"retry-after": text}, 0.0) is None
    wish = {"retry-after": IN_NINE, "date": text}
    assert retry_after_s(wish, 2.0) == 7.0


@pytest.mark.parametrize("status", ["²", "9" * 5_000, "", None, [503]])
def test_a_failure_that_tells_nothing_is_none_for_good(status: object) -> None:
    body = {"success": [], "errors": [{"entityId": A, "error": {"status": status}}]}
    told = {A: "it tells no reason"}
    assert judged(207, {}, orjson.dumps(body), [A], 0.0) == Partly(again=told)


@pytest.mark.parametrize(
    "failed", [{"error": {"status": 503}}, {"entityId": A.upper(), "error": {"status": 503}}]
)
def test_a_207_with_a_failure_that_can_not_be_told_is_no_acknowledgement(failed: object) -> None:
    body = orjson.dumps({"success": [], "errors": [failed]})
    assert isinstance(judged(207, {}, body, [A], 0.0), Again)


@pytest.mark.parametrize(
    "headers",
    [
        {"set-cookie": b"a=\xff; Max-Age=9"},
        {"date": NO_DATES[0].encode()},
        {"retry-after": NO_DATES[0].encode()},
        {"location": b"https://[::1/\xff"},
    ],
)
@pytest.mark.parametrize("status", [307, 429, 503])
def test_no_header_ends_the_gateway(tmp_path: Path, headers: Any, status: int) -> None:
    async def story(scene: Scene) -> None:
        scene.broker.fault = once(Fault(status=status, headers=headers))
        scene.log.commit([lamp(1, at_s=-1.0)])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(tmp_path), story)
    assert scene.levels()


def test_no_cookie_is_kept(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.broker.fault = once(Fault(status=503, headers={"set-cookie": "who=gateway"}))
        scene.log.commit([lamp(1, at_s=-1.0)])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(tmp_path), story)
    first, second = scene.broker.arrivals
    assert "set-cookie" in first.headers
    assert "cookie" not in second.request.headers


def letters(scene: Scene) -> dict[str, set[str]]:
    """Attributes in dead letters, by entity."""
    found = DeadLetters(scene.folder / "dead-letters" / "city.jsonl")
    return {letter.change.id: set(letter.change.attributes) for letter in found.letters}


def read_only(request: Request) -> Fault | None:
    """An UpdateResult, in which attributes have names and entities none."""
    if "powerConsumption" not in request.body.decode():
        return None
    told = {"updated": [], "notUpdated": [{"attributeName": "powerConsumption", "reason": "no"}]}
    return Fault(status=207, body=orjson.dumps(told))


@pytest.mark.parametrize("count", [1, 3])
def test_an_upsert_that_names_attributes_is_asked_of_each_entity(
    tmp_path: Path, count: int
) -> None:
    async def story(scene: Scene) -> None:
        scene.broker.fault = read_only
        scene.log.commit([lamp(n, f"lamp-{n}", -1.0) for n in range(1, count + 1)])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(tmp_path), story)
    ids = [f"urn:ngsi-ld:Streetlight:stad:lamp-{n}" for n in range(1, count + 1)]
    assert letters(scene) == {each: {"powerConsumption"} for each in ids}
    assert len(scene.broker.arrivals) <= 2 * count


@pytest.mark.parametrize("status", [400, 503])
def test_a_history_that_is_told_of_as_a_batch_is_not_lost(tmp_path: Path, status: int) -> None:
    told = {"success": [], "errors": [{"entityId": A, "error": {"status": status}}]}

    async def story(scene: Scene) -> None:
        scene.broker.fault = once(Fault(status=207, body=orjson.dumps(told)), path="temporal")
        scene.log.commit([lamp(n, at_s=n - 50.0) for n in range(1, 4)])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(tmp_path), story)
    energies = [key for key in scene.came() if key[1] == "lifetimePowerConsumption"]
    assert len(energies) == 3
    assert not letters(scene)


def test_a_page_of_a_proxy_is_no_verdict_of_the_broker(tmp_path: Path) -> None:
    page = Fault(status=400, body=b"<h1>400</h1>", headers={"content-type": "text/html"})

    async def story(scene: Scene) -> None:
        scene.log.commit([lamp(1, at_s=-90.0)])
        sink = scene.start()
        await scene.until(lambda: scene.log.cursor == 1)
        scene.broker.fault = lambda _: page
        sink.log_grew(scene.log.commit([lamp(n, at_s=n - 80.0) for n in range(2, 9)]))
        await asyncio.sleep(120)
        scene.broker.fault = once()
        await scene.until(lambda: scene.log.cursor == 2)

    scene = play(Scene(tmp_path), story)
    assert not letters(scene)
    assert len([key for key in scene.came() if key[1] == "lifetimePowerConsumption"]) == 8


LAMP = Document(
    REGISTRATIONS,
    {
        "id": "urn:ngsi-ld:ContextSourceRegistration:stad:gw-1:lamp-1",
        "type": "ContextSourceRegistration",
        "information": [{"entities": [{"id": A, "type": "Streetlight"}], "propertyNames": ["x"]}],
        "mode": "exclusive",
        "operations": ["updateOps"],
        "endpoint": "http://127.0.0.1:9",
    },
)


def put(*answers: Fault) -> tuple[Forwarder, Exception | None]:
    """What stands at a broker, put again where a PATCH is answered so; what is told."""

    async def story() -> tuple[Forwarder, Exception | None]:
        broker = Forwarder()
        await broker.start()
        client = Client(broker.url, timeout_s=1.0)
        registrar = Registrar(client, Anonymous(), {}, [CORE], link=False)
        try:
            await registrar.put(LAMP)
            given = once(*answers)
            broker.fault = lambda request: given(request) if request.method == "PATCH" else None
            await registrar.put(LAMP)
        except NotPut as error:
            return broker, error
        else:
            return broker, None
        finally:
            await registrar.close()
            await broker.stop()

    return steady.run(story())


@pytest.mark.parametrize("status", [401, 403, 408, 425, 429, 500, 503])
def test_a_broker_in_trouble_keeps_the_registration_that_it_has(status: int) -> None:
    broker, error = put(*[Fault(status=status)] * 2)
    assert isinstance(error, NotPut)
    assert "DELETE" not in {arrival.request.method for arrival in broker.arrivals}
    assert LAMP.id in broker.registrations


@pytest.mark.parametrize("status", [400, 405, 501])
def test_a_registration_that_can_not_be_changed_is_made_anew(status: int) -> None:
    broker, error = put(Fault(status=status))
    assert error is None
    assert [each.request.method for each in broker.arrivals][-2:] == ["DELETE", "POST"]
    assert LAMP.id in broker.registrations


@pytest.mark.parametrize(
    ("headers", "after_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "99999999999"}, 3600.0),
        ({"retry-after": IN_NINE, "date": "Thu, 01 Jan 1970 00:00:00 GMT"}, 9.0),
        ({"retry-after": IN_NINE}, 0.0),
        ({"retry-after": "soon"}, 0.0),
    ],
)
def test_a_registration_waits_as_long_as_the_broker_wants(
    headers: dict[str, str], after_s: float
) -> None:
    _, error = put(Fault(status=429, headers=headers))
    assert isinstance(error, NotPut)
    assert error.after_s == after_s


def test_a_token_of_other_letters_is_told_and_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("gehéim")
    path.chmod(0o600)
    with pytest.raises(NoToken, match="holds no token") as told:
        asyncio.run(FileToken(path).get())
    assert "geh" not in str(told.value)


def test_a_header_that_can_not_be_sent_is_no_answer() -> None:
    async def ask() -> None:
        client = Client("http://127.0.0.1:9", timeout_s=1.0)
        try:
            await client.post("/", b"", {"x": "é€"})
        finally:
            await client.close()

    with pytest.raises(NoAnswer, match="ascii"):
        asyncio.run(ask())
