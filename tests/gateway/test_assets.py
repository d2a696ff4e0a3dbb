"""The registry: what an asset is, whose it is, and that its id outlives the device at it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kerbline.assets import Asset, Location, Registry
from kerbline.assets.metered import kinds
from kerbline.config import Config, ConfigFault, load

CONFIG = """\
[gateway]
id = "gw-1"
state_dir = "state"
[city]
id = "sjoestad"
owner = "Gatukontoret"
[udp]
listen = "[::1]:5683"
[[node]]
id = "sl-0001"
asset = "lamp-1"
kind = "streetlight"
key_file = "node.key"
port = "udp"
[[node]]
id = "wm-0001"
asset = "meter-1"
kind = "water_meter"
key_file = "node.key"
port = "udp"
[[modbus]]
name = "cabinet"
port = "socket://127.0.0.1:1"
framer = "tcp"
[[modbus.device]]
unit = 1
asset = "cabinet-1"
[[modbus.device.register]]
name = "power_w"
address = 0
[[serial]]
name = "main"
port = "socket://127.0.0.1:2"
profile = "dsmr5"
asset = "feeder-1"
assets = {gas = "gas-1"}
"""
LAMP = Asset("lamp-1", "Streetlight", "By the harbour", Location("Point", ((18.1, 59.3),)), "g-1")


def config(folder: Path, text: str = CONFIG) -> Config:
    (folder / "node.key").write_text("00112233445566778899aabbccddeeff")
    (folder / "node.key").chmod(0o600)
    path = folder / "gateway.toml"
    path.write_text(text)
    return load(path)


def test_an_asset_that_only_the_config_names_is_what_its_device_makes_it(tmp_path: Path) -> None:
    registry = Registry("sjoestad", [LAMP], kinds(config(tmp_path)), "Gatukontoret")
    assert registry.asset("lamp-1") == replace(LAMP, owner="Gatukontoret")
    assert [(each.id, each.type) for each in registry.all()] == [
        ("lamp-1", "Streetlight"),
        ("meter-1", "WaterConsumptionObserved"),
        ("cabinet-1", "StreetlightControlCabinet"),
        ("feeder-1", "DeviceMeasurement"),
        ("gas-1", "DeviceMeasurement"),
    ]
    assert registry.asset("air-9", "air_quality").type == "AirQualityObserved"  # of an old reading


def test_another_node_under_an_asset_changes_no_id(tmp_path: Path) -> None:
    before = Registry("sjoestad", [LAMP], kinds(config(tmp_path)))
    swapped = CONFIG.replace('"sl-0001"', '"sl-0999"')
    after = Registry("sjoestad", [LAMP], kinds(config(tmp_path, swapped)))
    for registry in (before, after):
        found = registry.asset("lamp-1")
        assert registry.urn(found.type, found.id) == "urn:ngsi-ld:Streetlight:sjoestad:lamp-1"
    assert before.all() == after.all()


@pytest.mark.parametrize(
    "second",
    ['asset = "meter-1"', 'asset = "cabinet-1"', 'asset = "feeder-1"', 'assets = {gas = "gas-1"}'],
)
def test_two_devices_that_claim_one_asset_are_told(tmp_path: Path, second: str) -> None:
    claimed = second.replace(second.split('"')[1], "lamp-1")
    line = next(n for n, text in enumerate(CONFIG.splitlines(), 1) if second in text)
    with pytest.raises(ConfigFault) as told:
        config(tmp_path, CONFIG.replace(second, claimed))
    (fault,) = told.value.faults
    assert fault.line == line
    assert fault.problem == '"lamp-1" stands at node[1].asset, line 11 already'


@pytest.mark.parametrize("own", ['id = "sl-0001"', 'asset = "meter-1"', 'asset = "cabinet-1"'])
def test_what_is_called_as_the_gateway_is_told(tmp_path: Path, own: str) -> None:
    """Whatever the gateway says of itself is public, and so it has a name of its own."""
    name = own.split('"')[1]
    line = next(n for n, text in enumerate(CONFIG.splitlines(), 1) if own in text)
    with pytest.raises(ConfigFault) as told:
        config(tmp_path, CONFIG.replace(own, own.replace(name, "gw-1")))
    (fault,) = told.value.faults
    assert fault.line == line
    assert fault.problem == '"gw-1" stands at gateway.id, line 2 already'


def test_a_group_is_whole_though_other_gateways_serve_a_part_of_it(tmp_path: Path) -> None:
    far = replace(LAMP, id="lamp-2", zone="z-1")
    registry = Registry("sjoestad", [LAMP, far], kinds(config(tmp_path)))
    assert registry.groups() == {"g-1": [LAMP, far]}
    assert registry.zones() == {"z-1": [far]}
    assert far in registry.all()
    assert far not in registry.served()


def test_a_water_meter_is_personal_until_the_list_says_public(tmp_path: Path) -> None:
    registry = Registry("sjoestad", [LAMP], kinds(config(tmp_path)))
    served = [each.id for each in registry.served() if registry.personal(each.id)]
    assert served == ["meter-1", "feeder-1", "gas-1"]
    assert registry.personal("gone", "water_meter")
    registry.take(
        [
            Asset("meter-1", "WaterConsumptionObserved", privacy="public"),
            Asset("gas-1", "DeviceMeasurement", privacy="personal"),
            Asset("feeder-1", "DeviceMeasurement", privacy="public"),
        ]
    )
    assert [each.id for each in registry.served() if registry.personal(each.id)] == ["gas-1"]
    registry.take([Asset("meter-1", "DeviceMeasurement")])
    assert registry.personal("meter-1")  # whatever it is called: its device is a meter's


def test_what_a_meter_told_stays_personal_though_a_lamp_has_its_id_now(tmp_path: Path) -> None:
    registry = Registry("sjoestad", [LAMP], kinds(config(tmp_path)))
    assert not registry.personal("lamp-1", "streetlight")
    assert registry.personal("lamp-1", "water_meter")  # of a replay
    registry.take([replace(LAMP, privacy="public")])
    assert not registry.personal("lamp-1", "water_meter")


WATER_UNIT = """
[[modbus.device]]
unit = 2
asset = "water-1"
profile = "tuf-2000m"
"""


def test_a_meter_of_a_home_is_personal_whatever_line_it_hangs_on(tmp_path: Path) -> None:
    """Water, gas and heat on any line, and electricity where no cabinet's meter hangs."""
    text = CONFIG.replace("[[serial]]", f"{WATER_UNIT}[[serial]]", 1)
    dust = '[[serial]]\nname = "dust"\nport = "/dev/x"\nprofile = "pms5003"\nasset = "dust-1"\n'
    whole = config(tmp_path, text + dust)
    registry = Registry("sjoestad", [], kinds(whole))
    homes = {"meter-1", "water-1", "feeder-1", "gas-1"}
    assert {each.id for each in registry.served() if registry.personal(each.id)} == homes
    registry.take([replace(each, owner="") for each in registry.all()])  # an export, as it came
    assert {each.id for each in registry.served() if registry.personal(each.id)} == homes
    registry.take([replace(each, privacy="public") for each in registry.all()])
    assert not any(registry.personal(each.id) for each in registry.served())


def test_what_is_listed_and_not_in_the_config_is_open_where_its_type_says_so(
    tmp_path: Path,
) -> None:
    away = [Asset("cab-9", "StreetlightControlCabinet"), Asset("m-9", "DeviceMeasurement")]
    registry = Registry("sjoestad", away, kinds(config(tmp_path)))
    for kind in ("modbus", "serial", "event", ""):
        assert not registry.personal("cab-9", kind)
        assert registry.personal("m-9", kind)


def test_what_nobody_says_of_an_asset_of_the_log_is_personal(tmp_path: Path) -> None:
    registry = Registry("sjoestad", [LAMP], kinds(config(tmp_path)), gateway="gw-1")
    assert registry.personal("gone")  # of an alarm
    assert registry.personal("gone", "event")
    assert not registry.personal("gone", "streetlight")
    assert registry.personal("gone", "modbus")
    assert registry.personal("gone", "serial")
    assert not registry.personal("lamp-1", "event")
    assert not registry.personal("gw-1")


def test_while_the_list_is_lost_only_street_lights_and_air_are_open(tmp_path: Path) -> None:
    registry = Registry("sjoestad", [LAMP], kinds(config(tmp_path)))
    before = registry.revision
    registry.take([], lost=True)
    assert registry.revision > before
    assert [each.id for each in registry.served() if not registry.personal(each.id)] == ["lamp-1"]
