"""The list on disk: whole after a kill, told when damaged, and the gateway serves without it."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import stat
import subprocess
import sys
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kerbline.agent.assets import Assets
from kerbline.agent.records import Records
from kerbline.agent.standing import Standing
from kerbline.assets import Asset, Location, kept
from kerbline.assets.faults import AssetsFault
from kerbline.assets.kept import AssetsLost
from kerbline.clock import ManualClock
from kerbline.config import Config, Gateway
from kerbline.counters import Counters
from kerbline.keys import KeyRing
from kerbline.local_socket import Declined
from kerbline.model import Alarm
from kerbline.south.nodes import Nodes
from kerbline.store import GroupCommit, GroupPolicy, Store
from tests.gateway.test_assets import LAMP, config

STREET = Asset("s-1", "DeviceMeasurement", location=Location("LineString", ((1, 2), (3, 4, 5.5))))
KILLS = 10

# Writes a list of one asset and a list of 500 by turns, and says each that is kept.
WRITER = """\
import sys
from pathlib import Path
from kerbline.assets import Asset, kept
folder = Path(sys.argv[1])
lists = [[Asset(f"lamp-{n}", "Streetlight") for n in range(size)] for size in (1, 500)]
while True:
    for each in lists:
        kept.write(folder, each)
        print(len(each), flush=True)
"""


def summed(assets: bytes) -> bytes:
    """A file whose checksum is right, whatever stands in it."""
    return b'{"format": 1, "crc32": %d, "assets": %s}' % (zlib.crc32(assets), assets)


def test_a_list_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    assert kept.read(tmp_path) == []
    kept.write(tmp_path, [LAMP, STREET])
    assert kept.read(tmp_path) == [LAMP, STREET]
    assert stat.S_IMODE((tmp_path / "assets.json").stat().st_mode) == 0o600
    kept.write(tmp_path, [])
    assert kept.read(tmp_path) == []
    assert [each.name for each in tmp_path.iterdir()] == ["assets.json"]


def test_a_writer_that_is_killed_leaves_a_whole_list(tmp_path: Path) -> None:
    sizes = set()
    for number in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(1 + number % 3):
                writer.stdout.readline()
            writer.kill()
        sizes.add(len(kept.read(tmp_path)))
    assert sizes <= {1, 500}
    kept.write(tmp_path, [LAMP])  # what a killed one left is not in the way
    assert [each.name for each in tmp_path.iterdir()] == ["assets.json"]


def test_a_full_disk_leaves_the_list_as_it_was(tmp_path: Path) -> None:
    kept.write(tmp_path, [LAMP])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(AssetsFault, match=r"assets\.json: can't be written: File too large"):
            kept.write(tmp_path, [replace(LAMP, id=f"lamp-{n}") for n in range(100)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert kept.read(tmp_path) == [LAMP]
    assert [each.name for each in tmp_path.iterdir()] == ["assets.json"]


def test_two_imports_at_once_do_not_lose_one_of_them(tmp_path: Path) -> None:
    with (
        kept.held(tmp_path),
        pytest.raises(AssetsFault, match="another import is under way; try again"),
        kept.held(tmp_path),
    ):
        pass
    with kept.held(tmp_path):
        pass


@pytest.mark.parametrize("byte", [*range(0, 60, 7), -3])
def test_a_flipped_bit_is_found(tmp_path: Path, byte: int) -> None:
    kept.write(tmp_path, [LAMP])
    content = bytearray((tmp_path / "assets.json").read_bytes())
    content[byte] ^= 1
    (tmp_path / "assets.json").write_bytes(content)
    with pytest.raises(AssetsLost, match="import the list again with --replace"):
        kept.read(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"7",
        b'{"format": 1, "crc32": 0, "assets": []}',
        summed(b"7"),
        summed(b"[7]"),
        summed(b'[{"id":"lamp-1"}]'),
        summed(b'[{"id":"lamp-1","type":"Streetlight","location":7}]'),
        b"\xff" * 40,
    ],
)
def test_what_is_no_list_of_ours_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "assets.json").write_bytes(content)
    with pytest.raises(AssetsLost, match=r"assets\.json: damaged; import the list again with"):
        kept.read(tmp_path)


def test_a_list_of_another_version_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "assets.json").write_text('{"format": 2, "crc32": 0, "assets": []}')
    with pytest.raises(AssetsLost, match="format 2, written by another version of kerbline"):
        kept.read(tmp_path)


def test_a_new_list_is_kept_beside_the_damaged_one(tmp_path: Path) -> None:
    (tmp_path / "assets.json").write_text("damaged")
    kept.write(tmp_path, [LAMP])
    assert kept.read(tmp_path) == [LAMP]
    assert (tmp_path / "assets.damaged").read_text() == "damaged"


def test_a_gateway_serves_without_a_list_and_says_what_it_lacks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assets = Assets(config(tmp_path))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "assets.json").write_text("damaged")
    assets.start()
    (said,) = caplog.messages
    assert said.startswith("serving without the list of assets: ")
    assert said.endswith("assets.json: damaged; import the list again with --replace")
    assert assets.told()["lost"]
    assert assets.registry.personal("gas-1")
    assert not assets.registry.personal("lamp-1")


async def one_life(
    folder: Path, assets: Assets, imported: Sequence[Asset] = ()
) -> list[tuple[str, str, bool]]:
    """The alarms of a gateway that begins and, where one is imported, takes a list up."""
    (folder / "state").mkdir(exist_ok=True)
    store = Store.open(folder / "state" / "store.db")
    clock = ManualClock(1_790_000_000_000)
    group = GroupCommit(store, GroupPolicy(), clock.utc_ms)
    nodes = Nodes(Config(Gateway("gw-1", folder)), KeyRing(folder / "keys"), clock, Counters())
    records = Records("gw-1", store.begin_epoch(clock.utc_ms() // 1000), group, [], nodes, clock)
    before = store.head
    assets.start()
    watching = asyncio.create_task(assets.watch(Standing(store, group), records))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if imported:
        kept.write(folder / "state", imported)
        await assets.reload({})
        await asyncio.sleep(0)
    group.stop()
    await group.run()
    watching.cancel()
    entries = [entry for batch in store.read(before, 100) for entry in batch.entries]
    await group.close()
    return [(a.asset, a.rule, a.active) for a in entries if isinstance(a, Alarm)]


def test_a_lost_list_is_an_alarm_until_there_is_one_again(tmp_path: Path) -> None:
    path = tmp_path / "state" / "assets.json"
    city = config(tmp_path)
    assert asyncio.run(one_life(tmp_path, Assets(city))) == []
    path.write_text("damaged")
    assert asyncio.run(one_life(tmp_path, Assets(city))) == [("gw-1", "assets_lost", True)]
    assert asyncio.run(one_life(tmp_path, Assets(city))) == []  # it stands
    kept.write(path.parent, [LAMP])
    assert asyncio.run(one_life(tmp_path, Assets(city))) == [("gw-1", "assets_lost", False)]
    path.write_text("damaged again")
    assert asyncio.run(one_life(tmp_path, Assets(city), [LAMP])) == [
        ("gw-1", "assets_lost", True),
        ("gw-1", "assets_lost", False),
    ]


def test_a_running_gateway_keeps_its_list_when_the_new_one_is_damaged(tmp_path: Path) -> None:
    assets = Assets(config(tmp_path))
    (tmp_path / "state").mkdir()
    kept.write(tmp_path / "state", [LAMP])
    assets.start()
    lamp = assets.registry.asset("lamp-1")
    (tmp_path / "state" / "assets.json").write_text("damaged")
    with pytest.raises(Declined, match="the list as it was is in use"):
        asyncio.run(assets.reload({}))
    assert assets.registry.asset("lamp-1") is lamp
    assert assets.told() == {
        "listed": 1,
        "not_listed": ["meter-1", "cabinet-1", "feeder-1", "gas-1"],
        "lost": False,
    }
    before = assets.registry.revision
    kept.write(tmp_path / "state", [replace(LAMP, zone="z-9")])
    assert asyncio.run(assets.reload({})) == {"listed": 1, "personal_now": []}
    assert assets.registry.asset("lamp-1").zone == "z-9"
    assert assets.registry.revision > before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_imports_the_gateways_user_can_read(tmp_path: Path) -> None:
    os.chown(tmp_path, 12_345, 12_346)
    kept.write(tmp_path, [LAMP])
    status = (tmp_path / "assets.json").stat()
    assert (status.st_uid, status.st_gid) == (12_345, 12_346)
