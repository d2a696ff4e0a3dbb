"""The config file: what a good one gives, and every fault of a bad one with line and remedy."""

from __future__ import annotations

import dataclasses
import os
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import GenericAlias

import pytest

from kerbline.config import Config, ConfigFault, load
from kerbline.config.reader import Reader, _entries, _shape
from tests.gateway.test_north_tls import Office

KEY = "00112233445566778899aabbccddeeff"

GOOD = """\
[gateway]
id = "gw-demo"
state_dir = "state"
[simulation]
clock_table = "clock.json"
[store]
commit_readings = 50
[mqtt]
host = "127.0.0.1"
[udp]
listen = "[::1]:5683"
[[node]]
id = "sl-0001"
asset = "lamp-1"
kind = "streetlight"
key_file = "node.key"
port = "/dev/ttyUSB0"
[[node]]
id = "wm-0001"
asset = "meter-1"
kind = "water_meter"
key_file = "node.key"
port = "udp"
[[modbus]]
name = "cabinet"
port = "socket://127.0.0.1:1502"
framer = "tcp"
timeout_s = 1
[[modbus.device]]
unit = 1
asset = "cabinet-1"
[[modbus.device.register]]
name = "power_w"
address = 52
table = "input"
type = "float32"
[[dimming]]
lamps = ["lamp-1"]
sensor_range_m = 8
spacing_m = 30
[[leak]]
meter = "meter-1"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "node.key").write_text(KEY + "\n")
    (tmp_path / "node.key").chmod(0o600)
    (tmp_path / "clock.json").write_text("[[0, 0, 1]]")
    return tmp_path


def read(folder: Path, text: str | bytes) -> Config:
    path = folder / "street.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(path)


def faults(folder: Path, text: str | bytes) -> list[str]:
    """What `check` would print, without the folder."""
    with pytest.raises(ConfigFault) as raised:
        read(folder, text)
    return [str(fault).replace(f"{folder}/", "") for fault in raised.value.faults]


def test_a_good_file_is_typed_and_its_paths_are_absolute(folder: Path) -> None:
    config = read(folder, GOOD)
    assert config.gateway.state_dir == folder / "state"
    assert config.store.commit_readings == 50
    assert config.store.commit_interval_s == 10.0
    assert config.udp is not None
    assert config.udp.address == ("::1", 5683)
    assert [node.id for node in config.nodes] == ["sl-0001", "wm-0001"]
    assert config.nodes[0].baud == 115_200
    bus = config.buses[0]
    assert (bus.timeout_s, type(bus.timeout_s)) == (1.0, float)
    assert bus.devices[0].registers[0].scale == 1.0
    assert config.corridors[0].lamps == ("lamp-1",)
    assert config.leaks[0].continuous_flow_h == 6.0
    with pytest.raises(AttributeError):
        config.store.commit_readings = 1  # type: ignore[misc]


def test_the_smallest_file_opens_nothing(folder: Path) -> None:
    config = read(folder, '[gateway]\nid = "gw"\nstate_dir = "/var/lib/kerbline"')
    assert config.gateway.state_dir == Path("/var/lib/kerbline")
    assert (config.mqtt, config.udp, config.nodes, config.buses) == (None, None, (), ())


FILE = "[[file]]\nname = 'f'\nfolder = "
BAD_LINES = [
    ('id = "gw-demo"', "id = 7", "2: gateway.id: 7 where a text belongs; write"),
    ('id = "gw-demo"', 'idd = "gw"', "2: gateway.idd: is not a key that belongs here; did you"),
    ('id = "gw-demo"', "", '1: gateway.id: is missing; write id = "..."'),
    ('id = "gw-demo"', 'id = "gw/1"', '2: gateway.id: "gw/1" is not of the right form; write 1 to'),
    ('id = "gw-demo"', 'id = "gw"\n"\\n\\u001b" = 1', '3: gateway."\\n\\u001b": is not a key that'),
    ('state_dir = "state"', 'state_dir = ""', '3: gateway.state_dir: "" is not a path; write'),
    ("commit_readings = 50", "commit_readings = true", "7: store.commit_readings: true where a w"),
    ("commit_readings = 50", "commit_readings = 0", "out of range; write 1 to 10_000"),
    ("commit_readings = 50", "commit_interval_s = nan", "NaN is no measurable number; write"),
    ("commit_readings = 50", "max_bytes = 99" + "9" * 400, "7: store.max_bytes: 99"),
    ('host = "127.0.0.1"', 'host = "x"\ntls = "on"', '10: mqtt.tls: "on" where a table belongs'),
    ('host = "127.0.0.1"', 'host = "x"\ntls = {ca = "no"}', 'mqtt.tls.ca: "no" does not exist'),
    ("[udp]", f'{FILE}"out/../state/x"\n[udp]', 'state/x" overlaps gateway.state_dir, line 3;'),
    ("[udp]", f'{FILE}"."\n[udp]', "overlaps gateway.state_dir, line 3; write a folder apart"),
    ("[udp]", f"{FILE}'o'\n{FILE}'o/p'\n[udp]", 'o/p" overlaps file[1].folder, line 12; write'),
    ("[udp]", "[udb]", "10: udb: is not a key that belongs here; did you mean udp?"),
    ("[udp]", "[udb]", "node[2].port: no [udp] section opens a port for it; add [udp] with"),
    ('kind = "streetlight"', 'kind = "lamp"', '15: node[1].kind: "lamp" is not known; write one'),
    ('port = "/dev/ttyUSB0"', 'port = "COM1"', '17: node[1].port: "COM1" is not of the right f'),
    ('port = "/dev/ttyUSB0"', 'port = "socket://h:70000"', '17: node[1].port: "socket://h:7'),
    (
        'port = "/dev/ttyUSB0"',
        'port = "/dev/x"\nbaud = 9601',
        "18: node[1].baud: 9601 is not known",
    ),
    ('id = "wm-0001"', 'id = "sl-0001"', '19: node[2].id: "sl-0001" stands at node[1].id, line 13'),
    ('asset = "meter-1"', 'asset = "lamp-1"', '20: node[2].asset: "lamp-1" stands at node[1].as'),
    ('asset = "cabinet-1"', 'asset = "lamp-1"', "modbus[1].device[1].asset: "),
    ('port = "udp"', 'port = "/dev/ttyUSB0"', '23: node[2].port: "/dev/ttyUSB0" stands at node'),
    ("unit = 1", "unit = 256", "30: modbus[1].device[1].unit: 256 is out of range; write 0 to 255"),
    ("address = 52", "address = 65536", "modbus[1].device[1].register[1].address: 65536 is out"),
    ('table = "input"', 'table = "file"', 'write one of "input", "holding", "coil", "discrete"'),
    ("[[modbus.device.register]]", "[[x]]", "modbus[1].device[1]: has neither a profile nor"),
    ('lamps = ["lamp-1"]', 'lamps = "lamp-1"', 'dimming[1].lamps: "lamp-1" where a list belongs'),
    ('lamps = ["lamp-1"]', "lamps = [\n\n1]", "40: dimming[1].lamps[1]: 1 where a text belongs"),
    ('lamps = ["lamp-1"]', 'lamps = ["cabinet-1"]', '"cabinet-1" is no node\'s asset; write a s'),
    ('lamps = ["lamp-1"]', 'lamps = ["meter-1"]', '"meter-1" is a water_meter; write a streetl'),
    ('lamps = ["lamp-1"]', 'lamps = ["lamp-1", "lamp-1"]', "stands at dimming[1].lamps[1], line"),
    ("spacing_m = 30", "ahead = 1", "dimming[1].ahead: is not a key that belongs here"),
    ("spacing_m = 30", "", "dimming[1]: nothing says where the lamps stand; add spacing_m, or"),
    ("spacing_m = 30", "spacing_m = 30\npositions_m = [1]", "spacing_m: positions_m says where"),
    ("spacing_m = 30", "positions_m = [1, 2]", "positions_m: 2 positions of 1 lamps; write one"),
    ('meter = "meter-1"', 'meter = "lamp-1"', '"lamp-1" is a streetlight; write a water_meter: m'),
    ("[[leak]]", "[leak]", "41: leak: a table where a list belongs; write [[leak]]"),
]


@pytest.mark.parametrize(("old", "new", "expected"), BAD_LINES)
def test_a_bad_line_is_told(folder: Path, old: str, new: str, expected: str) -> None:
    assert GOOD.count(old) >= 1
    found = faults(folder, GOOD.replace(old, new, 1))
    assert any(expected in line for line in found), found
    assert all("\n" not in line and line.startswith("street.toml:") for line in found)


BUS = GOOD.replace('"/dev/ttyUSB0"', '"/dev/ttyUSB0"\nbus = true')
SHARED = BUS.replace('port = "udp"', 'port = "/dev/ttyUSB0"\nbus = true')


def test_nodes_share_a_bus(folder: Path) -> None:
    config = read(folder, SHARED)
    assert [node.bus for node in config.nodes] == [True, True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SHARED.replace("bus = true", "", 1), 'node[2].port: "/dev/ttyUSB0" stands at node[1]'),
        (SHARED + "[[node]]\nbaud = 9600\nbus = true\n", "node[3].id: is missing"),
        (SHARED.replace("bus = true", "bus = true\nbaud = 9600", 1), "baud: the bus has 9600 by"),
        (BUS.replace('port = "udp"', 'port = "udp"\nbus = true'), "bus: datagrams have no bus"),
    ],
)
def test_a_bus_that_does_not_fit_is_told(folder: Path, text: str, expected: str) -> None:
    found = faults(folder, text)
    assert any(expected in line for line in found), found


def test_a_bus_has_room_for_so_many(folder: Path) -> None:
    node = GOOD[GOOD.index("[[node]]") : GOOD.index('[[node]]\nid = "wm')]
    more = "".join(
        node.replace("sl-0001", f"x-{n}")
        .replace("lamp-1", f"x-{n}")
        .replace("USB0", 'USB0"\nbus = true#')
        for n in range(248)
    )
    found = faults(folder, GOOD.replace("ttyUSB0", "ttyUSB1") + more)
    assert [line for line in found if "a bus has room for 247 nodes" in line], found[:3]


def test_all_faults_are_told_at_once_in_the_files_order(folder: Path) -> None:
    text = GOOD
    for old, new in [("gw-demo", "gw demo"), ("= 50", '= "50"'), ("udp", "upd"), ("= 52", "= -1")]:
        text = text.replace(old, new)
    lines = [int(line.split(":")[1]) for line in faults(folder, text)]
    assert lines == [2, 7, 10, 23, 34]


def test_one_bad_kind_makes_no_second_fault_of_its_references(folder: Path) -> None:
    assert len(faults(folder, GOOD.replace('kind = "streetlight"', 'kind = "lamp"'))) == 1


BAD_TEXTS = [
    (b"[gateway\nid = 1\n", "1: not TOML: Expected ']' at the end"),
    (b"a = 1\n\na = 2\n\n\n", "3: not TOML: Cannot overwrite a value"),
    (b'a = 1\nb = "\n', "2: not TOML: Illegal character"),
    (b"a = 1\nb = '\xff'\n", "2: this is not UTF-8; save the file as UTF-8"),
    (b"\xef\xbb\xbfa = 1\n", "1: a byte order mark; save"),
    (b"a = 1\n\n\nb = ", "4: not TOML: Invalid value"),
    (b"a = 9" + b"9" * 5000, "not TOML: a number of thousands of digits"),
    (b"a = " + b"[" * 5000, "not TOML: brackets too deep"),
    (b"", "1: gateway: is missing; write [gateway]"),
    (b"#" * (1 << 20) + b"#", "is larger than 1 MiB; write the path of the right file"),
]


@pytest.mark.parametrize(("content", "expected"), BAD_TEXTS, ids=[why[:24] for _, why in BAD_TEXTS])
def test_a_text_that_is_no_config_is_told(folder: Path, content: bytes, expected: str) -> None:
    (found,) = faults(folder, content)
    assert expected in found


def test_windows_line_ends_do_not_shift_lines(folder: Path) -> None:
    found = faults(folder, GOOD.replace("= 50", "= 0").replace("\n", "\r\n"))
    assert found[0].startswith("street.toml:7: store.commit_readings")


def test_a_file_that_is_not_there_or_none_is_told(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    for name, expected in [
        ("none.toml", "does not exist"),
        ("", "is not a file"),
        ("fifo", "is not"),
    ]:
        with pytest.raises(ConfigFault, match=expected):
            load(folder / name)


def test_a_key_file_must_be_private_and_hold_a_key_which_is_never_told(folder: Path) -> None:
    key = folder / "node.key"
    key.chmod(0o640)
    found = faults(folder, GOOD)
    assert found[0].endswith("has mode 0640, others may use it; run: chmod 600 node.key")
    key.chmod(0o600)
    for content in (KEY[:-1], KEY + "0", "x" * 32, ""):
        key.write_text(content)
        found = faults(folder, GOOD)
        assert len(found) == 2
        assert "does not hold a key; write exactly 32 hex digits into it" in found[0]
        assert not content or content not in "".join(found)
    key.unlink()
    assert "does not exist" in faults(folder, GOOD)[0]
    key.mkdir()
    assert "is not a file" in faults(folder, GOOD)[0]


def test_a_key_in_the_place_of_its_file_is_not_told(folder: Path) -> None:
    (found,) = faults(folder, GOOD.replace('"node.key"', f'"{KEY}"', 1))
    assert "this looks like a key" in found
    assert KEY not in found


def test_a_bad_clock_table_is_told(folder: Path) -> None:
    (folder / "clock.json").write_text("[[0, 0, -1]]")
    (found,) = faults(folder, GOOD)
    assert 'simulation.clock_table: "clock.json" is no clock table: a row\'s rate' in found


def test_the_reference_page_shows_a_good_config_with_every_key(folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "config.md").read_text()
    text = page.split("```toml\n")[1].split("```")[0]
    secrets = [f"keys/{name}.key" for name in ("sl-0001", "sl-0002", "wm-0001", "aq-0001")]
    secrets += ["mqtt.password"]
    secrets += ["client.secret", "broker.token", "city.token", "notify.uri"]
    secrets += ["iota.key", "iota.password"]
    (folder / "keys").mkdir()
    for name in secrets:
        (folder / name).write_text(KEY)
        (folder / name).chmod(0o600)
    Office(folder, "ca").issue("gateway")
    for name in ("release.pub", "next.pub"):
        (folder / name).write_text("kerbline release root\n")
    read(folder, text)
    assert set(keys_of(Config, "")) - ELSEWHERE <= set(keys_in(tomllib.loads(text), ""))


# What excludes another key of the page's one example.
ELSEWHERE = {
    *(("writable", "values"), ("alarm", "below"), ("district", "except")),
    *(("lamp_group", "program"), ("lighting_class", "floor_pct"), ("dimming", "positions_m")),
}


def keys_of(kind: type, section: str) -> Iterator[tuple[str, str]]:
    """Every key of a section and of those in it, each with its section's."""
    for entry in _entries(kind):
        yield section, entry.key
        inner = entry.shape.plain
        if isinstance(inner, GenericAlias):
            inner = _shape(typing.get_args(inner)[0]).plain
        if dataclasses.is_dataclass(inner) and isinstance(inner, type):
            yield from keys_of(inner, entry.key)


def keys_in(table: Mapping[str, object], section: str) -> Iterator[tuple[str, str]]:
    """The same of a file."""
    for key, value in table.items():
        yield section, key
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from keys_in(each, key)


@dataclasses.dataclass(frozen=True)
class Shelf:
    """A section with named tables and a value of any type."""

    label: object
    boxes: dict[str, dict[str, int]]


def test_names_may_be_keys_and_a_value_of_any_type() -> None:
    reader = Reader("shelf.toml", Path(), {(): 1, ("boxes",): 2, ("boxes", "left"): 3})
    shelf = reader.section(Shelf, {"label": [1], "boxes": {"left": {"pens": 3}}})
    assert shelf == Shelf([1], {"left": {"pens": 3}})
    assert list(reader.select("boxes", "*", "pens")) == [(("boxes", "left", "pens"), 3)]
    reader.section(Shelf, {"boxes": {"left": 4}})
    reader.section(Shelf, {"label": 1, "boxes": {"left": {"pens": "x"}}})
    assert [str(fault) for fault in reader.faults] == [
        "shelf.toml:1: label: is missing; write label = ...",
        "shelf.toml:3: boxes.left: 4 where a table belongs; write [boxes.left]",
        'shelf.toml:3: boxes.left.pens: "x" where a whole number belongs; write a whole number',
    ]
