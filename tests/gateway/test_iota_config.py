"""`[[iota]]` in a config: what is refused, what is loaded, and who is behind a door."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerbline.agent.city import sinks
from kerbline.assets import registry
from kerbline.clock import Clock
from kerbline.config import Config, ConfigFault, load
from kerbline.counters import Counters
from kerbline.store import GroupCommit, GroupPolicy, Store
from tests.gateway.test_cli import kerbline
from tests.gateway.test_lean import BRIDGE, loaded_by

KEY = "4jggokgpepnvsb2uv4s40d59ov"
GATEWAY = '[gateway]\nid = "gw-1"\nstate_dir = "state"\n'
CITY = '[city]\nid = "stad"\n'
IOTA = '[[iota]]\nname = "agent"\nhost = "127.0.0.1"\nport = 1\napi_key_file = "iota.key"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "iota.key").write_text(KEY + "\n")
    (tmp_path / "iota.key").chmod(0o600)
    return tmp_path


def read(folder: Path, text: str) -> Config:
    (folder / "gateway.toml").write_text(text)
    return load(folder / "gateway.toml")


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigFault) as raised:
        read(folder, text)
    return [str(fault).replace(f"{folder}/", "") for fault in raised.value.faults]


def test_a_section_has_what_an_agent_expects_where_it_says_nothing(folder: Path) -> None:
    (agent,) = read(folder, GATEWAY + CITY + IOTA).agents
    assert (agent.prefix, agent.port, agent.command_ttl_s) == ("/json/", 1, 30.0)
    assert (agent.personal, agent.tls, agent.username) == ("zones", None, "")


def test_an_agent_of_no_city_is_a_fault(folder: Path) -> None:
    (found,) = faults(folder, GATEWAY + IOTA)
    assert "iota[1]: whose entities are these? There is no [city]; add [city]" in found
    assert found.startswith("gateway.toml:4: ")


def test_two_agents_of_one_name_are_a_fault(folder: Path) -> None:
    (found,) = faults(folder, GATEWAY + CITY + IOTA + IOTA)
    assert 'iota[2].name: "agent" stands at iota[1].name, line 7 already' in found


@pytest.mark.parametrize("key", ["a/b", "a+", "#", "x" * 65, "two words", "k.e.y"])
def test_a_key_that_is_no_level_of_a_topic_is_refused_and_not_told(folder: Path, key: str) -> None:
    (folder / "iota.key").write_text(key)
    (found,) = faults(folder, GATEWAY + CITY + IOTA)
    assert 'iota[1].api_key_file: "iota.key" holds no key for topics; write 1 to 64' in found
    assert key not in found


def test_a_key_that_others_may_read_is_refused(folder: Path) -> None:
    (folder / "iota.key").chmod(0o644)
    (found,) = faults(folder, GATEWAY + CITY + IOTA)
    assert "has mode 0644, others may use it; run: chmod 600" in found


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('prefix = "json"', 'write one of "/json/", "json/", "/"'),
        ("command_ttl_s = 0", "is out of range; write 1 to 3_600"),
        ('operations = ["explode"]', '"explode" is not known'),
        ('api_key = "x"', "is not a key that belongs here"),
    ],
)
def test_what_may_not_stand_there(folder: Path, line: str, said: str) -> None:
    (found,) = faults(folder, GATEWAY + CITY + IOTA + line)
    assert said in found


@pytest.mark.parametrize(("personal", "doors"), [("zones", {"iota:agent"}), ("all", set())])
def test_households_stay_unless_the_section_says_otherwise(
    folder: Path, personal: str, doors: set[str]
) -> None:
    config = read(folder, GATEWAY + CITY + IOTA + f'personal = "{personal}"\n')
    store, clock = Store.open(folder / "kerbline.db"), Clock(None)
    group = GroupCommit(store, GroupPolicy(), clock.utc_ms)
    known = registry.empty(config)
    north = sinks.made(config, store, group, clock, Counters(), known)
    assert [sink.name for sink in north.sinks] == ["iota:agent"]
    assert set(north.doors) == doors
    assert len(north.displays) == 1
    assert [agent.source for agent in north.agents] == ["operator/iota:agent"]
    store.close()


def test_an_agent_needs_mqtt_and_no_http(tmp_path: Path) -> None:
    key = tmp_path / "iota.key"
    key.touch(mode=0o600)
    key.write_text(KEY)
    before, _, rest = BRIDGE.partition("[mqtt]")
    text = before + CITY + IOTA.replace('"iota.key"', f'"{key}"') + rest[rest.index("[[modbus]]") :]
    loaded = loaded_by(tmp_path, text)
    assert {"aiomqtt", "kerbline.agent.city.iota", "kerbline.north.iota.dialect"} <= loaded
    foreign = ("cryptography", "httpx", "kerbline.north.ngsi_ld.client", "serial")
    assert loaded.isdisjoint(foreign)
    assert "kerbline.agent.city.iota" not in loaded_by(tmp_path, BRIDGE)


def test_provisioning_says_what_is_missing(folder: Path) -> None:
    (folder / "gateway.toml").write_text(GATEWAY + CITY)
    told = kerbline("city", "iota-provision", folder / "gateway.toml")
    assert told.returncode == 2
    assert "--agent is one of none: no [[iota]]" in told.stderr
    (folder / "gateway.toml").write_text(GATEWAY + CITY + IOTA)
    told = kerbline("city", "iota-provision", folder / "gateway.toml", "--agent", "other")
    assert "--agent is one of agent" in told.stderr
    told = kerbline(
        "city", "iota-provision", folder / "gateway.toml", "--devices", "--at-most", "1"
    )
    assert [line[:12] for line in told.stdout.splitlines()] == ['{"devices": '] * 3
    assert KEY not in told.stdout + told.stderr
