"""What each answer of a broker leads to: judged, and before a strict broker on a socket."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import orjson
import pytest

from kerbline.north.ngsi_ld.answers import (
    Again,
    Conflict,
    Done,
    Held,
    Partly,
    Plain,
    Refused,
    Split,
    Unauthorized,
    Verdict,
    judged,
    retry_after_s,
)
from kerbline.north.ngsi_ld.dead_letters import DeadLetters
from kerbline.north.ngsi_ld.sink import NgsiLdSink
from kerbline.sim.ngsi_ld import TEMPORAL, UPSERT, Fault, Request
from tests.gateway.ngsi_ld_scene import QUICK, Scene, early, lamp, once, play, replace

A, B, C = (f"urn:ngsi-ld:Streetlight:stad:lamp-{n}" for n in "abc")
BAD = "https://uri.etsi.org/ngsi-ld/errors/BadRequestData"
NOW_S = 1_790_000_000.0


def judge(status: int, body: object = b"", **headers: str) -> Verdict:
    text = body if isinstance(body, bytes) else orjson.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return judged(status, named, text, [A, B, C], NOW_S)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (201, Done()),
        (204, Done()),
        (200, Done()),
        (400, Refused("400")),
        (422, Refused("422")),
        (401, Unauthorized("401")),
        (407, Unauthorized("407")),
        (403, Held("403")),
        (404, Held("404")),
        (405, Held("405")),
        (501, Held("501")),
        (409, Conflict("409")),
        (413, Split("413")),
        (415, Plain("415")),
        (408, Again("408")),
        (425, Again("425")),
        (429, Again("429")),
        (500, Conflict("500")),
        (503, Again("503")),
        (599, Again("599")),
    ],
)
def test_a_status_alone(status: int, verdict: Verdict) -> None:
    assert judge(status) == verdict


def test_a_redirection_is_told_and_not_followed() -> None:
    verdict = judge(307, location="https://elsewhere.example.org/")
    assert verdict == Held("307: it redirects to https://elsewhere.example.org/")


def problem(status: int | str, kind: str = BAD) -> dict[str, object]:
    return {"type": kind, "title": "t", "detail": "d", "status": status}


@pytest.mark.parametrize(
    "errors",
    [
        # Orion-LD and the standard; its status as a text; Stellio; Scorpio.
        {"success": [A], "errors": [{"entityId": B, "error": problem(400)}]},
        {"success": [A], "errors": [{"entityId": B, "error": problem("400")}]},
        {"success": [A], "errors": [{"entityId": B, "error": ["unknown type"]}]},
        {"success": [A], "errors": [{"id": B, "type": BAD, "status": 404}]},
        [
            {"id": A, "type": "Upsert", "success": [{"attributes": []}]},
            {"id": B, "type": "Upsert", "failure": [{"type": BAD, "errorCode": 400}]},
        ],
    ],
)
def test_a_207_names_what_is_refused_for_good(errors: object) -> None:
    verdict = judge(207, errors)
    assert isinstance(verdict, Partly)
    assert set(verdict.refused) == {B}


@pytest.mark.parametrize(
    "error",
    [
        problem(503),
        problem(429),
        problem(409),
        {"type": "https://uri.etsi.org/ngsi-ld/errors/InternalError"},
        {"type": "https://uri.etsi.org/ngsi-ld/errors/LdContextNotAvailable"},
    ],
)
def test_a_207_names_what_passes_by_itself(error: object) -> None:
    verdict = judge(207, {"success": [A, C], "errors": [{"entityId": B, "error": error}]})
    assert isinstance(verdict, Partly)
    assert set(verdict.again) == {B}
    assert not verdict.refused


def test_what_a_207_does_not_name_was_not_taken() -> None:
    verdict = judge(207, {"success": [A], "errors": [{"entityId": B, "error": problem(400)}]})
    assert isinstance(verdict, Partly)
    assert (set(verdict.refused), set(verdict.again)) == ({B}, {C})


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"{}", b'{"errors": 1}'])
def test_a_207_that_tells_nothing_is_no_acknowledgement(body: bytes) -> None:
    assert isinstance(judge(207, body), Again)


def test_a_207_where_all_went_well_is_done() -> None:
    assert judge(207, {"success": [A, B, C], "errors": []}) == Done()


def test_a_207_of_the_temporal_api_names_attributes() -> None:
    body = {"updated": ["x"], "notUpdated": [{"attributeName": "y", "reason": "no"}]}
    assert judge(207, body) == Partly(refused={"y": "no"})


def test_a_problem_is_told_in_a_line_and_names_what_it_is_about() -> None:
    verdict = judge(400, {"title": "Bad\nRequest", "detail": f"entity {B} has no \x1b[31m type"})
    assert verdict == Refused(f"400 Bad Request: entity {B} has no [31m type", (B,))
    longer = judge(400, {"title": f"{B}-2 is bad"})
    assert isinstance(longer, Refused)
    assert longer.named == ()


def test_a_context_that_the_broker_can_not_fetch_is_no_fault_of_ours() -> None:
    kind = "https://uri.etsi.org/ngsi-ld/errors/LdContextNotAvailable"
    assert isinstance(judge(400, problem(400, kind)), Again)


def test_retry_after_is_seconds_or_a_date_by_the_brokers_own_clock() -> None:
    def after(retry: str, date: str = "") -> float | None:
        return retry_after_s({"retry-after": retry, "date": date}, NOW_S)

    def at(ahead_s: float) -> str:
        return formatdate(NOW_S + ahead_s, usegmt=True)

    assert after("7") == 7
    assert after(" 7 ") == 7
    assert after("0") == 0
    assert after(at(30)) == 30
    assert after(at(30 - 3600), at(-3600)) == 30  # its clock is an hour behind ours
    assert after(at(-30)) == 0
    assert after("99999999999999999999") == 86_400
    for nonsense in ("", "soon", "-1", "1.5", "²", "Mon, 99 Foo 2026"):
        assert after(nonsense) is None


# ---------------------------------------------------------------- before a broker


def deliver(
    folder: Path,
    fault: Callable[[Request], Fault | None],
    count: int = 3,
    **more: Any,
) -> Scene:
    """The latest reports of so many lamps, until the cursor has passed them."""

    async def story(scene: Scene) -> None:
        scene.broker.fault = fault
        scene.log.commit([lamp(n, f"lamp-{n}", -1.0) for n in range(1, count + 1)])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(folder, **more), story)
    assert max(scene.broker.acknowledged().values()) == 1
    return scene


def lamps(scene: Scene) -> set[str]:
    """Lamps of which the broker has anything."""
    return {name.rpartition("-")[2] for name in scene.broker.entities.now if "lamp" in name}


def letters(scene: Scene) -> dict[str, str]:
    """Reasons of dead letters by entity, as another process reads them."""
    found = DeadLetters(scene.folder / "dead-letters" / "city.jsonl")
    return {letter.change.id: letter.reason for letter in found.letters}


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_what_passes_by_itself_goes_again(tmp_path: Path, status: int) -> None:
    scene = deliver(tmp_path, once(Fault(status=status), Fault(status=status)))
    assert lamps(scene) == {"1", "2", "3"}
    assert not letters(scene)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 301])
def test_what_somebody_has_to_mend_is_held_and_said_once(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        scene = deliver(tmp_path, once(*[Fault(status=status)] * 6))
    assert lamps(scene) == {"1", "2", "3"}
    assert not letters(scene)
    said = [line for line in caplog.messages if "trying again" in line]
    assert len(said) == 1
    assert said[0].startswith(f"ngsi_ld:city: {status}")


@pytest.mark.parametrize("header", ["3", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed_to_the_second_by_both_ways(
    tmp_path: Path, status: int, header: str
) -> None:
    wish = formatdate(NOW_S + 3, usegmt=True) if header == "date" else header
    headers = {"retry-after": wish, "date": formatdate(NOW_S, usegmt=True)}
    refusing = once(Fault(status=status, headers=headers))

    async def story(scene: Scene) -> None:
        scene.broker.fault = refusing
        for n in range(1, 41):
            scene.log.commit([lamp(n, f"lamp-{n % 4}", n - 50)])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 40)

    scene = play(Scene(tmp_path), story)
    first, *rest = scene.broker.arrivals
    waited_s = min(each.request.at_s for each in rest) - first.answered_s
    assert 3 <= waited_s < 3.5
    assert early(scene.broker.arrivals) == []


@pytest.mark.parametrize("jump_s", [-86_400, 86_400, -NOW_S])
def test_our_own_clock_neither_hangs_us_nor_makes_us_early(tmp_path: Path, jump_s: float) -> None:
    """It is set while a broker wants to be left alone until a date, which it tells once."""

    class Jumping(Scene):
        jumped_ms = 0

        def now_ms(self) -> int:
            return super().now_ms() + self.jumped_ms

    def wish(_: Request) -> Fault | None:
        dated_s = NOW_S + asyncio.get_running_loop().time()
        if dated_s < NOW_S + 10:
            now = {"date": formatdate(dated_s, usegmt=True)}
            return Fault(status=503, headers={**now, "retry-after": "1"})
        later = formatdate(NOW_S + 40, usegmt=True)
        return Fault(status=503, headers={"retry-after": later}) if dated_s < NOW_S + 39 else None

    async def story(scene: Scene) -> None:
        assert isinstance(scene, Jumping)
        scene.broker.fault = wish
        sink = scene.start()
        sink.offer(reading := lamp(1, at_s=0))
        await asyncio.sleep(5)
        scene.jumped_ms = round(jump_s * 1000)
        await asyncio.sleep(60)
        sink.log_grew(scene.log.commit([reading]))
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Jumping(tmp_path), story)
    assert not letters(scene)
    assert lamps(scene) == {"1"}
    came_s = [each.request.at_s for each in scene.broker.arrivals]
    wished = [at_s for at_s in came_s if at_s >= 10]
    assert wished[1] - wished[0] >= 40 - wished[0] - 1
    assert wished[1] < 50


def test_of_a_207_only_what_failed_for_now_goes_again(tmp_path: Path) -> None:
    bad, slow = (f"urn:ngsi-ld:Streetlight:stad:lamp-{n}" for n in (1, 2))
    scene = deliver(tmp_path, once(Fault(refused={bad: 400, slow: 503})))
    first, second = scene.broker.arrivals
    assert len(first.request.json) == 3
    assert [entity["id"] for entity in second.request.json] == [slow]
    assert lamps(scene) == {"2", "3"}
    assert letters(scene) == {bad: "BadRequestData: by order"}


def is_bad(request: Request) -> Fault | None:
    """Refuses a whole batch for one of its entities."""
    if any(entity["id"].endswith("lamp-77") for entity in request.json):
        return Fault(status=400, body=b'{"title": "BadRequestData"}')
    return None


def names_bad(request: Request) -> Fault | None:
    """The same, and tells for which."""
    if is_bad(request):
        return Fault(status=400, body=b'{"detail": "urn:ngsi-ld:Streetlight:stad:lamp-77 is bad"}')
    return None


@pytest.mark.parametrize(("refusing", "requests"), [(is_bad, 19), (names_bad, 3)])
def test_one_bad_entity_does_not_take_the_others_with_it(
    tmp_path: Path, refusing: Callable[[Request], Fault | None], requests: int
) -> None:
    scene = deliver(tmp_path, refusing, count=500)
    assert len(lamps(scene)) == 499
    assert set(letters(scene)) == {"urn:ngsi-ld:Streetlight:stad:lamp-77"}
    assert len(scene.broker.arrivals) <= requests


def test_a_broker_that_refuses_everything_from_the_start_gets_no_dead_letters(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the config that is bad, or the broker: a context or a form that it does not know."""
    left = [Fault(status=400, body=b'{"title": "what is this"}')] * (5 * (2 * 20 - 1))
    with caplog.at_level(logging.WARNING):
        scene = deliver(tmp_path, once(*left), count=20)
    assert len(lamps(scene)) == 20
    assert not letters(scene)
    told = "ngsi_ld:city: it refuses all of 20 entities: 400 what is this; trying again"
    assert caplog.messages.count(told) == 1


def test_too_large_a_batch_goes_in_parts_and_grows_again(tmp_path: Path) -> None:
    def cramped(request: Request) -> Fault | None:
        return Fault(status=413) if len(request.json) > 150 else None

    scene = deliver(tmp_path, cramped, count=900)
    assert len(lamps(scene)) == 900
    assert not letters(scene)


def test_what_is_too_large_alone_is_a_dead_letter(tmp_path: Path) -> None:
    def none_at_all(request: Request) -> Fault | None:
        return Fault(status=413) if any("-2" in each["id"] for each in request.json) else None

    scene = deliver(tmp_path, none_at_all)
    assert lamps(scene) == {"1", "3"}
    assert list(letters(scene)) == ["urn:ngsi-ld:Streetlight:stad:lamp-2"]


def test_a_conflict_that_lasts_is_a_dead_letter(tmp_path: Path) -> None:
    def at_odds(request: Request) -> Fault | None:
        return Fault(status=409) if any("-2" in each["id"] for each in request.json) else None

    scene = deliver(tmp_path, at_odds)
    assert lamps(scene) == {"1", "3"}
    assert list(letters(scene)) == ["urn:ngsi-ld:Streetlight:stad:lamp-2"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(lost="request"),
        Fault(lost="answer"),
        Fault(silent=True),
        Fault(status=207, body=b""),
        Fault(status=204, delay_s=9.0),
    ],
)
def test_without_an_answer_it_goes_again_under_the_same_key(tmp_path: Path, fault: Fault) -> None:
    scene = deliver(tmp_path, once(fault))
    assert lamps(scene) in ({"1", "2", "3"}, set())
    ways = {value.way for each in scene.broker.arrivals for value in each.values}
    assert ways == {"upsert"}


def test_history_is_parted_for_a_bad_instance_and_replayed_when_mended(tmp_path: Path) -> None:
    def picky(request: Request) -> Fault | None:
        bad = b"0.007" in request.body and request.path.endswith("temporal/entities")
        return Fault(status=400, body=b'{"title": "no sevens"}') if bad else None

    async def story(scene: Scene) -> None:
        scene.broker.fault = picky
        scene.log.commit([lamp(n, at_s=n - 50) for n in range(1, 21)])
        sink = scene.start()
        await scene.until(lambda: scene.log.cursor == 1)
        assert [letter.reason for letter in sink.letters.letters] == ["400 no sevens"]
        assert len([k for k in scene.came() if k[1] == "lifetimePowerConsumption"]) == 19
        assert sink.resend(None) == 1
        await scene.until(lambda: [each.number for each in sink.letters.letters] == [2])
        scene.broker.fault = lambda _: None
        assert sink.resend({99}) == 0
        sink.resend({2})
        await scene.until(lambda: len(sink.letters.letters) == 0)

    scene = play(Scene(tmp_path), story)
    assert set(scene.broker.acknowledged().values()) == {1}
    assert len([k for k in scene.came() if k[1] == "lifetimePowerConsumption"]) == 20
    assert not letters(scene)
    assert scene.levels()["lifetimePowerConsumption"]["value"] == 0.02


def test_gzip_is_given_up_where_it_is_not_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def plain_only(request: Request) -> Fault | None:
        return Fault(status=415) if request.headers.get("content-encoding") else None

    scene = deliver(tmp_path, plain_only, count=20, compress=True)
    assert len(lamps(scene)) == 20
    assert [each.status for each in scene.broker.arrivals][:2] == [415, 201]
    assert "ngsi_ld:city: takes no gzip: bodies go plain" in caplog.messages


def test_bodies_are_gzip_where_it_is_taken(tmp_path: Path) -> None:
    scene = deliver(tmp_path, lambda _: None, count=20, compress=True)
    assert scene.broker.arrivals[0].request.headers["content-encoding"] == "gzip"
    assert len(lamps(scene)) == 20


def test_a_tenant_has_entities_of_its_own(tmp_path: Path) -> None:
    scene = deliver(tmp_path, lambda _: None, tenant="stad")
    assert not scene.broker.entities.now
    assert len(scene.broker.tenants["stad"].now) == 3


def test_a_broker_that_is_away_is_said_once_and_served_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(scene: Scene) -> None:
        port = int(scene.broker.url.rpartition(":")[2])
        await scene.broker.stop()
        sink = scene.start()
        sink.offer(lamp(1, at_s=0))
        await asyncio.sleep(60)
        assert not sink.connected
        await scene.broker.start(port=port)
        await scene.until(lambda: sink.connected)

    with caplog.at_level(logging.WARNING):
        scene = play(Scene(tmp_path), story)
    assert scene.levels()
    assert len([line for line in caplog.messages if "trying again" in line]) == 1


def test_what_a_207_leaves_open_is_in_one_request_at_a_time(tmp_path: Path) -> None:
    first = "urn:ngsi-ld:Streetlight:stad:lamp-1"
    faults = iter([Fault(refused={first: 503}), Fault(delay_s=5.0)])

    def parting(request: Request) -> Fault | None:
        ids = [each["id"] for each in request.json]
        if len(ids) > 1:
            return Fault(status=400, body=b"")
        return next(faults, None) if ids == [first] else Fault(delay_s=3.0)

    scene = deliver(tmp_path, parting, count=2)
    assert lamps(scene) == {"1", "2"}
    ids = [[each["id"] for each in arrival.request.json] for arrival in scene.broker.arrivals]
    assert ids.count([first]) == 2


def test_dead_letters_are_a_line_and_a_full_disk_ends_no_replay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(scene: Scene) -> None:
        scene.broker.fault = lambda r: Fault(status=400, body=b"") if "temporal" in r.path else None
        scene.log.commit([lamp(n, at_s=n - 50) for n in range(1, 9)])
        sink = scene.start()
        await scene.until(lambda: scene.log.cursor == 1)
        assert len(sink.letters) == 7
        scene.broker.fault = lambda _: None
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            sink.resend(None)
            await scene.until(lambda: len(sink.letters) == 0)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sink.log_grew(scene.log.commit([lamp(20, at_s=-1)]))
        await scene.until(lambda: scene.log.cursor == 2)

    with caplog.at_level(logging.WARNING):
        scene = play(Scene(tmp_path), story)
    assert set(scene.broker.acknowledged().values()) == {1}
    assert len([line for line in caplog.messages if "dead letters now" in line]) == 1


# ---------------------------------------------------------------- who is to blame


def stumbling(path: str, over: bytes) -> Callable[[Request], Fault | None]:
    """A broker that answers 500 to whatever has this in its body, and to that alone."""

    def fault(request: Request) -> Fault | None:
        bad = path in request.path and over in request.body
        return Fault(status=500) if bad else None

    return fault


def test_what_a_broker_stumbles_over_does_not_hold_up_what_is_live(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.broker.fault = stumbling("upsert", b"lamp-2")
        sink = scene.start()
        for n in range(1, 120):
            for asset in ("lamp-1", "lamp-2", "lamp-3"):
                sink.offer(lamp(n, asset, at_s=n))
            await asyncio.sleep(1.0)
            if n > 30:  # the first time it has to be found out
                energy = scene.levels("lamp-1")["lifetimePowerConsumption"]["value"]
                assert n - energy * 1000 <= 2
        await scene.until(lambda: lamps(scene) == {"1", "3"})

    scene = play(Scene(tmp_path), story)
    assert set(letters(scene)) == {"urn:ngsi-ld:Streetlight:stad:lamp-2"}


def test_what_a_broker_stumbles_over_does_not_hold_up_the_history(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.broker.fault = stumbling("temporal", b"0.007")
        names = [f"lamp-{n}" for n in range(1, 4)]
        scene.log.commit([lamp(n, each, n - 50) for n in range(1, 21) for each in names[:1]])
        scene.log.commit([lamp(n + 30, each, n - 50) for n in range(1, 21) for each in names[1:]])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 2)

    scene = play(Scene(tmp_path), story)
    assert set(letters(scene)) == {"urn:ngsi-ld:Streetlight:stad:lamp-1"}
    assert len([k for k in scene.came() if k[1] == "lifetimePowerConsumption"]) == 59
    assert set(scene.broker.acknowledged().values()) == {1}


def test_an_entity_of_which_nothing_is_taken_ends_no_history(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.broker.fault = stumbling("temporal", b"lamp-1")
        names = ["lamp-1", "lamp-2"]
        scene.log.commit([lamp(n, each, n - 50) for n in range(1, 21) for each in names])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)

    scene = play(Scene(tmp_path), story)
    assert set(letters(scene)) == {"urn:ngsi-ld:Streetlight:stad:lamp-1"}
    assert len([k for k in scene.came("temporal") if k[0].endswith("-2")]) == 19 * 5


@pytest.mark.parametrize("status", [409, 500])
@pytest.mark.parametrize("path", ["upsert", "temporal"])
def test_a_broker_that_takes_nothing_for_long_gets_no_dead_letters(
    tmp_path: Path, path: str, status: int
) -> None:
    async def story(scene: Scene) -> None:
        names = [f"lamp-{n}" for n in range(1, 9)]
        scene.log.commit([lamp(0, each, -60.0) for each in names])
        sink = scene.start()
        await scene.until(lambda: scene.log.cursor == 1)
        scene.broker.fault = lambda r: Fault(status=status) if path in r.path else None
        late = [lamp(n, each, at_s=-61.0 - n) for n in range(1, 5) for each in names]
        now_s = asyncio.get_running_loop().time()
        late += [lamp(99, each, at_s=now_s) for each in names]
        sink.log_grew(scene.log.commit(late))
        await asyncio.sleep(600)
        assert scene.log.cursor == 1
        scene.broker.fault = lambda _: None
        await scene.until(lambda: scene.log.cursor == 2)

    scene = play(Scene(tmp_path), story)
    assert not letters(scene)
    assert len([k for k in scene.came() if k[1] == "lifetimePowerConsumption"]) == 8 * 6
    assert len(scene.broker.arrivals) < 1200  # two a second; its back-off is up to 2 s


def history_of(scene: Scene, lamp: str) -> int:
    """How many late values of a lamp are in the broker's history."""
    name = f"urn:ngsi-ld:Streetlight:stad:{lamp}"
    return len([k for k in scene.came("temporal") if k[0] == name and k[1] == ENERGY])


ENERGY = "lifetimePowerConsumption"


async def late(scene: Scene, sink: NgsiLdSink, number: int, *names: str) -> None:
    """Something newer of each, which goes up at once, and something that came too late."""
    now_s = asyncio.get_running_loop().time()
    found = [lamp(number, each, now_s) for each in names]
    for each in found:
        sink.offer(each)
    await asyncio.sleep(1)
    found += [lamp(number + 1_000, each, now_s - 0.5) for each in names]
    sink.log_grew(scene.log.commit(found))


@pytest.mark.parametrize("status", [409, 500])
def test_what_is_alone_and_never_taken_holds_up_nothing_that_follows(
    tmp_path: Path, status: int
) -> None:
    def stumbles(request: Request) -> Fault | None:
        bad = request.path == TEMPORAL and b"lamp-1" in request.body
        return Fault(status=status) if bad else None

    async def story(scene: Scene) -> None:
        scene.broker.fault = stumbles
        sink = scene.start()
        await late(scene, sink, 1, "lamp-1")
        await asyncio.sleep(120)
        assert not sink.letters.letters
        assert scene.log.cursor == 0
        await late(scene, sink, 2, "lamp-2")
        await scene.until(lambda: history_of(scene, "lamp-2") == 1, 60)
        await scene.until(lambda: scene.log.cursor == 2, 120)

    scene = play(Scene(tmp_path), story)
    assert set(letters(scene)) == {"urn:ngsi-ld:Streetlight:stad:lamp-1"}
    assert set(scene.broker.acknowledged().values()) == {1}


def test_what_alone_is_late_and_never_taken_is_given_up_where_upserts_go(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.broker.fault = stumbling("temporal", b"lamp-1")
        sink = scene.start()
        await late(scene, sink, 1, "lamp-1")
        for number in range(2, 32):
            await asyncio.sleep(118)
            sink.offer(reading := lamp(number, "lamp-1", asyncio.get_running_loop().time()))
            sink.log_grew(scene.log.commit([reading]))
            assert scene.log.cursor == 0
            await asyncio.sleep(2)
        await scene.until(lambda: scene.log.cursor == 31, 120)

    scene = play(Scene(tmp_path), story)
    assert set(letters(scene)) == {"urn:ngsi-ld:Streetlight:stad:lamp-1"}
    assert set(scene.broker.acknowledged().values()) == {1}


def test_a_lone_asset_before_a_broker_that_takes_nothing_for_hours_loses_nothing(
    tmp_path: Path,
) -> None:
    async def story(scene: Scene) -> None:
        sink = scene.start()
        await late(scene, sink, 1, "lamp-1")
        await scene.until(lambda: scene.log.cursor == 1)
        scene.broker.fault = lambda _: Fault(status=500)
        for number in range(2, 5):
            await late(scene, sink, number, "lamp-1")
            await asyncio.sleep(1_200)
        assert scene.log.cursor == 1
        scene.broker.fault = lambda _: None
        await scene.until(lambda: scene.log.cursor == 4)

    scene = play(Scene(tmp_path, terms=replace(QUICK, backoff_s=(0.5, 60.0))), story)
    assert not letters(scene)
    assert len([k for k in scene.came() if k[1] == ENERGY]) == 2 * 4
    assert set(scene.broker.acknowledged().values()) == {1}


def test_what_a_207_puts_off_for_ever_holds_up_no_history(tmp_path: Path) -> None:
    bad = "urn:ngsi-ld:Streetlight:stad:lamp-1"

    async def story(scene: Scene) -> None:
        scene.broker.fault = lambda r: Fault(refused={bad: 503}) if r.path == UPSERT else None
        sink = scene.start()
        for number in range(1, 4):
            await late(scene, sink, number, "lamp-1", "lamp-2")
            while history_of(scene, "lamp-2") < number:
                assert asyncio.get_running_loop().time() < number * 90
                await asyncio.sleep(0.5)
        scene.broker.fault = lambda _: None
        await scene.until(lambda: scene.log.cursor == 3, 90)

    scene = play(Scene(tmp_path), story)
    assert len([k for k in scene.came() if k[1] == ENERGY]) == 2 * 6
    assert set(scene.broker.acknowledged().values()) == {1}
    assert len(scene.broker.arrivals) < 150


def test_what_a_207_puts_off_for_too_long_is_given_up(tmp_path: Path) -> None:
    bad = "urn:ngsi-ld:Streetlight:stad:lamp-1"

    async def story(scene: Scene) -> None:
        scene.broker.fault = lambda _: Fault(refused={bad: 503})
        sink = scene.start()
        number = 1
        await late(scene, sink, number, "lamp-1")
        while not sink.letters.letters:
            assert number < 40
            number += 1
            await late(scene, sink, number, "lamp-2")
            await asyncio.sleep(119)
        await scene.until(lambda: scene.log.cursor == number)
        assert asyncio.get_running_loop().time() > 3_600

    scene = play(Scene(tmp_path, terms=replace(QUICK, backoff_s=(0.5, 60.0))), story)
    assert set(letters(scene)) == {bad}
