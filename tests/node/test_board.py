"""The simulated board and its instruments: every sensor feels something sensible."""

import json
import os

from kerbnode import board as wiring
from kerbnode import nvs
from kerbnode.hal.sim import Board
from kerbnode.settings import Settings
from kerbwire.schema import by_name
from node import scratch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.instruments import Instruments

NOON_MS = 1_750_507_200_000  # 2025-06-21 12:00 UTC
NIGHT_MS = NOON_MS + 12 * 3_600_000


def powered(street_ms: int, kind: str) -> "tuple[Board, str]":
    """A board whose street stands still, so that each test sees one instant."""
    place = scratch.folder()
    os.mkdir(place + "/nvs")
    world = {
        "clock": [[0, street_ms, 0]],
        "latitude": 52.37,
        "longitude": 4.9,
        "position_m": 30,
        "cars": [[street_ms, 25, 10, 1]],
        "witness": place + "/made.jsonl",
    }
    with open(place + "/world.json", "w") as file:
        file.write(json.dumps(world))
    board = Board(place)
    nvs.set_checked(board.nvs, "settings", json.dumps({"node_id": "n", "asset": kind}).encode())
    board.open()
    return board, place


def built(street_ms: int, kind: str) -> "tuple[Instruments, Board, str]":
    board, place = powered(street_ms, kind)
    made: Instruments = getattr(wiring, kind)(board)
    made.begin(Settings({"node_id": "n", "asset": kind, "position": [52.37, 4.9]}), None)
    return made, board, place


def test_a_lamp_is_dark_at_noon_and_lights_a_car_by_night() -> None:
    head, _, place = built(NOON_MS, "streetlight")
    for tick in range(100):
        head.tick(tick * 100, NOON_MS)
    assert head.asset.level == 0
    scratch.remove(place)
    head, _, place = built(NIGHT_MS, "streetlight")
    for tick in range(10):
        head.tick(tick * 100, NIGHT_MS)
    assert head.asset.level == 1000
    level_pct, power_dw, _, _, celsius, status, _ = head.asset.values()
    assert (level_pct, power_dw, status) == (100, 605, 3)
    assert 5 <= celsius <= 40
    with open(place + "/made.jsonl") as file:
        told = [json.loads(line) for line in file]
    assert told[-1]["pct"] == 100
    assert told[-1]["node"] == "n"
    scratch.remove(place)


def test_an_air_station_reads_its_chips() -> None:
    station, _, place = built(NOON_MS, "air_quality")
    for ms in range(0, 900_000, 500):
        assert not station.tick(ms, NOON_MS)
    values = station.asset.values()
    assert len(values) == by_name("air_quality").width
    pm1, pm2_5, pm10, co2, no2, celsius, humidity, hectopascal, status = values
    assert 0 < pm1 < pm2_5 < pm10 < 1000
    assert 400 <= co2 <= 600
    assert 50 <= no2 <= 400
    assert 50 <= celsius <= 300
    assert 300 <= humidity <= 1000
    assert 9900 <= hectopascal <= 10_300
    assert status == 1 << 24, "the gas cell has not settled"
    scratch.remove(place)


def test_a_water_meter_counts_its_household() -> None:
    meter, board, place = built(NOON_MS, "water_meter")
    meter.tick(0, NOON_MS)
    assert meter.asset.values() == (0, 0, 0, 3600, 0) + (0,) * 24
    assert board.uptime_ms() == 0
    scratch.remove(place)


def test_the_witness_gets_each_record_as_it_is_made() -> None:
    board, place = powered(NOON_MS, "streetlight")
    board.made("streetlight", (9, 4, 1, 60, (30, 185, 0, 0, 12, 1)), 77)
    with open(place + "/made.jsonl") as file:
        told = json.loads(file.readline())
    assert told["real_ms"] > 0
    del told["real_ms"]
    assert told == {
        "t": "made",
        "node": "n",
        "epoch": 77,
        "rseq": 9,
        "kind": "streetlight",
        "uptime_s": 60,
        "values": [30, 185, 0, 0, 12, 1],
    }
    scratch.remove(place)
