"""The composed node: what it does with commands and with time, on its simulated board."""

import asyncio

from kerbnode import orders
from kerbnode.app import Node
from kerbnode.assets.streetlight import Inputs
from kerbnode.diagnosis import diagnosis
from kerbnode.settings import Settings
from kerbwire import messages as m
from node import scratch
from node.test_board import NOON_MS, powered

UTC_MS = 1_795_300_000_000
LATER_S = UTC_MS // 1000 + 60


class Running:
    """An assembled node whose concerns do not run; its events are read from its journal."""

    def __init__(self) -> None:
        self.board, self.place = powered(NOON_MS, "streetlight")
        settings = Settings({"node_id": "n", "asset": "streetlight"})
        self.node = Node(self.board, settings, (0, bytes(16)))
        self.node.assemble()

    def events(self) -> "list[tuple[int, ...]]":
        return [record[4] for record in self.node.journal.pending if record[1] == m.EVENT]


def test_each_boot_is_told_and_counted() -> None:
    running = Running()
    assert running.events() == [(m.EV_BOOT, 1)]
    first = running.node.session.info.boot_id
    running.node.stop()
    again = Node(running.board, running.node.settings, (0, bytes(16)))
    again.assemble()
    assert again.session.info.boot_id == first + 1
    assert again.journal.gaps == []
    assert again.journal.next == 3
    again.describe(0)
    assert (again.session.info.first_rseq, again.session.info.next_rseq) == (1, 3)
    scratch.remove(running.place)


def test_a_command_needs_time_first_and_then_moves_the_lamp() -> None:
    running = Running()
    node = running.node
    order = (1, LATER_S, m.OP_SET_LEVEL, (40, 60, 0))
    assert node.obey(order[0], order[1], order[2], order[3], 5) == (m.NO_TIME, 0)
    node.take_time(UTC_MS, 20, 10)
    assert node.obey(order[0], order[1], order[2], order[3], 20) == (m.OK, 0)
    assert node.instruments.asset._override == 400
    node.clock.trusted = False  # another session
    assert node.obey(order[0], order[1], order[2], order[3], 30) == (m.OK, 0)
    assert node.obey(2, LATER_S, m.OP_RELEASE, (), 30) == (m.NO_TIME, 0)
    scratch.remove(running.place)


def test_what_came_too_late_or_makes_no_sense_is_refused() -> None:
    running = Running()
    node = running.node
    node.take_time(UTC_MS, 20, 0)
    assert node.obey(1, UTC_MS // 1000, m.OP_RELEASE, (), 0) == (m.EXPIRED, 0)
    assert node.obey(2, LATER_S, m.OP_SET_LEVEL, (140, 0, 0), 0) == (m.OUT_OF_RANGE, 0)
    assert node.obey(3, LATER_S, 77, (), 0) == (m.UNSUPPORTED, 0)
    assert node.commands.highest == 3
    assert not node.leaving
    scratch.remove(running.place)


class Turns:
    """A session, and its line, on which the node may speak when it is asked to."""

    def __init__(self) -> None:
        self.waiting = b"result"
        self.asked = False
        self.heard = b""

    def outgoing(self, now: int) -> bytes:
        data, self.waiting = (self.waiting, b"") if self.asked else (b"", self.waiting)
        return data

    def write(self, data: bytes) -> None:
        self.heard += data


def test_who_restarts_by_order_says_so_when_its_turn_comes() -> None:
    running = Running()
    node = running.node
    line = node.session = Turns()
    node.board.reset = lambda: None
    before, orders.LEAVE_S = orders.LEAVE_S, 0.03

    async def turn() -> None:
        leaving = asyncio.create_task(orders.leave(node, line))
        await asyncio.sleep(0.01)
        assert line.heard == b""
        line.asked = True
        node.link_wake.set()
        await leaving

    try:
        asyncio.run(turn())
    finally:
        orders.LEAVE_S = before
    assert line.heard == b"result"
    scratch.remove(running.place)


def test_a_restart_is_obeyed_once_in_a_lifetime() -> None:
    running = Running()
    node = running.node
    node.take_time(UTC_MS, 20, 0)
    assert node.obey(4, LATER_S, m.OP_REBOOT, (), 0) == (m.OK, 0)
    assert node.leaving
    node.stop()
    again = Node(running.board, node.settings, (0, bytes(16)))
    again.assemble()
    again.take_time(UTC_MS, 20, 0)
    assert again.obey(4, LATER_S, m.OP_REBOOT, (), 0) == (m.REPLAYED, 0)
    assert not again.leaving
    scratch.remove(running.place)


def test_a_clock_that_jumps_says_so() -> None:
    running = Running()
    running.node.take_time(UTC_MS, 20, 0)
    running.node.take_time(UTC_MS + 600_000, 20, 0)
    assert running.events()[1:] == [(m.EV_CLOCK_JUMP, 600)]
    scratch.remove(running.place)


def test_totals_go_on_after_a_power_cut() -> None:
    running = Running()
    asset, inputs = running.node.instruments.asset, Inputs()
    asset.command(m.OP_SET_LEVEL, (100, 0, 0), 0)
    asset.step(0, inputs)
    asset.step(7_200_000, inputs)
    running.node.store.save()
    again = Node(running.board, running.node.settings, (0, bytes(16)))
    again.assemble()
    assert again.instruments.asset.values()[3] == 2
    assert again.journal.gaps[0][2] == m.GAP_POWER
    scratch.remove(running.place)


def test_a_config_works_at_once_and_after_a_restart() -> None:
    running = Running()
    node = running.node
    profile = bytes((0, 0, 55))
    assert orders.configure(node, 3, {m.CONFIG_PROFILE: profile}, 0) == m.OK
    info = node.session.info
    assert (info.config_version, info.period_s) == (3, 900)
    assert node.session.outgoing(0) == b""  # no new session for that
    assert orders.configure(node, 4, {m.CONFIG_PROFILE: profile, m.CONFIG_REPORT_S: 60}, 0) == m.OK
    assert (info.config_version, info.period_s) == (4, 60)
    assert node.session.outgoing(0) != b""  # HELLO: both ends count with the new period
    assert orders.configure(node, 4, {}, 0) == m.OK
    assert orders.configure(node, 3, {}, 0) == m.REPLAYED
    assert orders.configure(node, 5, {9: 9}, 0) == m.UNSUPPORTED and info.config_version == 4
    node.take_time(NOON_MS + 12 * 3_600_000, 20, 0)
    node.sense.tick()
    assert node.sense._period_ms == 60_000
    assert node.instruments._schedule.profile == ((-720, 55),)
    scratch.remove(running.place)


def test_a_clock_that_is_set_leaves_an_anchor() -> None:
    running = Running()
    node = running.node
    node.take_time(UTC_MS, 20, 0)
    node.take_time(UTC_MS + 10, 20, 10)
    made = [record for record in node.journal.pending if record[1] == m.ANCHOR]
    assert len(made) == 1
    _, _, boot_id, uptime_s, values = made[0]
    assert boot_id == node.session.info.boot_id and uptime_s == running.board.uptime_ms() // 1000
    assert values[1:] == (UTC_MS // 1000 - m.ANCHOR_ZERO_S, UTC_MS % 1000, 20)
    scratch.remove(running.place)


def test_a_node_says_how_it_is() -> None:
    running = Running()
    told = diagnosis(running.node, 3, 2)
    assert set(told) == set(m.DIAG_NAMES)
    assert (told[m.DIAG_WAITING], told[m.DIAG_FRAME_FAULTS], told[m.DIAG_SILENCES]) == (1, 3, 2)
    scratch.remove(running.place)
