"""A simulated meter that sleeps: its own node, wake after wake, on a street's clock."""

import asyncio
import json

from kerbnode import app, nvs, orders, settings
from kerbnode.hal import Restart
from kerbnode.hal.sim import DEEP_SLEEP, Board
from kerbnode.rest import AWAKE_MS, FIRST_MS
from kerbnode.sim.sleeper import Sleeper
from node import scratch
from node.test_board import NOON_MS, powered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DAY_MS = 86_400_000
SETTINGS = {"node_id": "n", "asset": "water_meter", "report_s": 3600}
POWER_ON = 1


class Night(Board):
    """A board whose street's time is moved by hand."""

    now = NOON_MS

    def street_now(self) -> int:
        return self.now

    def restart(self) -> None:
        raise Restart


class Silence:
    """A line."""

    def write(self, data: bytes) -> None:
        """Nobody hears it."""


class Dozing(Sleeper):
    """Naps of seconds that cost none."""

    def nap(self) -> None:
        Night.now += 2500


def lives(place: str) -> "tuple[int, int, int]":
    """One whole node from its start to its sleep: (reset cause, ms awake, litres at its start)."""
    board = Night(place)
    board.open()
    cause = board.reset_cause()
    node = app.Node(board, settings.load(board.nvs), (0, bytes(16)))
    rest = node.assemble()._concerns[-1]
    rest._chip = Dozing(board)
    began_ms = Night.now
    node.sense.tick()
    litres = node.instruments.asset.flow.forward
    assert litres == board.feel_litres(), "each litre that the street has made, once"
    try:
        while True:
            rest.look()
            Night.now += 200
            node.sense.tick()
            awake_ms = Night.now - began_ms
    except Restart:
        return cause, awake_ms, litres


def test_every_litre_of_a_day_counts_once_asleep_or_awake() -> None:
    board, place = powered(NOON_MS, "water_meter")
    with open(place + "/world.json") as file:
        world = json.load(file)
    world["water"] = {"seed": 3, "sleeps": True}
    with open(place + "/world.json", "w") as file:
        json.dump(world, file)
    nvs.set_checked(board.nvs, "settings", json.dumps(SETTINGS).encode())
    Night.now = NOON_MS
    cause, awake_ms, litres = lives(place)
    assert (cause, litres) == (POWER_ON, 0) and awake_ms >= FIRST_MS
    starts = 0
    while Night.now < NOON_MS + DAY_MS:
        cause, awake_ms, litres = lives(place)
        starts += 1
        assert cause == DEEP_SLEEP and awake_ms <= AWAKE_MS + 1000
    meter = Night(place)
    meter.open()
    assert 23 <= starts <= 40, "each hour's report, and alarms"
    assert litres > 100
    assert meter.rtc.water is not None
    made = meter.rtc.water.millilitres(Night.now) // 1000
    assert meter.rtc.seen == made
    scratch.remove(place)


def test_an_ordered_restart_counts_what_comes_while_flash_is_written() -> None:
    board, place = powered(NOON_MS, "water_meter")
    with open(place + "/world.json") as file:
        world = json.load(file)
    world["water"] = {"sleeps": True, "leak_from_street_ms": NOON_MS, "leak_lph": 7200}
    with open(place + "/world.json", "w") as file:
        json.dump(world, file)
    nvs.set_checked(board.nvs, "settings", json.dumps(SETTINGS).encode())
    Night.now = NOON_MS
    for _ in range(3):
        board = Night(place)
        board.open()
        node = app.Node(board, settings.load(board.nvs), (0, bytes(16)))
        rest = node.assemble()._concerns[-1]
        rest._chip = Dozing(board)
        node.sense.tick()
        assert node.instruments.asset.flow.forward == board.feel_litres()
        for _ in range(10):
            Night.now += 200
            node.sense.tick()
            rest.look()
        closed = node.journal.close

        def slowly(closed: "Callable[[], None]" = closed) -> None:
            closed()
            Night.now += 3000  # water flows on

        node.journal.close = slowly
        try:
            asyncio.run(orders.leave(node, Silence()))
            raise AssertionError("no restart")
        except Restart:
            pass
    assert board.feel_litres() >= 3 * 10
    scratch.remove(place)


def test_a_meter_stays_awake_where_the_street_says_nothing() -> None:
    board, place = powered(NOON_MS, "water_meter")
    node = app.Node(board, settings.Settings(SETTINGS), (0, bytes(16)))
    assert board.rest(node, ("forward", "backward")) is None
    scratch.remove(place)
