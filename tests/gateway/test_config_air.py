"""What `[air]` may say, and what its faults say."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerbline.config import Config, ConfigFault, load
from kerbline.control.air.configured import periods, terms
from kerbline.control.air.events import EU_2008, Threshold

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
NODE = """\
[[node]]
id = "aq-{0}"
asset = "air-{0}"
kind = "air_quality"
key_file = "node.key"
port = "/dev/tty{0}"
report_s = {1}
"""


def read(folder: Path, text: str) -> Config:
    (folder / "node.key").write_text("00112233445566778899aabbccddeeff")
    (folder / "node.key").chmod(0o600)
    (folder / "gateway.toml").write_text(HEAD + text)
    return load(folder / "gateway.toml")


def test_every_node_of_the_kind_is_a_station_and_so_is_the_reference(tmp_path: Path) -> None:
    text = NODE.format(1, 60) + NODE.format(2, 86_400)
    assert periods(read(tmp_path, text + "[air]\n")) == {"air-1": 1, "air-2": 60}
    air = '[air]\nstations = ["air-2"]\nsensor_type = "plantower"\nreference = "main-1"\n'
    config = read(tmp_path, text + air)
    assert periods(config) == {"air-2": 60, "main-1": 15}
    assert config.air is not None
    assert terms(config.air).reference == "main-1"


def test_own_thresholds_stand_beside_those_of_the_directive(tmp_path: Path) -> None:
    text = '[air]\nthresholds = "eu2008"\n[[air.threshold]]\nname = "school"\n'
    text += 'pollutant = "pm2_5"\nabove_ugm3 = 35\nmean_h = 8\nhold_h = 2\ncritical = true\n'
    config = read(tmp_path, NODE.format(1, 60) + text)
    assert config.air is not None
    own = Threshold("air_school", "pm2_5", 35.0, 8, 2, critical=True)
    assert terms(config.air).thresholds == (*EU_2008, own)


THRESHOLD = '[[air.threshold]]\nname = "a"\npollutant = "o3"\nabove_ugm3 = 100\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[air]\n", "there is no [[node]] of kind air_quality"),
        ('[air]\nstations = ["air-7"]\n', '"air-7" is no asset of a device that measures air'),
        ('[air]\nstations = ["main-1", "main-1"]\n', "stands at air.stations"),
        ('[air]\nstations = ["main-1"]\nreference = "meter-1"\n', "nothing is corrected"),
        (
            '[air]\nstations = ["main-1"]\nsensor_type = "nova"\n',
            'write one of "none", "plantower"',
        ),
        (
            '[air]\nstations = ["main-1"]\n' + THRESHOLD.replace("o3", "co"),
            "air.threshold[1].pollutant",
        ),
        ('[air]\nstations = ["main-1"]\n' + THRESHOLD + "mean_h = 3\n", "write one of 1, 8, 24"),
        ('[air]\nstations = ["main-1"]\n' + THRESHOLD * 2, "stands at air.threshold[1].name"),
        ('[air]\nstations = ["main-1"]\nwait = 3\n', "did you mean wait_min?"),
    ],
)
def test_faults_name_their_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigFault) as caught:
        read(tmp_path, text)
    (found,) = [str(fault) for fault in caught.value.faults]
    assert told in found
    assert found.startswith(f"{tmp_path / 'gateway.toml'}:")


def test_no_threshold_has_the_name_of_another_alarm(tmp_path: Path) -> None:
    own = '[[air.threshold]]\nname = "{}"\npollutant = "o3"\nabove_ugm3 = 9.0\n'
    for each in EU_2008:
        text = NODE.format(1, 900) + "[air]\n" + own.format(each.rule.removeprefix("air_"))
        with pytest.raises(ConfigFault, match="is the name of another alarm"):
            read(tmp_path, text)
        assert read(tmp_path, text.replace("[air]", '[air]\nthresholds = "none"')).air
