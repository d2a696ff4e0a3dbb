"""What the installer takes as a node's settings, the node takes too: both checks are one rule."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kerbline import boards
from kerbline.config.faults import ConfigFault
from kerbline.field import settings as node_settings
from kerbnode.settings import Settings, SettingsError
from tests.gateway import boards_at_hand as at_hand

BASE: dict[str, Any] = {"node_id": "sl-0001", "key_hex": at_hand.KEY, "asset": "streetlight"}
BOARD = boards.load(boards.find("streetlight-esp32"))


def near(*bounds: int) -> st.SearchStrategy[int]:
    """Around the bounds, and anywhere."""
    return st.sampled_from([bound + by for bound in bounds for by in (-1, 0, 1)]) | st.integers(
        -1000, 600_000
    )


def steps(starts: st.SearchStrategy[int], *percents: int) -> st.SearchStrategy[list[list[int]]]:
    step = st.tuples(starts, near(*percents)).map(list)
    return st.lists(step, min_size=1, max_size=18) | st.lists(step, min_size=1, max_size=18).map(
        lambda found: sorted([start, min(100, max(30, pct))] for start, pct in found)
    )


degrees = st.floats(-200, 200) | st.sampled_from([90.0, -90.0, 180.0, -180.0])
hosts = st.sampled_from(["10.0.0.1", "gw.example", "", "a b", "::1"])
WORDS = {
    "report_s": near(1, 86_400),
    "position": st.lists(degrees, min_size=1, max_size=3),
    "profile": steps(near(-720, 720), 0, 100),
    "clo": steps(near(0, 500_000), 30, 100),
    "night_deg": st.floats(-20, 10) | near(-12, 6),
    "dusk_min": near(-720, 720),
    "dawn_min": near(-720, 720),
    "motion_pct": near(1, 100),
    "motion_hold_s": near(1, 3600),
    "build": st.sampled_from(["release", "debug", "fast", ""]),
    "node_id": st.sampled_from(["a", "x" * 16, "x" * 17, "", "-"]),
}


def host_takes(file: Path, given_: dict[str, Any]) -> "node_settings.NodeSettings | None":
    lines = [f"{name} = {told(value)}" for name, value in given_.items()]
    file.write_text("\n".join(lines) + "\n")
    file.chmod(0o600)
    try:
        made, board = node_settings.load(file, BOARD)
    except ConfigFault:
        return None
    kept = json.loads(json.dumps(node_settings.for_node(made, board)))
    Settings(kept)  # raises SettingsError: the node would never talk
    return made


def told(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {told(each)}" for name, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def node_takes(given_: dict[str, Any]) -> bool:
    try:
        Settings({key: value for key, value in given_.items() if key not in ("key_hex", "wifi")})
    except SettingsError:
        return False
    return True


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(more=st.fixed_dictionaries({}, optional=WORDS))
def test_host_and_node_judge_alike(tmp_path: Path, more: dict[str, Any]) -> None:
    """Only a name's letters are the host's own concern."""
    given_ = {**BASE, "link": "uart", **more}
    assert (host_takes(tmp_path / "S.toml", given_) is not None) == (
        node_takes(given_) and given_["node_id"] != "-"
    )


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(host=hosts, port=near(0, 1, 65_535) | st.none())
def test_the_gateway_is_judged_alike(tmp_path: Path, host: str, port: int | None) -> None:
    address = host if port is None else f"{host}:{port}"
    wifi = {"ssid": "street", "password": at_hand.PASSWORD}
    given_ = {**BASE, "link": "udp", "gateway": address, "wifi": wifi}
    taken = host_takes(tmp_path / "S.toml", given_) is not None
    assert taken == (node_takes(given_) and host in ("10.0.0.1", "gw.example"))


@pytest.mark.parametrize(
    ("ssid", "password", "good"),
    [
        ("s", "", True),
        ("s" * 32, "p" * 8, True),
        ("ß" * 16, "p" * 63, True),
        ("ß" * 17, "", False),
        ("s" * 33, "", False),
        ("", "", False),
        ("s", "p" * 7, False),
        ("s", "p" * 64, False),
        ("s", "ü" * 32, False),
    ],
)
def test_a_wifi_is_what_the_air_takes(
    tmp_path: Path, ssid: str, password: str, *, good: bool
) -> None:
    wifi = {"ssid": ssid, "password": password}
    given_ = {**BASE, "link": "udp", "gateway": "gw:5683", "wifi": wifi}
    assert (host_takes(tmp_path / "S.toml", given_) is not None) == good


@pytest.mark.parametrize(
    ("link", "more"),
    [
        ("uart", "de = 13"),
        ("udp", "de = 13"),
        ("uart", 'wifi = {ssid = "w"}'),
        ("rs485", 'gateway = "gw:5683"'),
        ("udp", "tx = 13"),
    ],
)
def test_a_key_of_another_link_is_refused_at_its_line(tmp_path: Path, link: str, more: str) -> None:
    text = at_hand.SETTINGS.replace('"uart"', f'"{link}"')
    if link == "udp":
        text += 'gateway = "gw:5683"\nwifi = {ssid = "w"}\n'
    file = at_hand.settings_file(tmp_path, text + more + "\n")
    line = len((text + more).splitlines())
    name = more.partition(" ")[0]
    with pytest.raises(ConfigFault, match=f":{line}: {name}: is nothing for link '{link}'"):
        node_settings.load(file, BOARD)
