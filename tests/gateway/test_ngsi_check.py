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
