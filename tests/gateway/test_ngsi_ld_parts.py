"""The parts of a sink into an NGSI-LD broker, each alone: pace, newest, token, letters, memory."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.client import Client, NoAnswer
from kerbline.north.ngsi_ld.dead_letters import MAX_ALIKE, STALE_BYTES, DeadLetters
from kerbline.north.ngsi_ld.memory import ANY_MS, Memory, load, numbers, spans
from kerbline.north.ngsi_ld.newest import Name, Newest, Past, lacking
from kerbline.north.ngsi_ld.pace import Pace
from kerbline.north.ngsi_ld.token import ClientCredentials, FileToken, NoToken
from kerbline.sim import virtual_time
from kerbline.sim.ngsi_ld import TOKEN, Fault, Standin
from tests.gateway.ngsi_ld_scene import Scene, lamp, once, play

T_MS = 1_790_000_000_000
LATEST_MS = T_MS + 1_000_000
LAMP = "urn:ngsi-ld:Streetlight:stad:lamp-1"


def change(at_ms: int | None, *, entity: str = LAMP, **values: object) -> Change:
    when = None if at_ms is None else T_MS + at_ms
    found = {name: Attribute(value, when) for name, value in values.items()}
    return Change(entity, "Streetlight", found)


def name(number: int) -> Name:
    return ("node", 1), number


def newest(past: Past | None = None, pace: Pace | None = None) -> Newest:
    return Newest(pace or Pace({}, 900), past)


def offer(into: Newest, number: int, *changes: Change) -> None:
    into.offer(changes, name(number), T_MS, LATEST_MS)


def values(into: Newest) -> dict[str, object]:
    """Takes what waits, says what it is, and lets it land."""
    taken = into.take(500)
    found = {
        attribute: each.value
        for entity in taken
        for attribute, each in entity.change().attributes.items()
    }
    into.landed(taken)
    return found


# ---------------------------------------------------------------- newest


def test_what_is_overtaken_while_it_waits_is_for_the_history() -> None:
    state = newest()
    offer(state, 1, change(1, a=1, b=1))
    offer(state, 2, change(2, a=2))
    taken = state.take(500)
    assert [each.change() for each in taken] == [
        Change(LAMP, "Streetlight", {"a": Attribute(2, T_MS + 2), "b": Attribute(1, T_MS + 1)})
    ]
    assert state.finished == []
    state.landed(taken)
    assert state.finished == [name(2)]
    assert state.parts(name(1)) == {(LAMP, "b")}
    assert lacking([change(1, a=1, b=1)], state.parts(name(1)) or ()) == [change(1, a=1)]


def test_what_is_overtaken_under_way_goes_again_only_where_nothing_newer_waits() -> None:
    state = newest()
    offer(state, 1, change(1, a=1, b=1))
    taken = state.take(500)
    offer(state, 2, change(2, a=2))
    state.again(taken)
    assert values(state) == {"a": 2, "b": 1}


def test_what_is_older_than_what_is_known_is_never_upserted() -> None:
    state = newest()
    state.know([change(5, a=5)])
    offer(state, 1, change(4, a=4))
    assert len(state) == 0
    assert not state.is_open(name(1))
    assert state.finished == []
    offer(state, 2, change(5, a=5))
    assert values(state) == {"a": 5}


def test_an_earlier_life_may_have_upserted_what_is_dated_up_to_its_end() -> None:
    past = Past(T_MS + 10, frozenset([(LAMP, "a", T_MS + 7)]))
    state = newest(past)
    offer(state, 1, change(9, b=9))
    offer(state, 2, change(10, b=10))
    assert len(state) == 0
    offer(state, 3, change(7, a=7, b=7))
    assert values(state) == {"a": 7}  # it was known to wait
    offer(state, 4, change(11, b=11))
    assert values(state) == {"b": 11}


def test_a_date_in_the_future_shuts_nothing_out() -> None:
    state = newest()
    offer(state, 1, Change(LAMP, "Streetlight", {"a": Attribute(99, LATEST_MS + 1)}))
    assert len(state) == 0
    offer(state, 2, change(1, a=1))
    assert values(state) == {"a": 1}


def test_a_clock_that_was_ahead_shuts_nothing_out_when_it_is_right_again() -> None:
    state = newest()
    state.know([change(5_000_000, a=5)])
    offer(state, 1, change(1, a=1))
    assert values(state) == {"a": 1}


def test_an_earlier_life_whose_clock_was_ahead_shuts_nothing_out() -> None:
    state = newest(Past(LATEST_MS + 86_400_000))
    offer(state, 1, change(1, a=1))
    assert values(state) == {"a": 1}


def test_a_clock_that_comes_up_a_little_late_turns_nothing_back() -> None:
    state = newest(Past(LATEST_MS + 1_800_000))
    state.know([change(2_800_000, b=1)])
    offer(state, 1, change(1, a=1, b=0))
    assert len(state) == 0


def test_what_is_dated_before_anybody_told_the_time_is_for_the_history() -> None:
    state = newest(Past(LATEST_MS))
    state.offer([Change(LAMP, "Streetlight", {"a": Attribute(1, 7_000)})], name(1), 7_000, 12_000)
    assert len(state) == 0
    assert not state.is_open(name(1))


def test_the_same_value_is_not_sent_twice_and_another_one_of_its_name_is() -> None:
    state = newest()
    offer(state, 1, change(1, a=1))
    state.landed(state.take(500))
    offer(state, 2, change(1, a=1))
    assert len(state) == 0
    assert state.finished == [name(1), name(2)]
    offer(state, 3, change(1, a=2))
    assert values(state) == {"a": 2}


def test_what_stands_rides_along_and_goes_alone_where_nothing_else_does() -> None:
    state = newest()
    offer(state, 1, Change(LAMP, "Streetlight", {**change(1, a=1)[2], "where": Attribute("x")}))
    assert values(state) == {"a": 1, "where": "x"}
    offer(state, 2, Change(LAMP, "Streetlight", {**change(0, a=0)[2], "where": Attribute("x")}))
    assert len(state) == 0
    offer(state, 3, Change(LAMP, "Streetlight", {"where": Attribute("y")}))
    assert values(state) == {"where": "y"}


def test_what_stands_of_a_lamp_that_was_never_heard_waits_for_its_first_word() -> None:
    state = newest()
    state.stand(change(None, name="Lamp 1"), "status")
    assert len(state) == 0
    offer(state, 1, change(0, status="ok"))
    assert values(state) == {"status": "ok", "name": "Lamp 1"}
    state.stand(change(None, name="Lamp 2"), "status")
    assert values(state) == {"name": "Lamp 2"}


def test_what_is_paced_away_counts_as_delivered() -> None:
    state = newest(pace=Pace({"a": 1.0}, 900))
    for number in range(1, 6):
        offer(state, number, change(number, a=number / 2))
    assert values(state) == {"a": 2.0}
    assert state.finished == [name(2), name(3), name(5), name(4)]


# ---------------------------------------------------------------- pace


def test_a_dead_band_and_a_heartbeat() -> None:
    pace = Pace({"power": 2.0, "state": 0.0}, 60)

    def told(attribute: str, at_s: int, value: object) -> bool:
        return pace.wants((LAMP, attribute), T_MS + 1000 * at_s, Attribute(value))

    assert [told("power", at, 10.0 + at) for at in range(7)] == [True, *[False, False, True] * 2]
    assert not told("power", 65, 16.5)
    assert told("power", 66, 16.5)
    assert [told("state", 0, text) for text in ("on", "on", "off")] == [True, False, True]
    assert [told("state", 1, flag) for flag in (True, True, False)] == [True, False, True]
    assert all(told("other", 0, 1) for _ in range(3))


def test_a_value_that_comes_into_doubt_is_told_within_its_dead_band() -> None:
    pace = Pace({"power": 2.0}, 900)

    def tells(*flags: str) -> bool:
        return pace.wants((LAMP, "power"), T_MS, Attribute(20, T_MS, "WTT", flags))

    assert tells() and not tells()
    assert tells("undated", "uncertainty_ms:5000")
    assert not tells("undated", "uncertainty_ms:6000")
    assert tells()


# ---------------------------------------------------------------- dead letters


GOOD = (
    b'{"number": 2, "at_ms": 0, "way": "upsert", "reason": "no", '
    b'"id": "urn:x", "type": "X", "attributes": {}}\n'
)


def letters(folder: Path, **bounds: int) -> DeadLetters:
    return DeadLetters(folder / "dead-letters" / "x.jsonl", **bounds)


def test_letters_outlive_their_process_with_all_that_is_in_them(tmp_path: Path) -> None:
    full = Change(
        LAMP,
        "Streetlight",
        {
            "a": Attribute(1.5, T_MS, "WTT", ("clipped", "late")),
            "location": Attribute({"type": "Point", "coordinates": [1, 2]}, kind="GeoProperty"),
            "status": Attribute(["x", "y"], None),
        },
    )
    letters(tmp_path).add([("upsert", "400 no", full), ("temporal", "why", change(1, a=1))], T_MS)
    again = letters(tmp_path)
    assert [each.change for each in again.letters] == [full, change(1, a=1)]
    assert [each.number for each in again.letters] == [1, 2]
    assert again.drop({1}) == 1
    again.add([("upsert", "413", change(2, a=2))], T_MS)
    assert [each.number for each in letters(tmp_path).letters] == [2, 3]
    assert (tmp_path / "dead-letters" / "x.jsonl").stat().st_mode & 0o777 == 0o600
    assert again.drop() == 2
    assert len(letters(tmp_path)) == 0


@pytest.mark.parametrize("bounds", [{"max_letters": 5}, {"max_bytes": 1_000}])
def test_letters_are_bounded_and_the_oldest_go(tmp_path: Path, bounds: dict[str, int]) -> None:
    full = letters(tmp_path, **bounds)
    for number in range(20):
        full.add([("upsert", "400", change(number, a=number))], T_MS)
    kept = [each.number for each in letters(tmp_path, **bounds).letters]
    assert kept == list(range(21 - len(kept), 21))
    assert 2 < len(kept) <= 5
    assert full.dropped == 20 - len(kept)


def test_letters_that_are_alike_are_folded_and_push_out_no_others(tmp_path: Path) -> None:
    full = letters(tmp_path, max_letters=50)
    for number in range(20):
        full.add([("upsert", "413", change(1, entity=f"{LAMP}{number}", a=1))], T_MS)
    for number in range(400):
        again = change(number, a=number)
        full.add([("upsert", f"400 no {number}", again)], T_MS + number)
    for kept in (full, letters(tmp_path, max_letters=50)):
        assert len(kept) == 20 + MAX_ALIKE
        alike = [each for each in kept.letters if each.change.id == LAMP]
        assert [each.change.attributes["a"].value for each in alike] == list(range(380, 400))
        assert {each.first_ms for each in alike} == {T_MS}
        assert (alike[0].count, alike[-1].count) == (381, 400)
    assert full.dropped == 380
    assert full.path.stat().st_size <= STALE_BYTES + 20_000


def test_where_letters_are_too_many_what_there_is_most_of_goes(tmp_path: Path) -> None:
    full = letters(tmp_path, max_letters=10)
    for number in range(4):
        full.add([("upsert", "413", change(1, entity=f"{LAMP}{number}", a=1))], T_MS)
    for number in range(20):
        full.add([("temporal", "400", change(number, a=number))], T_MS)
    assert [each.change.id for each in full.letters][:4] == [f"{LAMP}{n}" for n in range(4)]
    assert len(full) == len(letters(tmp_path, max_letters=10)) == 10


def test_a_kill_leaves_whole_letters(tmp_path: Path) -> None:
    receiving, telling = os.pipe()
    child = os.fork()
    if child == 0:
        full = letters(tmp_path, max_letters=10)
        for number in range(1_000_000):
            full.add([("upsert", "400", change(number, a=number))], T_MS)
            os.write(telling, b".")
    for _ in range(40):
        os.read(receiving, 1)
    os.kill(child, signal.SIGKILL)
    os.close(receiving)
    os.close(telling)
    path = tmp_path / "dead-letters" / "x.jsonl"
    os.waitpid(child, 0)
    path.write_bytes(path.read_bytes() + b'{"number": 12, "at')
    found = [each.number for each in letters(tmp_path).letters]
    assert found == list(range(found[0], found[0] + len(found)))
    assert len(found) >= 9
    letters(tmp_path).add([("upsert", "400", change(1, a=1))], T_MS)  # not onto the half line
    assert [each.number for each in letters(tmp_path).letters][-2:] == [found[-1], found[-1] + 1]


@pytest.mark.parametrize(
    "line",
    [b"[]", b'"x"', b'{"number": 1, "attributes": [1]}', b"\xff", GOOD.replace(b'"no"', b"5")],
)
def test_a_line_that_is_no_letter_is_passed_over(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "dead-letters" / "x.jsonl"
    path.parent.mkdir()
    path.write_bytes(line + b"\n" + GOOD)
    assert [each.reason for each in letters(tmp_path).letters] == ["no"]


def test_letters_that_can_not_be_read_stay_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "dead-letters" / "x.jsonl"
    path.mkdir(parents=True)  # whoever we are, it is no file to be read
    kept = letters(tmp_path)
    assert kept.unread is not None
    for _ in range(2):
        with pytest.raises(OSError, match="directory"):
            kept.add([("upsert", "400", change(1, a=1))], T_MS)
    assert len(kept) == 2
    assert path.is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes files for others")
def test_letters_dropped_by_root_stay_those_of_the_folders_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 65_534, 65_534)
    kept = letters(tmp_path)
    kept.add([("upsert", "400", change(n, a=n)) for n in range(2)], T_MS)
    found = [kept.path.parent.stat().st_uid, kept.path.stat().st_uid]
    assert kept.drop({1}) == 1
    assert [*found, kept.path.stat().st_uid] == [65_534] * 3


# ---------------------------------------------------------------- memory


def test_a_disk_that_was_full_costs_no_letter(tmp_path: Path) -> None:
    full = letters(tmp_path)
    full.add([("upsert", "first", change(1, a=1))], T_MS)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (full.path.stat().st_size + 20, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            full.add([("upsert", "second", change(2, a=2))], T_MS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    full.add([("upsert", "third", change(3, a=3))], T_MS)
    assert [each.reason for each in letters(tmp_path).letters] == ["first", "second", "third"]


def test_a_memory_comes_back_for_its_own_platform_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    noted = Memory("here", 7, Past(T_MS, frozenset([(LAMP, "a", 3)])), {("n", 1): ((1, 4), (6, 9))})
    noted.save(path)
    assert load(path, "here", cursor=7) == noted
    assert load(path, "there", cursor=7) == Memory("there")
    path.write_bytes(path.read_bytes()[:-9])
    assert load(path, "here", cursor=7).past.until_ms == ANY_MS
    path.unlink()
    assert load(path, "here", cursor=7).past.until_ms == ANY_MS
    assert load(path, "here", cursor=0) == Memory("here")


def test_spans_of_numbers_are_bounded_when_they_are_unfolded() -> None:
    assert spans([5, 1, 2, (9, None), 3]) == ((1, 3), (5, 5))
    assert numbers(((1, 3), (5, 5)), 100) == {1, 2, 3, 5}
    assert numbers(((1, 10**15), (10**16, 10**16)), 3) == {10**16, 10**15, 10**15 - 1}


# ---------------------------------------------------------------- tokens


def secret(folder: Path, text: str) -> Path:
    path = folder / "secret"
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    return path


def test_a_token_of_a_file_is_read_again_when_it_was_refused(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.broker.token = "new"
        sink = scene.start()
        sink.offer(lamp(1, at_s=0))
        await asyncio.sleep(30)
        assert not sink.connected
        secret(tmp_path, "new")
        await scene.until(lambda: sink.connected)

    path = secret(tmp_path, "old")
    scene = play(Scene(tmp_path, tokens=lambda _: FileToken(path)), story)
    assert scene.levels()
    statuses = [each.status for each in scene.broker.arrivals]
    assert statuses.count(201) == 1
    assert set(statuses) == {201, 401}


def credentials(
    folder: Path, fault: Fault | None = None, secret_text: str = "s3cret"
) -> Callable[[Callable[[Standin, ClientCredentials], Awaitable[None]]], Standin]:
    """Play a story with a client of a token's server."""

    def played(story: Callable[[Standin, ClientCredentials], Awaitable[None]]) -> Standin:
        async def whole() -> Standin:
            server = Standin(once(fault) if fault else None)
            await server.start()
            client = Client(server.url, timeout_s=5)
            loop = asyncio.get_running_loop()
            path = secret(folder, secret_text)
            url = server.url + TOKEN
            await story(server, ClientCredentials(client, url, "gw", path, "a b", loop.time))
            await client.close()
            await server.stop()
            return server

        return virtual_time.run(whole())

    return played


def test_a_token_is_renewed_before_it_ends_and_asked_for_once(tmp_path: Path) -> None:
    async def story(server: Standin, tokens: ClientCredentials) -> None:
        first, second = await asyncio.gather(tokens.get(), tokens.get())
        assert first == second == server.token
        await asyncio.sleep(239)
        assert await tokens.get() == first
        await asyncio.sleep(2)
        renewed = await tokens.get()
        assert renewed == server.token != first
        tokens.refused(first)  # a late word about the old one
        assert await tokens.get() == renewed
        tokens.refused(renewed)
        assert await tokens.get() != renewed

    server = credentials(tmp_path)(story)
    asked = [each.request for each in server.arrivals]
    assert len(asked) == 3
    assert asked[0].headers["authorization"] == "Basic Z3c6czNjcmV0"
    assert asked[0].body == b"grant_type=client_credentials&scope=a+b"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(status=401, body=b'{"error": "invalid_client"}'), "401 invalid_client"),
        (Fault(status=500, body=b"<html>"), "500"),
        (Fault(status=200, body=b'{"access_token": "a\\nb"}'), "200"),
        (Fault(status=200, body=b'{"access_token": 7}'), "200"),
        (Fault(status=200, body=b"[]"), "200"),
    ],
)
def test_no_token_is_told_without_the_secret(tmp_path: Path, fault: Fault, told: str) -> None:
    async def story(_server: Standin, tokens: ClientCredentials) -> None:
        with pytest.raises(NoToken) as refusal:
            await tokens.get()
        assert str(refusal.value).endswith(f"{TOKEN} gives no token: {told}")
        assert await tokens.get()

    credentials(tmp_path, fault)(story)


def test_a_token_server_is_left_alone_for_as_long_as_it_wishes(tmp_path: Path) -> None:
    path = secret(tmp_path, "s3cret")
    busy = Fault(status=503, headers={"Retry-After": "7"})

    async def story(scene: Scene) -> None:
        scene.broker.fault = once(busy, path=TOKEN)
        scene.log.commit([lamp(n, at_s=n - 9.0) for n in range(5)])
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)

    def tokens(client: Client) -> ClientCredentials:
        now_s = asyncio.get_running_loop().time
        return ClientCredentials(client, client._url + TOKEN, "gw", path, "", now_s)

    scene = play(Scene(tmp_path, tokens=tokens), story)
    asked_s = [each.request.at_s for each in scene.broker.arrivals if each.request.path == TOKEN]
    assert len(asked_s) == 2
    assert asked_s[1] - asked_s[0] >= 7


def test_a_sink_gets_another_token_at_once_when_its_own_was_withdrawn(tmp_path: Path) -> None:
    path = secret(tmp_path, "s3cret")

    async def story(scene: Scene) -> None:
        scene.broker.token = "nobody has it"
        sink = scene.start()
        for number in range(1, 4):
            sink.offer(lamp(number, at_s=number))
            await asyncio.sleep(5)
            scene.broker.token = "withdrawn"
        assert scene.levels()["lifetimePowerConsumption"]["value"] == 0.003

    def tokens(client: Client) -> ClientCredentials:
        now_s = asyncio.get_running_loop().time
        return ClientCredentials(client, client._url + TOKEN, "gw", path, "", now_s)

    scene = play(Scene(tmp_path, tokens=tokens), story)
    upserts = [each for each in scene.broker.arrivals if each.request.path != TOKEN]
    assert [each.status for each in upserts] == [201, 401, 204, 401, 204]
    assert upserts[1].answered_s == upserts[2].request.at_s


# ---------------------------------------------------------------- client


def test_of_two_values_with_one_name_the_later_one_stays_whatever_is_read_again() -> None:
    state = newest()
    offer(state, 2, change(1, a=2))
    state.landed(state.take(500))
    state.offer([change(1, a=1)], name(1), T_MS, LATEST_MS, late=True)
    assert len(state) == 0
    assert state.finished == [name(2)]  # and the first is for the history


def test_an_answer_that_trickles_ends_in_time() -> None:
    async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
        while not writer.is_closing():
            writer.write(b".")
            await asyncio.sleep(1)

    async def whole() -> float:
        server = await asyncio.start_server(trickle, "127.0.0.1", 0)
        client = Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout_s=5)
        with pytest.raises(NoAnswer, match="no answer in time"):
            await client.post("/x", b"{}", {})
        took_s = asyncio.get_running_loop().time()
        await client.close()
        await asyncio.sleep(3)
        server.close()
        return took_s

    assert 9.9 < virtual_time.run(whole()) < 10.1


def test_an_endless_answer_is_none(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.broker.fault = once(Fault(status=200, body=b"x" * (2 << 20)))
        sink = scene.start()
        sink.offer(lamp(1, at_s=0))
        await scene.until(lambda: sink.connected)

    scene = play(Scene(tmp_path), story)
    assert scene.levels()
