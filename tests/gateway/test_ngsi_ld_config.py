"""`[[ngsi_ld]]` in a config, and the commands around it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import pytest

from kerbline.agent.city import sinks
from kerbline.agent.city.dead_letters import Letters
from kerbline.assets import Registry
from kerbline.clock import Clock
from kerbline.config import ConfigFault, doubts, load
from kerbline.config.attributes import MEASURED
from kerbline.counters import Counters
from kerbline.local_socket import SOCKET_FILE, Declined, serve
from kerbline.model import Reading
from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.dead_letters import DeadLetters, place
from kerbline.north.ngsi_ld.models import changes
from kerbline.north.ngsi_ld.sink import NgsiLdSink
from kerbline.north.ngsi_ld.units import TARGETS
from kerbline.sim.ngsi_ld import Standin
from kerbline.store import FILE_NAME, GroupCommit, GroupPolicy, Store
from kerbline.store.replay import order
from tests.gateway import city_day
from tests.gateway.ngsi_ld_scene import T0_MS, lamp

BASE = """\
[gateway]
id = "gw"
state_dir = "state"
[city]
id = "stad"
"""
BROKER = """\
[[ngsi_ld]]
name = "platform"
url = "http://127.0.0.1:1026"
"""
ENERGY = "lifetimePowerConsumption"


def written(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(text)
    return path


def faults(folder: Path, text: str) -> list[str]:
    """What is wrong, without the file's name."""
    with pytest.raises(ConfigFault) as refusal:
        load(written(folder, text))
    return [str(each).partition("gateway.toml:")[2] for each in refusal.value.faults]


def secret(folder: Path, name: str) -> Path:
    path = folder / name
    path.touch(mode=0o600)
    path.write_text("s3cret")
    return path


def test_a_broker_wants_a_city(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, BASE.partition("[city]")[0] + BROKER)
    assert found.startswith("4: ngsi_ld[1]: whose entities are these? There is no [city]; add")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("tenant = 'a b'", "9: ngsi_ld[1].tenant: "),
        ("form = 'simplified'", '9: ngsi_ld[1].form: "simplified" is not known'),
        ("history = 'some'", "9: ngsi_ld[1].history: "),
        (
            "context_in = 'link'\ncontext = ['http://a/x', 'http://a/y']",
            "10: ngsi_ld[1].context: a",
        ),
        ("tokken_file = 'x'", "9: ngsi_ld[1].tokken_file: is not a key that belongs here; did"),
        ("token_file = 'nowhere'", "9: ngsi_ld[1].token_file: "),
        ("[ngsi_ld.tls]\nca = 'x'", "8: ngsi_ld[1].url: http:// has no TLS"),
        (
            "[ngsi_ld.oauth2]\ntoken_url = 'http://a/t'",
            "9: ngsi_ld[1].oauth2.client_id: is missing",
        ),
        ("[ngsi_ld.deadband]\npowerConsumption = -1", "10: ngsi_ld[1].deadband.powerConsumption: "),
        ("[ngsi_ld.deadband]\npowerConsumption = 'x'", "10: ngsi_ld[1].deadband.powerConsumption"),
        ("\n[[ngsi_ld]]\nname = 'platform'\nurl = 'http://b'", "11: ngsi_ld[2].name: "),
    ],
)
def test_a_fault_names_its_line_and_key(tmp_path: Path, more: str, told: str) -> None:
    found = faults(tmp_path, BASE + BROKER + more + "\n")
    assert found[0].startswith(told), found
    assert "; " in found[0]


@pytest.mark.parametrize(
    "url", ["broker:1026", "ftp://x", "http://x/?a=b", "http://u:p@x", "http://x:99999", "http://"]
)
def test_an_address_is_one(tmp_path: Path, url: str) -> None:
    (found,) = faults(tmp_path, BASE + BROKER.replace("http://127.0.0.1:1026", url))
    assert found.startswith("8: ngsi_ld[1].url: ")


def test_two_ways_to_a_token_are_one_too_many(tmp_path: Path) -> None:
    secret(tmp_path, "a")
    text = "token_file = 'a'\n[ngsi_ld.oauth2]\ntoken_url = 'http://localhost/t'\n"
    text += "client_id = 'x'\nclient_secret_file = 'a'\n"
    (found,) = faults(tmp_path, BASE + BROKER + text)
    assert found.startswith("9: ngsi_ld[1].token_file: two ways to a token; ")


def warned(folder: Path, text: str) -> list[str]:
    return [str(each) for each in doubts(written(folder, text), datetime(2026, 11, 22, tzinfo=UTC))]


def test_a_token_on_an_open_road_is_a_warning(tmp_path: Path) -> None:
    secret(tmp_path, "a")
    token = "token_file = 'a'\n"
    assert warned(tmp_path, BASE + BROKER + token) == []
    away = BROKER.replace("127.0.0.1", "broker.example.org")
    assert warned(tmp_path, BASE + away) == []
    (found,) = warned(tmp_path, BASE + away + token)
    assert 'ngsi_ld[1].url: a token goes to "http://broker.example.org:1026" for everybody' in found


def test_every_key_reaches_the_sink(tmp_path: Path) -> None:
    async def whole() -> list[str]:
        store = Store.open(tmp_path / "kerbline.db")
        group = GroupCommit(store, GroupPolicy(), lambda: T0_MS)
        config = load(written(tmp_path, BASE + BROKER + BROKER.replace("platform", "second")))
        registry = Registry("stad")
        made = sinks.made(config, store, group, Clock(None), Counters(), registry)
        for sink in made.sinks:
            await sink.close()
        assert [each.name for each in made.refusing] == [each.name for each in made.sinks]
        assert len(made.displays) == 2
        assert list(store.drop_cursors([])) == ["ngsi_ld:platform", "ngsi_ld:second"]
        store.close()
        return [sink.name for sink in made.sinks]

    assert asyncio.run(whole()) == ["ngsi_ld:platform", "ngsi_ld:second"]


# ---------------------------------------------------------------- a store, and what goes again


async def delivered(folder: Path, broker: Standin, again: int) -> None:
    """A life over the store in `folder`, until its cursor is at the end."""
    config = load(written(folder, BASE + BROKER.replace("http://127.0.0.1:1026", broker.url)))
    config.gateway.state_dir.mkdir(exist_ok=True)
    store = Store.open(config.gateway.state_dir / FILE_NAME)
    group = GroupCommit(store, GroupPolicy(1, 0.01), lambda: T0_MS)
    committing = asyncio.create_task(group.run())
    if not again:
        store.append([lamp(n, at_s=n - 50) for n in range(1, 6)], T0_MS)
    made = sinks.made(config, store, group, Clock(None), Counters(), Registry("stad"))
    (sink,) = made.sinks
    assert isinstance(sink, NgsiLdSink)
    running = asyncio.create_task(sink.run())
    async with asyncio.timeout(60):
        while sink.cursor < store.head or not values(broker, 5)[again:]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    group.stop()
    await committing
    await sink.close()
    await group.close()


def values(broker: Standin, number: int) -> list[str]:
    """The ways in which a report came."""
    return [
        value.way
        for arrival in broker.arrivals
        for value in arrival.taken
        if value.attribute == ENERGY and float(value.value) == number / 1000
    ]


def test_history_follows_by_store_replay_and_ids_stay(tmp_path: Path) -> None:
    async def whole() -> None:
        broker = Standin()
        await broker.start()
        await delivered(tmp_path, broker, 0)
        before = dict(broker.entities.now)
        path = tmp_path / "state" / FILE_NAME
        ordered = order(path, "ngsi_ld:platform", T0_MS - 1, T0_MS + 1)
        assert ordered.entries == 5
        await delivered(tmp_path, broker, 1)
        assert broker.entities.now == before
        await broker.stop()
        assert values(broker, 1) == ["temporal", "temporal"]
        assert values(broker, 5) == ["upsert", "temporal"]

    asyncio.run(whole())


# ---------------------------------------------------------------- commands


def kerbline(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kerbline", *map(str, words)]
    paths = os.pathsep.join(sys.path)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": paths}
    )


def lettered(folder: Path) -> tuple[Path, DeadLetters]:
    """A config, and two dead letters of its broker."""
    config = written(folder, BASE + BROKER)
    letters = DeadLetters(place(folder / "state", "platform"))
    found = Change("urn:ngsi-ld:Streetlight:stad:lamp-1", "Streetlight", {"a": Attribute(1, T0_MS)})
    letters.add([("upsert", "400 first", found), ("temporal", "400 second", found)], T0_MS)
    return config, letters


def test_dead_letters_are_listed_and_dropped_without_a_gateway(tmp_path: Path) -> None:
    config, letters = lettered(tmp_path)
    done = kerbline("city", "dead-letters", "list", config)
    assert done.stdout.splitlines() == [
        "platform 1  2026-09-21T14:13:20.000Z  urn:ngsi-ld:Streetlight:stad:lamp-1 (a)",
        "    upsert: 400 first",
        "platform 2  2026-09-21T14:13:20.000Z  urn:ngsi-ld:Streetlight:stad:lamp-1 (a)",
        "    temporal: 400 second",
    ]
    done = kerbline("city", "dead-letters", "list", config, "--json")
    assert [json.loads(line)["number"] for line in done.stdout.splitlines()] == [1, 2]
    assert kerbline("city", "dead-letters", "drop", config).returncode == 2
    done = kerbline("city", "dead-letters", "replay", config)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no gateway runs here" in done.stderr
    done = kerbline("city", "dead-letters", "drop", config, 1)
    assert done.stdout == "platform: 1 dropped\n"
    assert [each.number for each in DeadLetters(letters.path).letters] == [2]
    done = kerbline("city", "dead-letters", "list", config, "--sink", "other")
    assert (done.returncode, "--sink is one of platform" in done.stderr) == (2, True)


class Answering:
    """A sink that keeps account of what it is asked."""

    name = "ngsi_ld:platform"

    def __init__(self) -> None:
        self.asked: list[tuple[str, frozenset[int] | None]] = []

    def resend(self, numbers: object) -> int:
        """Two."""
        assert numbers is None or isinstance(numbers, frozenset)
        self.asked.append(("replay", numbers))
        return 2

    async def drop(self, numbers: object) -> int:
        """One."""
        assert numbers is None or isinstance(numbers, frozenset)
        self.asked.append(("drop", numbers))
        return 1


def test_a_running_gateway_is_asked(tmp_path: Path) -> None:
    config, letters = lettered(tmp_path)
    sink = Answering()

    async def whole() -> list[subprocess.CompletedProcess[str]]:
        answers = {"dead-letters": Letters([sink]).answer}
        serving = asyncio.create_task(serve(tmp_path / "state" / SOCKET_FILE, answers))
        done = [
            await asyncio.to_thread(kerbline, "city", "dead-letters", *words)
            for words in (("replay", config), ("replay", config, 2), ("drop", config, "--all"))
        ]
        serving.cancel()
        await asyncio.wait([serving])
        return done

    done = asyncio.run(whole())
    assert [each.stdout for each in done] == [
        "platform: 2 go again; those that are refused again come back\n",
        "platform: 2 go again; those that are refused again come back\n",
        "platform: 1 dropped\n",
    ]
    assert sink.asked == [("replay", None), ("replay", frozenset([2])), ("drop", None)]
    assert len(letters) == 2


def test_letters_that_can_not_be_read_are_told_in_a_line(tmp_path: Path) -> None:
    config, letters = lettered(tmp_path)
    letters.path.unlink()
    letters.path.mkdir()
    for words in (("list", config), ("drop", config, "--all")):
        done = kerbline("city", "dead-letters", *words)
        assert done.returncode == 1
        assert f"{letters.path}: Is a directory; call it as the gateway's user" in done.stderr
        assert "Traceback" not in done.stderr

    class Full(Answering):
        async def drop(self, numbers: object) -> int:
            """The disk is full."""
            raise OSError(28, "No space left on device")

    async def ask() -> None:
        await Letters([Full()]).answer({"sink": "platform", "do": "drop"})

    with pytest.raises(Declined, match="No space left"):
        asyncio.run(ask())


def test_the_strict_broker_is_a_command() -> None:
    command = [sys.executable, "-m", "kerbline", "sim", "ngsi-ld", "--port", "0", "--chaos", "1:0"]
    paths = os.pathsep.join(sys.path)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        with urlopen(f"{url}/ngsi-ld/v1/entities", timeout=60) as answer:
            assert json.load(answer) == []
        assert process.stdout.readline().endswith("GET /ngsi-ld/v1/entities: 200\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert "a share of 0 to 1" in kerbline("sim", "ngsi-ld", "--chaos", "1:x").stderr


def test_a_dead_band_is_of_an_attribute_that_there_is(tmp_path: Path) -> None:
    """By its name in the data model, and not by ours."""
    bands = ("powerConsumption", "powerConsumtion", "RelativeHumidity", "power_w")
    table = "[ngsi_ld.deadband]\n" + "".join(f"{name} = 2.0\n" for name in bands)
    told = faults(tmp_path, BASE + BROKER + table)
    where = "ngsi_ld[1].deadband"
    assert [each.partition("; ")[0] for each in told] == [
        f"{line}: {where}.{name}: is no attribute that is measured"
        for line, name in enumerate(bands[1:], 11)
    ]
    assert told[0].endswith("did you mean powerConsumption?")
    assert told[1].endswith("did you mean relativeHumidity?")
    assert told[2].partition("; ")[2].startswith("remove it; known here: illuminanceLevel, ")


def test_the_attributes_that_are_known_are_those_that_are_sent() -> None:
    sent = {name for of in TARGETS.values() for name in of}
    city = city_day.city()
    for entry in city_day.day():
        if isinstance(entry, Reading) and entry.kind != "event":
            for change in changes(entry, city):
                dated = {name for name, each in change.attributes.items() if each.observed_at_ms}
                sent |= dated - {"dateObserved"}
    assert {*MEASURED} == sent
    assert len(MEASURED) == len(sent)
