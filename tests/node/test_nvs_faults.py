"""NVS that does not answer: what can't be read is not taken for what is not there."""

import os

from kerbnode import app, boots, nvs, safe, settings, uptake
from kerbnode.clock import Clock
from kerbnode.diagnosis import diagnosis
from kerbnode.hal.sim import Board, Restart
from kerbnode.identity import MARKS
from kerbwire import messages as m
from node import scratch
from node.nvs_pages import Nvs as Pages
from node.ram_flash import RamFlash
from node.test_board import NOON_MS, powered
from node.test_identity import LAMP, METER, booted, lived
from node.test_settings import GOOD, Full, stored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Nvs

WATCHDOG = 3
INVALID_STATE = -0x110B  # ESP_ERR_NVS_INVALID_STATE
BLOBS = ("boot", "command", "config", "config_was", "rate", "settings", "totals") + MARKS


class Deaf:
    """Another NVS, some of whose blobs give an error for as long as they are named in `bad`."""

    def __init__(self, inner: "Nvs", bad: "tuple[str, ...]" = ()):
        self._inner = inner
        self.bad = bad

    def get(self, name: str) -> "bytes | None":
        if name in self.bad:
            raise OSError(INVALID_STATE, "ESP_ERR_NVS_INVALID_STATE")
        return self._inner.get(name)

    def set(self, name: str, blob: bytes) -> None:
        self._inner.set(name, blob)


def grown_old(given: "dict[str, str]") -> "tuple[Board, str, app.Node]":
    """A board whose node has made records, totals and all else; a watchdog starts it from here."""
    board, place = powered(NOON_MS, given["asset"])
    board.nvs = Deaf(board.nvs)
    node = lived(board, given)
    board.reset_cause = lambda: WATCHDOG
    return board, place, node


def held(board: Board, place: str) -> "dict[str, bytes | None]":
    """All that is durable but the boots' count."""
    found = {name: board.nvs._inner.get(name) for name in BLOBS if name != "boot"}
    for name in os.listdir(place + "/flash"):
        with open(place + "/flash/" + name, "rb") as file:
            found[name] = file.read()
    return found


def refused(board: Board, given: "dict[str, str]") -> int:
    """How many boots end at once, before one is made."""
    for count in range(10):
        try:
            node = booted(board, given)
        except OSError as error:
            assert error.errno == INVALID_STATE
            continue
        board.node = node
        return count
    raise AssertionError("no boot comes up")


def test_an_identity_that_can_not_be_read_erases_nothing() -> None:
    board, place, before = grown_old(LAMP)
    was = held(board, place)
    board.nvs.bad = MARKS
    assert refused(board, LAMP) == app.SAFE_AFTER, "it is tried again first"
    node = board.node
    assert held(board, place) == was, "it was another one's"
    assert isinstance(node.instruments, safe.Steady), "no pin is touched: lit"
    assert node.session.info.epoch == 0, "the gateway: its flash does not answer"
    told = diagnosis(node, 0, 0)
    assert told[m.DIAG_FAILED_BOOTS] == app.SAFE_AFTER and told[m.DIAG_FLASH_FAULTS] == 1
    node.stop()
    assert held(board, place) == was
    board.nvs.bad = ()
    again = booted(board, LAMP)
    assert again.failed == 0, "an order ended safe mode"
    assert again.journal.epoch == before.journal.epoch
    assert again.journal.next >= before.journal.next
    assert again.journal.read(again.journal.first()) is not None
    assert again.settings.config_version == 4 and again.commands.highest == 9
    assert again.instruments.asset.values()[3] == 2, "its hours"
    scratch.remove(place)


def test_one_mark_of_two_is_enough_and_mends_the_other() -> None:
    for bad in MARKS:
        board, place, before = grown_old(LAMP)
        board.nvs.bad = (bad,)
        assert booted(board, LAMP).journal.epoch == before.journal.epoch
        board.nvs._inner.set(bad, b"torn")
        board.nvs.bad = ()
        assert booted(board, LAMP).journal.epoch == before.journal.epoch
        assert board.nvs.get(bad) == b"sl-0001\x00streetlight"
        board.nvs.bad = (bad,)  # what is there is another node's, for sure
        node = booted(board, METER)
        assert node.journal.epoch not in (0, before.journal.epoch)
        assert node.commands.highest == 0 and uptake.load_totals(board.nvs) is None
        scratch.remove(place)


def test_a_mark_whose_bits_fell_over_ends_no_log() -> None:
    """The IDF gives a blob with a wrong CRC up: it is not found any more."""
    board, place = powered(NOON_MS, "streetlight")
    settings_blob = board.nvs.get("settings")
    flash = RamFlash()
    board.nvs = Pages(flash)
    board.nvs.set("settings", settings_blob)
    before = booted(board, LAMP)
    before.stop()
    at = flash.image.rfind(b"sl-0001\x00streetlight")
    flash.image[at] ^= 4
    board.nvs = Pages(flash)
    assert None in [board.nvs.get(name) for name in MARKS], "none is damaged"
    assert booted(board, LAMP).journal.epoch == before.journal.epoch
    assert None not in [board.nvs.get(name) for name in MARKS]
    scratch.remove(place)


def test_totals_that_can_not_be_read_are_not_begun_anew() -> None:
    for given in (LAMP, METER):
        board, place, before = grown_old(given)
        if given is METER:
            nvs.set_checked(board.nvs, "totals", b"[700, 3]")
        was = board.nvs.get("totals")
        board.nvs.bad = ("totals",)
        assert refused(board, given) == app.SAFE_AFTER
        node = board.node
        assert isinstance(node.instruments, safe.Steady), "a meter has no count to go on from"
        assert node.journal.epoch == before.journal.epoch, "the log is known to be its own"
        node.store.save()
        node.stop()
        board.nvs.bad = ()
        assert board.nvs.get("totals") == was
        scratch.remove(place)


def test_safe_mode_for_nvs_is_told_where_the_log_can_be_read() -> None:
    board, place, _ = grown_old(LAMP)
    board.nvs.bad = ("command",)
    assert refused(board, LAMP) == app.SAFE_AFTER
    told = [record[4] for record in board.node.journal.pending if record[1] == m.EVENT]
    assert told == [(m.EV_BOOT, WATCHDOG), (m.EV_SAFE_MODE, 3)]
    assert board.nvs._inner.get("command") == b"\x00\x00\x00\x00\x09"
    scratch.remove(place)


def test_safe_mode_for_nvs_is_left_again_by_itself() -> None:
    board, place, before = grown_old(LAMP)
    board.nvs.bad = MARKS
    assert refused(board, LAMP) == app.SAFE_AFTER
    node = board.node
    board.uptime_ms = lambda: safe.AGAIN_MS - 1
    node.sense.tick()
    board.uptime_ms = lambda: safe.AGAIN_MS
    for bad, boots_refused in ((MARKS, app.SAFE_AFTER), ((), 0)):
        try:
            node.sense.tick()
            raise AssertionError("for ever in safe mode")
        except Restart:
            board.nvs.bad = bad
        assert refused(board, LAMP) == boots_refused
        node = board.node
    assert node.failed == 0 and node.journal.epoch == before.journal.epoch
    node.sense.tick()
    scratch.remove(place)


def test_an_order_in_safe_mode_lets_no_old_command_run_again() -> None:
    """A gateway that was restarted numbers its orders on from what INFO says."""
    for bad in (MARKS, ("totals",), ("command",)):
        board, place, _ = grown_old(LAMP)
        board.nvs.bad = bad
        assert refused(board, LAMP) == app.SAFE_AFTER
        node = board.node
        now = board.monotonic_ms()
        node.clock.offer(NOON_MS, 50, now)
        node.describe(now)
        number = node.session.info.command_id + 1
        assert node.obey(number, NOON_MS // 1000 + 30, m.OP_REBOOT, (), now) == (m.OK, 0)
        assert node.obey(number, NOON_MS // 1000 + 30, m.OP_REBOOT, (), now) == (m.OK, 0)
        assert node.leaving
        board.nvs.bad = ()
        assert booted(board, LAMP).commands.highest == max(9, number)
        assert number == (10 if bad == ("totals",) else 1)
        scratch.remove(place)


def test_nvs_that_answers_again_makes_an_ordinary_boot() -> None:
    board, place, before = grown_old(LAMP)
    board.nvs.bad = ("command", "totals") + MARKS
    for _ in range(2):
        try:
            booted(board, LAMP)
            raise AssertionError("a boot with half of what it needs")
        except OSError:
            pass
    board.nvs.bad = ()
    node = booted(board, LAMP)
    assert node.failed == 2 and not isinstance(node.instruments, safe.Steady)
    assert node.journal.epoch == before.journal.epoch
    scratch.remove(place)


def test_a_boot_number_that_can_not_be_read_is_not_begun_anew() -> None:
    board, place, _ = grown_old(LAMP)
    was = board.nvs.get("boot")
    board.nvs.bad = ("boot",)
    node = booted(board, LAMP)  # a watchdog's boot, and nobody knows of how many
    assert node.failed == app.SAFE_AFTER and node.session.info.boot_id > 0xFFFF
    board.uptime_ms = lambda: safe.AGAIN_MS
    try:
        node.sense.tick()
        raise AssertionError("a lamp that burns by day until somebody orders a restart")
    except Restart:
        pass
    board.reset_cause = lambda: 1
    assert booted(board, LAMP).failed == 0, "power-on: nobody's failure"
    assert board.nvs._inner.get("boot") == was
    scratch.remove(place)


def test_settings_that_can_not_be_read_are_not_overwritten() -> None:
    blobs = Deaf(stored(GOOD))
    boots.keep_good(blobs, settings.load(blobs))
    newer = blobs.get("settings_was").replace(b"uart", b"udpx")
    blobs.set("settings", newer)
    blobs.bad = ("settings",)
    wanted = settings.load(blobs)
    assert wanted.node_id == GOOD["node_id"] and wanted.restored == "unread"
    blobs.bad = ()  # it answers by the time the boot is a good one
    boots.keep_good(blobs, wanted)
    assert blobs.get("settings") == newer
    for bad in (("settings", "settings_was"), ("key",)):
        blobs.bad = bad
        try:
            settings.load(blobs)
            settings.load_key(blobs)
            raise AssertionError("a node of nothing")
        except OSError as error:
            assert error.errno == INVALID_STATE  # main.py: again in 10 s, and lit till then


def test_settings_that_can_not_be_read_are_told() -> None:
    board, place, _ = grown_old(LAMP)
    board.nvs.bad = ("settings",)
    node = app.Node(board, settings.load(board.nvs), (0, bytes(16)))
    node.assemble()
    told = [record[4] for record in node.journal.pending if record[1] == m.EVENT]
    assert told == [(m.EV_BOOT, WATCHDOG), (m.EV_SETTINGS, 1)]
    scratch.remove(place)


def test_a_config_that_can_not_be_read_gives_way_to_the_last_good_one() -> None:
    blobs = Deaf(stored(GOOD))
    wanted = settings.load(blobs)
    for version in (1, 2):
        assert settings.configure(blobs, wanted, version, {m.CONFIG_REPORT_S: 60 * version}) == m.OK
    blobs.bad = ("config",)
    loaded = settings.load(blobs)
    assert (loaded.config_version, loaded.restored) == (1, "config")
    assert settings.configure(blobs, loaded, 3, {m.CONFIG_REPORT_S: 99}) == m.FAILED
    blobs.bad = ("config", "config_was")
    assert settings.load(blobs).config_version == 0
    blobs.bad = ()
    assert settings.load(blobs).config_version == 2


def test_a_rate_that_can_not_be_read_is_learnt_again() -> None:
    blobs = Deaf(Full(), ("rate",))
    assert not Clock(blobs).rate_is_known
