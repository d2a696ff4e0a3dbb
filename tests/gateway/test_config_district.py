"""What a `[[district]]` may say, and what its faults say."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerbline.assets import Asset, crossings
from kerbline.assets.asset import WATER
from kerbline.config import Config, ConfigFault, load

HEAD = """\
[gateway]
id = "gw-1"
state_dir = "state"
[[serial]]
name = "main"
port = "socket://127.0.0.1:1"
profile = "dsmr5"
asset = "main-1"
assets = {gas = "meter-1"}
"""
DISTRICT = """\
[[district]]
zone = "dma-4"
inflow = "main-1"
meters = ["meter-1"]
"""


def read(folder: Path, text: str) -> Config:
    (folder / "gateway.toml").write_text(HEAD + text)
    return load(folder / "gateway.toml")


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigFault) as caught:
        read(folder, text)
    return [str(fault).partition(": ")[2] for fault in caught.value.faults]


def test_planned_water_spans_the_steps_that_it_touches(tmp_path: Path) -> None:
    span = "from = 2026-11-24T22:00:00+01:00\nto = 2026-11-25T04:00:00+01:00\n"
    text = DISTRICT + "[[district.planned]]\n" + span + 'reason = "flushing"\n'
    (district,) = read(tmp_path, text).districts
    (planned,) = district.planned
    begin_ms = 1_795_554_000_000  # 21:00 UTC
    assert not planned.spans(begin_ms - 10, begin_ms)
    assert planned.spans(begin_ms - 10, begin_ms + 1)
    assert planned.spans(begin_ms + 6 * 3_600_000 - 1, begin_ms + 7 * 3_600_000)
    assert not planned.spans(begin_ms + 6 * 3_600_000, begin_ms + 7 * 3_600_000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (DISTRICT.replace("main-1", "main-2"), "is measured by nothing here"),
        (DISTRICT + 'time_zone = "Europe/Atlantis"\n', "no time zone that this machine knows"),
        (DISTRICT + 'holidays = ["2026-12-25"]\n', "is no date; write it without quotes"),
        (DISTRICT + "step_min = 7\n", "7 is not known; write one of 5, 10, 15"),
        (DISTRICT + 'inflow_value = "flow_lph"\n', "a totaliser's name"),
        ('[[district]]\nzone = "dma-4"\n', "names neither an inflow nor meters"),
        (DISTRICT + DISTRICT.replace("dma-4", "dma-5"), "stands at district[1].inflow"),
        (
            DISTRICT.replace('"meter-1"', '"main-1"'),
            'district[1].meters[1]: "main-1" stands at district[1].inflow[1], line 12 already; '
            "write consumer meters; a main that leaves the district is an outflow",
        ),
        (DISTRICT + 'outflow = "main-1"\n', "name the net totaliser of a main that"),
        (DISTRICT + 'outflow = ["main-1", "main-2"]\n', '"main-2" is measured by nothing here'),
        (DISTRICT.replace("inflow", "outflow"), "district[1].outflow: no inflow is named; write"),
        (DISTRICT + 'except = ["meter-1"]\n', "district[1].except: meters says which ones count"),
        (
            DISTRICT.replace("meters", "except").replace("meter-1", "main-1"),
            "write consumer meters",
        ),
        (
            DISTRICT + 'neighbours = ["dma-4", "dma-9"]\n',
            '"dma-9" is no other district with an inflow',
        ),
        (DISTRICT + 'neighbours = ["dma-5"]\n', "one alone is no common measure; write 2 or more"),
        (DISTRICT + 'temperature = "air-9"\n', '"air-9" is measured by nothing here'),
        (DISTRICT + 'temperature = "main-1"\n', "no inflow is judged alone here; add inflow_alone"),
        (DISTRICT.replace('"main-1"', "7"), "district[1].inflow: 7 where a list belongs"),
        (DISTRICT.replace('"main-1"', '["main-1", 7]'), "district[1].inflow[2]: 7 where a text"),
        (
            DISTRICT + "[[district.planned]]\nfrom = 2026-11-24T22:00:00\n"
            'to = 2026-11-24T21:00:00Z\nreason = "x"\n',
            "no time with its offset from UTC",
        ),
        (
            DISTRICT + "[[district.planned]]\nfrom = 2026-11-24T22:00:00Z\n"
            'to = 2026-11-24T21:00:00Z\nreason = "x"\n',
            "is not after from",
        ),
    ],
)
def test_faults_name_the_line_and_the_remedy(tmp_path: Path, text: str, told: str) -> None:
    assert any(told in fault for fault in faults(tmp_path, text)), faults(tmp_path, text)


def test_an_outlet_of_a_district_may_be_the_inlet_of_the_next(tmp_path: Path) -> None:
    first = DISTRICT.replace('"main-1"', '["main-1"]') + 'outflow = "meter-2"\n'
    text = first + '[[district]]\nzone = "dma-5"\ninflow = "meter-2"\nexcept = "meter-3"\n'
    gas = HEAD.replace('gas = "meter-1"', 'gas = "meter-1", water = "meter-2", heat = "meter-3"')
    (tmp_path / "gateway.toml").write_text(gas + text)
    one, two = load(tmp_path / "gateway.toml").districts
    assert (one.mains, one.signs) == (("main-1", "meter-2"), (1, -1))
    assert (two.mains, two.signs) == (("meter-2",), (1,))
    assert one.counted(["meter-9"]) == ("meter-1",)
    assert two.counted(["meter-9", "meter-3", "meter-2", "meter-8"]) == ("meter-8", "meter-9")


def test_neighbours_are_other_districts_with_an_inflow(tmp_path: Path) -> None:
    serial = '[[serial]]\nname = "{0}"\nport = "socket://127.0.0.1:{0}"\nprofile = "dsmr5"\n'
    serial += 'asset = "main-{0}"\n[[district]]\nzone = "dma-{0}"\ninflow = "main-{0}"\n'
    others = "".join(serial.format(n) for n in (5, 6))
    near = '[[district]]\nzone = "dma-4"\ninflow = "main-1"\ntemperature = "meter-1"\n'
    near += 'neighbours = ["dma-5", "dma-6"]\n'
    *_, district = read(tmp_path, others + near).districts
    assert (district.neighbours, district.temperature) == (("dma-5", "dma-6"), "meter-1")
    alone = near.replace('"dma-5", "dma-6"', '"dma-5", "dma-4"')
    (fault,) = faults(tmp_path, others + alone)
    assert fault.endswith('"dma-4" is no other district with an inflow; write some of dma-5, dma-6')


def test_a_meter_that_is_left_out_is_looked_for_in_the_list_of_assets(tmp_path: Path) -> None:
    """A home of the zone that no district counts is in the zone's sum all the same."""
    node = '[[node]]\nid = "wm-{0}"\nasset = "home-{0}"\nkind = "water_meter"\nport = "udp"\n'
    node += 'key_file = "key"\n'
    (tmp_path / "key").write_text("00" * 16)
    (tmp_path / "key").chmod(0o600)
    nodes = '[udp]\nlisten = "127.0.0.1:5683"\n' + "".join(node.format(n) for n in range(6))
    text = '[[district]]\nzone = "dma-4"\ninflow = "main-1"\nexcept = "home-5"\n'
    config = read(tmp_path, '[city]\nid = "stad"\n' + nodes + text)

    def doubts(zone: str, privacy: str = "") -> list[str]:
        homes = [Asset(f"home-{n}", WATER, zone="dma-4") for n in range(5)]
        other = Asset("home-5", WATER, zone=zone, privacy=privacy)
        found = crossings.doubts(config, [*homes, other])
        return [line for line in found if "dma-4" in line]

    assert doubts("dma-4") == [
        "district dma-4 tells no consumption, since it has other households than the sum of the "
        "zone: home-5; give those a `zone` of their own in the list"
    ]
    assert doubts("dma-5") == ["left out of district dma-4, which has none of them: home-5"]
    assert doubts("dma-4", "public") == []


def test_a_zone_that_the_list_of_assets_does_not_know_is_doubted(tmp_path: Path) -> None:
    config = read(tmp_path, '[city]\nid = "stad"\n' + DISTRICT)
    listed = Asset("meter-1", "WaterConsumptionObserved", zone="dma-5")
    problem = "no asset of the list has the zone dma-4 of a [[district]]: its alarms are held back"
    assert any(line.startswith(problem) for line in crossings.doubts(config, [listed]))
    listed = Asset("meter-1", "WaterConsumptionObserved", zone="dma-4")
    assert not any("dma-4 of a" in line for line in crossings.doubts(config, [listed]))


VALVE = """\
[[modbus]]
name = "plant"
port = "socket://127.0.0.1:2"
framer = "tcp"
[[modbus.device]]
unit = 1
asset = "valve-1"
[[modbus.device.register]]
name = "open_pct"
address = 0
writable = {min = 0, max = 100}
[[modbus.device.register]]
name = "closed"
address = 1
table = "coil"
type = "bool"
writable = {}
[[modbus.device.register]]
name = "seen_pct"
address = 2
"""


def test_what_closes_a_valve_can_be_written_to_it(tmp_path: Path) -> None:
    close = (
        DISTRICT + '[district.valve]\nasset = "valve-1"\nclose = {open_pct = 0, closed = true}\n'
    )
    read(tmp_path, VALVE + close)

    def told(what: str) -> str:
        text = VALVE + close.replace("open_pct = 0, closed = true", what)
        (fault,) = faults(tmp_path, text)
        return fault.partition("valve.close.")[2]

    assert told("open_pc = 0") == (
        "open_pc: is no writable register of valve-1; write one of open_pct, closed"
    )
    assert told("seen_pct = 0").startswith("seen_pct: is no writable register of valve-1")
    assert told("open_pct = 101") == "open_pct: 101 is not what it takes; write 0 to 100"
    assert told("open_pct = nan").endswith("write 0 to 100")
    assert told("open_pct = 2026-11-22").endswith("write a number")
    assert told("open_pct = true").endswith("write a number")
    assert told("closed = 1").endswith("write true or false")
