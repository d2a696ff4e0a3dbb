"""`kerbline check` tells what a city's broker would never get."""

from __future__ import annotations

from pathlib import Path

from tests.gateway.test_cli import kerbline

CONFIG = """
[gateway]
id = "gw-1"
state_dir = "state"
[city]
id = "sjoestad"
[[modbus]]
name = "b1"
port = "/dev/ttyUSB0"
[[modbus.device]]
unit = 1
asset = "pump-1"
profile = "tuf-2000m"
"""
BROKER = '[[ngsi_ld]]\nname = "city"\nurl = "https://broker.example"\n'


def test_check_tells_what_no_entity_has_a_place_for(tmp_path: Path) -> None:
    config, table = tmp_path / "gateway.toml", tmp_path / "a.csv"
    table.write_text("id,type,privacy\npump-1,,public\n")
    config.write_text(CONFIG)
    (tmp_path / "state").mkdir()
    kerbline("assets", "import", config, table)
    assert kerbline("check", config).stderr == ""
    config.write_text(CONFIG + BROKER)
    assert kerbline("check", config).stderr.splitlines() == [
        f"warning: {config}: no place, which their entities have to have: pump-1",
        f"warning: {config}: pump-1 is a StreetlightControlCabinet, and none of its values is one "
        "of a cabinet's: nothing of it leaves; give it another type in the list of assets",
    ]
    table.write_text("id,type\npump-1,DeviceMeasurement\n")
    kerbline("assets", "import", config, table)
    assert kerbline("check", config).stderr == ""


SERIAL = """
[[serial]]
name = "p1"
port = "/dev/ttyUSB1"
profile = "{profile}"
asset = "main-1"
"""


def told(folder: Path, config: str, table: str) -> list[str]:
    """What `kerbline check` says of a config and a list, without the places that are missing."""
    path = folder / "gateway.toml"
    path.write_text(config)
    (folder / "a.csv").write_text(f"id,type,privacy,lat,lon\n{table}\n")
    (folder / "state").mkdir(exist_ok=True)
    kerbline("assets", "import", path, folder / "a.csv", "--replace")
    head = f"warning: {path}: "
    return [each.removeprefix(head) for each in kerbline("check", path).stderr.splitlines()]


def test_a_meter_of_water_whose_volume_nobody_finds_is_told(tmp_path: Path) -> None:
    pump = "pump-1,WaterConsumptionObserved,public,59,18"
    assert told(tmp_path, CONFIG + BROKER, pump) == [
        "pump-1 is a WaterConsumptionObserved, and none of its values is its volume: only litres "
        "and flow leave, if any; call a register volume_l or volume_m3, or give it "
        'attribute = "waterConsumption"'
    ]
    register = '[[modbus.device.register]]\nname = "net_m3"\naddress = 500\n'
    named = register + 'attribute = "waterConsumption"\n'
    assert told(tmp_path, CONFIG + named + BROKER, pump) == []


def test_a_serial_device_of_another_kind_than_its_asset_is_told(tmp_path: Path) -> None:
    base = CONFIG.partition("[[modbus]]")[0]
    meter = "main-1,WaterConsumptionObserved,public,59,18"
    found = told(tmp_path, base + SERIAL.format(profile="iec62056-21") + BROKER, meter)
    assert ["none of its values is its volume" in each for each in found] == [True]
    assert told(tmp_path, base + SERIAL.format(profile="iec62056-21-heat") + BROKER, meter) == []
    air = "main-1,AirQualityObserved,public,59,18"
    found = told(tmp_path, base + SERIAL.format(profile="nmea-gnss") + BROKER, air)
    assert found == [
        "main-1 is a AirQualityObserved, and none of its values is one of its model's: nothing of "
        "it leaves; give it another type in the list of assets"
    ]
    assert told(tmp_path, base + SERIAL.format(profile="pms5003") + BROKER, air) == []
