"""What a `[[district]]` may say, and what its faults say."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerbline.assets import Asset, crossings
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


def test_a_zone_that_the_list_of_assets_does_not_know_is_doubted(tmp_path: Path) -> None:
    config = read(tmp_path, '[city]\nid = "stad"\n' + DISTRICT)
    listed = Asset("meter-1", "WaterConsumptionObserved", zone="dma-5")
    problem = "no asset of the list has the zone dma-4 of a [[district]]: its alarms are held back"
    assert any(line.startswith(problem) for line in crossings.doubts(config, [listed]))
    listed = Asset("meter-1", "WaterConsumptionObserved", zone="dma-4")
    assert not any("dma-4 of a" in line for line in crossings.doubts(config, [listed]))
