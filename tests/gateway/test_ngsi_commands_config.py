"""What may stand in `[ngsi_ld.commands]`, and what is told of what may not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kerbline.config import ConfigFault, doubts, load

HEAD = """\
[gateway]
id = "gw-1"
state_dir = "state"
[city]
id = "stad"
[[ngsi_ld]]
name = "platform"
url = "https://broker.example.org"
[ngsi_ld.commands]
"""
LISTEN = 'listen = "0.0.0.0:8443"\naddress = "http://gw:8443"\naccess_token_file = "token"\n'
MQTT = '[ngsi_ld.commands.mqtt]\nhost = "h"\ntopic = "city/gw-1"\n'
AT = "ngsi_ld[1].commands"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text("of-the-city")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(HEAD + text)
    return path


def test_each_way_alone_is_a_good_config(folder: Path) -> None:
    (broker,) = load(write(folder, LISTEN)).brokers
    assert broker.commands is not None
    assert broker.commands.served == ("0.0.0.0", 8443)
    assert broker.commands.held_here
    (broker,) = load(write(folder, LISTEN + 'mode = "inclusive"\n')).brokers
    assert broker.commands is not None
    assert not broker.commands.held_here
    (broker,) = load(write(folder, MQTT)).brokers
    assert broker.commands is not None
    assert not broker.commands.held_here


@pytest.mark.parametrize(
    ("text", "at", "told"),
    [
        ("", "", "no way for an order to get here"),
        (LISTEN + MQTT, ".listen", "two ways: each order would come twice"),
        (LISTEN.replace("address", "#"), ".listen", "the broker has to know where we are"),
        (LISTEN.replace("access", "#"), ".listen", "anybody could give orders"),
        (LISTEN.replace("0.0.0.0:8443", "8443"), ".listen", '"8443" is not of the right form'),
        (LISTEN.replace("http://gw:8443", "gw"), ".address", '"gw" is not of the right form'),
        (LISTEN + 'operations = ["reboot"]\n', ".operations[1]", '"reboot" is not known'),
        (LISTEN + 'attributes = ["status"]\n', ".attributes[1]", '"status" is not known'),
        (LISTEN + "ttl_s = 0\n", ".ttl_s", "0.0 is out of range"),
        (MQTT.replace("city/gw-1", "#"), ".mqtt.topic", '"#" is not of the right form'),
        (MQTT.replace("topic", "tpic"), ".mqtt.tpic", "is not a key that belongs here"),
    ],
)
def test_what_does_not_go_together_is_told_with_its_line(
    folder: Path, text: str, at: str, told: str
) -> None:
    with pytest.raises(ConfigFault) as raised:
        load(write(folder, text))
    assert any(f"{AT}{at}: {told}" in line for line in str(raised.value).splitlines()), raised.value


def test_two_brokers_have_two_ports(folder: Path) -> None:
    second = HEAD.partition("[[ngsi_ld]]")[2].replace("platform", "second")
    with pytest.raises(ConfigFault) as raised:
        load(write(folder, LISTEN + "[[ngsi_ld]]" + second + LISTEN))
    assert '"0.0.0.0:8443" stands in line 10 already' in str(raised.value)


@pytest.mark.parametrize(("host", "count"), [("0.0.0.0", 1), ("127.0.0.1", 0), ("[::1]", 0)])
def test_orders_that_anybody_can_read_on_their_way_are_doubted(
    folder: Path, host: str, count: int
) -> None:
    path = write(folder, LISTEN.replace("0.0.0.0", host))
    found = [each.problem for each in doubts(path, datetime(2026, 11, 22, tzinfo=UTC))]
    assert len([each for each in found if "orders and their token" in each]) == count
