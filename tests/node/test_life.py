"""A node's boots: which ones count as failed, what safe mode is, who may have the console."""

import asyncio

from kerbnode import app, assembly, nvs, opening, orders, safe, settings
from kerbnode import board as wiring
from kerbnode.diagnosis import diagnosis
from kerbnode.hal import sim
from kerbnode.hal.sim import Board
from kerbwire import messages as m
from node import scratch
from node.test_board import NOON_MS, powered

WATCHDOG = 3
UTC_MS = 1_795_300_000_000
LATER_S = UTC_MS // 1000 + 60
GOOD = b'{"node_id": "n", "asset": "streetlight"}'


class Boot:
    """One boot of a board on a clock of the test's; its concerns run when the test says so."""

    def __init__(self, board: Board, cause: int = 1, strap: int = 1, given: bytes = GOOD):
        self.now = 0
        self.consoles: list[bool] = []
        board.monotonic_ms = lambda: self.now
        board.reset_cause = lambda: cause
        board.console = self.console
        self.strap = Strap(strap)
        board.input = lambda _: self.strap
        self.board = board
        if given:
            nvs.set_checked(board.nvs, "settings", given)
        wiring.SERVICE_PIN = "strap"
        self.node = app.Node(board, settings.load(board.nvs), (0, bytes(16)))
        self.supervisor = self.node.assemble()

    def console(self, *, is_open: bool) -> None:
        self.consoles.append(is_open)

    def lasts(self, seconds: int) -> None:
        """All concerns live so long."""
        for _ in range(seconds // 2):
            self.now += 2000
            self.node.look()

    def told(self) -> "list[tuple[int, ...]]":
        return [record[4] for record in self.node.journal.pending if record[1] == m.EVENT]


class Strap:
    """The service pin."""

    def __init__(self, level: int):
        self.level = level

    def value(self) -> int:
        return self.level


def failing(board: Board, boots: int, cause: int = WATCHDOG) -> Boot:
    """So many boots that end before they are good ones, then one more."""
    for _ in range(boots):
        Boot(board, cause).lasts(100)
    return Boot(board, cause)


def test_three_failed_boots_in_a_row_are_safe_mode() -> None:
    board, place = powered(NOON_MS, "streetlight")
    assert not isinstance(failing(board, 2).node.instruments, safe.Steady)
    boot = Boot(board, WATCHDOG)
    assert isinstance(boot.node.instruments, safe.Steady)
    assert boot.told() == [(m.EV_BOOT, WATCHDOG), (m.EV_SAFE_MODE, 3)]
    assert diagnosis(boot.node, 0, 0)[m.DIAG_FAILED_BOOTS] == 3
    scratch.remove(place)


def test_safe_mode_touches_no_pin_makes_no_report_and_obeys() -> None:
    board, place = powered(NOON_MS, "streetlight")
    used: list[str] = []
    boot = failing(board, 2)
    pwm = board.pwm
    board.pwm = lambda name, _: used.append(name)
    boot = Boot(board, WATCHDOG)
    for _ in range(20):
        boot.now += 100
        boot.node.sense.tick()
    boot.node.sense._reported_ms = -10_000_000
    boot.node.sense.tick()
    assert used == [] and boot.node.instruments.asset.level == 1000
    assert [record for record in boot.node.journal.pending if record[1] == m.REPORT] == []
    boot.node.take_time(UTC_MS, 20, boot.now)
    assert boot.node.obey(1, LATER_S, m.OP_RELEASE, (), boot.now) == (m.UNSUPPORTED, 0)
    assert boot.node.obey(2, LATER_S, m.OP_REBOOT, (), boot.now) == (m.OK, 0)
    assert boot.node.session.info.schema_hash == boot.node.instruments.asset.SCHEMA.hash
    boot.node.stop()
    board.pwm = pwm
    assert not isinstance(Boot(board, 2).node.instruments, safe.Steady)  # the order ends safe mode
    scratch.remove(place)


def test_totals_outlive_safe_mode() -> None:
    board, place = powered(NOON_MS, "streetlight")
    failing(board, 0).node.stop()
    nvs.set_checked(board.nvs, "totals", b"[360000000000, 7200000]")
    failing(board, 2)
    boot = Boot(board, WATCHDOG)
    boot.node.store.save()
    boot.node.stop()
    assert Boot(board).node.instruments.asset.values()[3] == 2
    scratch.remove(place)


def test_a_meter_counts_on_in_safe_mode() -> None:
    board, place = powered(NOON_MS, "water_meter")
    given = GOOD.replace(b"streetlight", b"water_meter")
    for _ in range(4):
        boot = Boot(board, WATCHDOG, given=given)
    assert boot.node.failed == 3
    assert not isinstance(boot.node.instruments, safe.Steady)
    scratch.remove(place)


def test_drivers_that_fail_leave_the_link() -> None:
    board, place = powered(NOON_MS, "water_meter")

    def broken(_hal: Board) -> None:
        raise OSError(19)

    made = safe.wired(Boot(board).node, "water_meter", broken)
    assert isinstance(made, safe.Steady) and made.asset.totals() == ()
    scratch.remove(place)


def test_a_meter_whose_drivers_fail_does_not_sleep() -> None:
    """It has no count to keep; a concern that fails again and again would starve the watchdog."""
    board, place = powered(NOON_MS, "water_meter")
    board._world["water"] = {"sleeps": True}
    given = GOOD.replace(b"streetlight", b"water_meter")
    assert len(Boot(board, given=given).supervisor._concerns) == 4
    for _ in range(2):
        Boot(board, WATCHDOG, given=given)

    def broken(_: str) -> None:
        raise OSError(19)

    board.counter = broken
    boot = Boot(board, WATCHDOG, given=given)
    assert isinstance(boot.node.instruments, safe.Steady)
    assert len(boot.supervisor._concerns) == 3
    scratch.remove(place)


def test_power_cuts_are_nobodys_failure() -> None:
    board, place = powered(NOON_MS, "streetlight")
    for cause in assembly.FRESH:
        assert failing(board, 5, cause).node.failed == 0
    assert failing(board, 2).node.failed == 3  # the last fresh one failed too
    scratch.remove(place)


def test_a_boot_that_lasts_ends_the_row_and_keeps_its_settings() -> None:
    board, place = powered(NOON_MS, "streetlight")
    boot = failing(board, 2)
    assert board.nvs.get("settings_was") is None
    boot.lasts(120)
    assert board.nvs.get("settings_was") == board.nvs.get("settings")
    assert Boot(board, WATCHDOG).node.failed == 0
    scratch.remove(place)


def test_restored_settings_and_a_sagging_supply_are_told() -> None:
    board, place = powered(NOON_MS, "streetlight")
    Boot(board).lasts(120)
    board.nvs.set("settings", b"torn")
    boot = Boot(board, assembly.BROWN_OUT, given=b"")
    told = [(m.EV_BOOT, 6), (m.EV_BROWN_OUT, 0), (m.EV_SETTINGS, 1)]
    assert boot.told() == told
    boot.lasts(120)
    assert settings.load(board.nvs).restored == ""
    scratch.remove(place)


def test_service_opens_the_console_for_its_time() -> None:
    board, place = powered(NOON_MS, "streetlight")
    boot = Boot(board)
    boot.node.take_time(UTC_MS, 20, 0)
    for number, args in ((1, ()), (2, (-1,)), (3, (3601,)), (4, (60, 1))):
        assert boot.node.obey(number, LATER_S, m.OP_SERVICE, args, 0) == (m.OUT_OF_RANGE, 0)
    assert boot.node.obey(5, LATER_S, m.OP_SERVICE, (60,), 0) == (m.OK, 0)
    assert orders.prompt_s(boot.node) == 60
    boot.lasts(58)
    assert boot.consoles == [True] and orders.prompt_s(boot.node) == 2
    boot.lasts(4)
    assert boot.consoles == [True, False]
    assert boot.node.obey(5, LATER_S, m.OP_SERVICE, (60,), 0) == (m.OK, 0)  # a repeat of it
    assert boot.consoles == [True, False]
    assert boot.told()[1:] == [(m.EV_SERVICE, 60), (m.EV_SERVICE, 0)]
    again = Boot(board)
    again.node.take_time(UTC_MS, 20, 0)
    assert again.node.obey(5, LATER_S, m.OP_SERVICE, (60,), 0) == (m.REPLAYED, 0)
    assert again.node.obey(6, LATER_S, m.OP_SERVICE, (60,), 0) == (m.OK, 0)
    assert again.node.obey(7, LATER_S, m.OP_SERVICE, (0,), 0) == (m.OK, 0)
    assert again.consoles == [True, False]
    scratch.remove(place)


def test_the_strap_let_go_opens_it_and_a_debug_build_never_closes_it() -> None:
    board, place = powered(NOON_MS, "streetlight")
    boot = Boot(board, strap=0)
    boot.lasts(3600)
    assert boot.consoles == [] and boot.told() == [(m.EV_BOOT, 1)]  # low for ever: wet, or broken
    boot.strap.level = 1
    boot.lasts(2)
    assert boot.consoles == [True] and boot.told() == [(m.EV_BOOT, 1), (m.EV_SERVICE, 900)]
    boot.lasts(902)
    assert boot.consoles == [True, False]
    boot.strap.level = 0  # not at the start
    boot.lasts(10)
    boot.strap.level = 1
    boot.lasts(10)
    assert boot.consoles == [True, False]
    debug = Boot(board, strap=0, given=GOOD.replace(b"{", b'{"build": "debug", '))
    debug.strap.level = 1
    debug.lasts(904)
    assert debug.consoles == [True, True] and orders.prompt_s(debug.node) == orders.PROMPT_S
    scratch.remove(place)


def test_the_board_and_the_settings_name_the_pins() -> None:
    board, place = powered(NOON_MS, "streetlight")
    opened: list[object] = []

    async def open_line(gateway: object, baud: int, pins: "tuple[object, ...]") -> None:
        opened.append((gateway, baud, pins))

    board.open_line = open_line
    held = wiring.LINKS
    wiring.LINKS = {"rs485": (2, 17, 16, 4), "uart": (1, 5, 6), "udp": ()}
    for given, pins in (
        (b'"link": "rs485", ', (2, 17, 16, 4)),
        (b'"link": "rs485", "de": 0, "uart": 1, ', (1, 17, 16, 0)),
        (b'"link": "uart", "rx": 9, ', (1, 5, 9, None)),
        (b'"link": "udp", "gateway": "gw:1", ', (None, None, None, None)),
    ):
        boot = Boot(board, given=GOOD.replace(b"{", b"{" + given))
        asyncio.run(opening.line(boot.node))
        assert opened.pop()[2] == pins
    wiring.LINKS = held
    scratch.remove(place)


def test_who_takes_the_prompt_leaves_the_lamp_lit() -> None:
    """At noon it is off; with the node stopped no dusk would light it."""
    board, place = powered(NOON_MS, "streetlight")
    boot = Boot(board)
    did: list[object] = []
    board.leave = lambda prompt_s: did.append(prompt_s)
    boot.node.instruments._dimmer.show = did.append
    boot.node.serve(600)
    safe.leave(boot.node)
    assert did == [1000, 600]
    scratch.remove(place)


def test_a_second_ctrl_c_does_not_cut_the_leaving_short() -> None:
    """It takes a second of flash on a chip: who presses twice must not get a restart for it."""
    board, place = powered(NOON_MS, "streetlight")
    nvs.set_checked(board.nvs, "settings", GOOD)
    settings.store_key(board.nvs, 0, bytes(16))
    did: list[object] = []
    board.console = lambda is_open: did.append(is_open)
    board.leave = lambda prompt_s: did.append(prompt_s)

    def pressed(running: object) -> None:
        running.close()
        did.append("pressed")
        raise KeyboardInterrupt

    made, run = sim.Board, asyncio.run
    sim.Board = lambda: board
    asyncio.run = pressed
    try:
        app.main()
    finally:
        sim.Board, asyncio.run = made, run
    assert did == ["pressed", False, orders.PROMPT_S]
    scratch.remove(place)


def test_a_meter_at_the_prompt_has_no_lamp() -> None:
    board, place = powered(NOON_MS, "water_meter")
    boot = Boot(board, given=GOOD.replace(b"streetlight", b"water_meter"))
    did: list[object] = []
    board.leave = lambda prompt_s: did.append(prompt_s)
    safe.leave(boot.node)
    assert did == [orders.PROMPT_S]
    scratch.remove(place)


class Dark:
    """A board without settings; Ctrl-C comes at its third meal."""

    def __init__(self, blobs: "dict[str, bytes]"):
        self.nvs = self
        self.get = blobs.get
        self.meals = 0
        self.did: list[object] = []

    def feed(self) -> None:
        self.meals += 1
        if self.meals == 3:
            raise KeyboardInterrupt

    def console(self, *, is_open: bool) -> None:
        self.did.append(is_open)

    def leave(self, prompt_s: int) -> None:
        self.did.append(prompt_s)


def test_without_settings_the_watchdog_is_fed_and_no_pin_touched() -> None:
    held, safe.FEED_S = safe.FEED_S, 0
    closed, opened = [safe.PROMPT_S], [True, safe.PROMPT_S]
    for tied, did in (([0, 0, 0], closed), ([1, 1, 0, 0], opened), ([1, 1, 1, 1], closed)):
        board = Dark({"key": bytes(20)})
        looks = list(tied)
        safe.stay_lit(board, "damaged", lambda _, looks=looks: bool(looks.pop(0)))
        assert board.meals == 3 and board.did == did
    safe.FEED_S = held
