"""The composition root: which board, which asset, which concerns, and how they know each other."""

import asyncio
import gc
import sys

from kerbnode import VERSION, build, loaded, settings, store
from kerbnode import board as wiring
from kerbnode.clock import Clock
from kerbnode.commands import Commands
from kerbnode.flash import Flash
from kerbnode.journal import Journal
from kerbnode.link import Link
from kerbnode.records import Records
from kerbnode.sense import Sense
from kerbnode.supervisor import Supervisor
from kerbnode.wake import Wake
from kerbwire import messages as m
from kerbwire.limits import BUS
from kerbwire.node import NodeSession

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Board, Line
    from kerbnode.instruments import Instruments

FIRMWARE = VERSION[0] << 16 | VERSION[1] << 8 | VERSION[2]
FRESH = (1, 4, 6)  # reset causes that are nobody's failure: power-on, deep sleep, brown-out
BROWN_OUT = 6  # ours: the chip tells it, machine.reset_cause() does not
SAFE_AFTER = 3  # boots that failed in a row
GOOD_MS = 120_000  # a boot that all concerns live through so long is a good one
STRAP_S = 900  # service that the strap pin opens
PROMPT_S = 120  # a debug build at the prompt, until the watchdog starts the node again
LINK_SILENCE_S = 20  # without a sign of life from a concern before the watchdog goes hungry
SENSE_SILENCE_S = 10
STORE_SILENCE_S = 30


class Node:
    """All parts of one boot, and the few decisions that need several of them."""

    def __init__(self, board: "Board", wanted: settings.Settings, key: "tuple[int, bytes]"):
        self.board = board
        self.settings = wanted
        self.clock = Clock(board.nvs)
        self.commands = Commands(board.nvs)
        self.journal = Journal(Flash(board.flash_path), board.random)
        self.link_wake = Wake()
        self.leaving = False  # an order to restart was answered
        self.failed = 0  # boots in a row, before this one
        self._began_ms = board.monotonic_ms()
        self._on_trial = True
        self._service_ms: int | None = None  # when the console closes
        self._store_wake = Wake()
        self._key = key

    def assemble(self) -> Supervisor:
        """Read what is durable, then make session and concerns; the supervisor runs them."""
        from kerbnode import boots

        board = self.board
        wanted = self.settings
        cause = board.reset_cause()
        if cause not in FRESH:
            self.failed = boots.failed_boots(board.nvs)
        boot_id = boots.next_boot_id(board.nvs, board.random, self.failed + 1)
        loaded.forget("kerbnode", ("boots",))
        self.journal.open()
        self.commands.load()
        board.booted(boot_id, self.journal.epoch)
        self.instruments = self._wired()
        totals = store.load_totals(board.nvs)
        pins = getattr(wiring, "SLEEP", ())
        rest = board.rest(self, pins) if pins and wanted.build == "release" else None
        if rest is not None:
            totals = rest.totals(totals)
        self.instruments.begin(wanted, totals)
        asset = self.instruments.asset
        info = m.Info(asset.SCHEMA.hash, boot_id, self.journal.epoch, FIRMWARE)
        info.schema = asset.SCHEMA
        info.period_s = wanted.report_s
        info.config_version = wanted.config_version
        generation, key = self._key
        node_id = wanted.node_id.encode()
        framing = board.framing(wanted.link)
        if framing == BUS:
            from kerbwire.polled import PolledNode

            self.session: NodeSession = PolledNode(node_id, generation, key, info, board.random)
        else:
            self.session = NodeSession(node_id, generation, key, info, board.random, framing)
        self.records = Records(board, self.journal, boot_id, wanted.asset)
        wakes = (self.link_wake, self._store_wake)
        self.sense = Sense(
            board, self.clock, self.instruments, self.records, wakes, wanted.report_s
        )
        self.store = store.Store(board, self.journal, self.instruments, self._store_wake)
        self._tell(m.EV_BOOT, cause)
        if cause == BROWN_OUT:
            self._tell(m.EV_BROWN_OUT, 0)
        if wanted.restored:
            self._tell(m.EV_SETTINGS, 1 if wanted.restored == "settings" else 2)
        if self.failed >= SAFE_AFTER:
            self._tell(m.EV_SAFE_MODE, self.failed)
        if strapped(board):
            self.serve(STRAP_S)
        supervisor = Supervisor(board, self.look)
        supervisor.add(Link(self), LINK_SILENCE_S)
        supervisor.add(self.sense, SENSE_SILENCE_S)
        supervisor.add(self.store, STORE_SILENCE_S)
        if rest is not None:
            supervisor.add(rest, STORE_SILENCE_S)
        return supervisor

    def _wired(self) -> "Instruments":
        """What this board has for the asset that the settings name."""
        asset = self.settings.asset
        wire = getattr(wiring, asset, None)
        if wire is None:
            raise settings.SettingsError("asset")
        if self.failed >= SAFE_AFTER:
            from kerbnode import safe

            return safe.wired(self.board, asset, wire)
        made: Instruments = wire(self.board)
        return made

    async def open_line(self) -> "Line":
        """The way to the gateway that the settings name, on the board's pins or their own."""
        wanted = self.settings
        given = (wanted.uart, wanted.tx, wanted.rx, wanted.de)
        pins = tuple(wiring.LINKS.get(wanted.link, ())) + (None,) * 4
        pins = tuple([pins[at] if own is None else own for at, own in enumerate(given)])
        return await self.board.open_line(wanted.gateway, wanted.baud, pins)

    def look(self) -> None:
        """Now and then while all concerns live: is the boot a good one, is service over?"""
        now = self.board.monotonic_ms()
        if self._on_trial and now - self._began_ms >= GOOD_MS:
            self._went_well(keep=self.failed < SAFE_AFTER)
        if self._service_ms is not None and now >= self._service_ms:
            self.serve(0)

    @property
    def serving(self) -> bool:
        """Is the console open?"""
        return self._service_ms is not None

    def serve(self, seconds: int) -> None:
        """Open the console for so long, or close it; told either way."""
        self._service_ms = self.board.monotonic_ms() + 1000 * seconds if seconds else None
        self.board.console(is_open=seconds > 0 or self.settings.build == "debug")
        self._tell(m.EV_SERVICE, seconds)

    def prompt_s(self) -> int:
        """How long who interrupted the node may have its console."""
        if self._service_ms is None:
            return PROMPT_S
        return max(1, (self._service_ms - self.board.monotonic_ms()) // 1000)

    def _went_well(self, *, keep: bool) -> None:
        from kerbnode import boots

        self._on_trial = False
        boots.boot_went_well(self.board.nvs)
        if keep:
            boots.keep_good(self.board.nvs, self.settings)
        loaded.forget("kerbnode", ("boots",))

    def _tell(self, code: int, value: int) -> None:
        self.sense.record(self.board.uptime_ms(), m.EVENT, (code, value))

    def describe(self, now: int) -> None:
        """Bring up to date what INFO says."""
        info = self.session.info
        info.uptime_s = self.board.uptime_ms() // 1000
        # What is kept is never sent again, even while its segment is still here.
        info.first_rseq = max(self.journal.first(), self.session.kept.cumulative + 1)
        info.next_rseq = self.journal.next
        info.command_id = self.commands.highest

    def diagnose(self, frame_faults: int, silences: int) -> "dict[int, int | bytes]":
        """What DIAG says; a host's Python has no heap to speak of."""
        free = gc.mem_free() if hasattr(gc, "mem_free") else 0
        waiting = self.journal.next - 1 - self.session.kept.cumulative
        return {
            m.DIAG_FREE_BYTES: free,
            m.DIAG_FLASH_FAULTS: self.journal.faults,
            m.DIAG_WAITING: max(0, waiting),
            m.DIAG_FRAME_FAULTS: frame_faults,
            m.DIAG_SILENCES: silences,
            m.DIAG_BUILD: build.COMMIT,
            m.DIAG_BOARD: build.BOARD.encode(),
            m.DIAG_WIRE: m.MESSAGES_VERSION,
            m.DIAG_FAILED_BOOTS: self.failed,
            m.DIAG_FLASH_ERASES: self.journal.writes,
        }

    def take_time(self, utc_ms: int, uncertainty_ms: int, now: int) -> None:
        """A time offer; a clock that jumps says so."""
        jump_s = self.clock.offer(utc_ms, uncertainty_ms, now)
        if jump_s:
            self._tell(m.EV_CLOCK_JUMP, jump_s)
        uptime_ms = self.board.uptime_ms()
        anchor = self.clock.anchor(uptime_ms, now)
        if anchor is not None:
            self.sense.record(uptime_ms, m.ANCHOR, anchor)

    def configure(self, version: int, values: "dict[int, int | bytes]", now: int) -> int:
        """Take a CONFIG; its result's code. Another period needs a session that knows of it."""
        wanted = self.settings
        code = settings.configure(self.board.nvs, wanted, version, values)
        info = self.session.info
        if code == m.OK and info.config_version != wanted.config_version:
            info.config_version = wanted.config_version
            self.instruments.configure(wanted)
            self.sense.report_each(wanted.report_s)
            if info.period_s != wanted.report_s:
                info.period_s = wanted.report_s
                self.session.start(now)
        return code

    def obey(
        self, command_id: int, expires_utc_s: int, op: int, args: "tuple[int, ...]", now: int
    ) -> "tuple[int, int]":
        """Judge and carry out a command: its result's (code, value)."""
        known = self.commands.known(command_id)
        if known is not None:
            return known
        utc_ms = self.clock.utc_ms(now) if self.clock.trusted else None
        code = self.commands.refusal(expires_utc_s, utc_ms)
        if code == m.OK:
            self.commands.begin(command_id, op)
            if op == m.OP_REBOOT:
                self.leaving = True
            elif op == m.OP_SERVICE:
                code = m.OUT_OF_RANGE
                if len(args) == 1 and 0 <= args[0] <= 3600:
                    code = m.OK
                    self.serve(args[0])
            else:
                code = self.instruments.asset.command(op, args, self.board.uptime_ms())
        self.commands.finish(command_id, code, 0)
        return code, 0

    async def leave(self) -> None:
        """Restart in good order; the result is out by now."""
        await asyncio.sleep(1)
        self.stop()
        self.board.reset()

    def stop(self) -> None:
        """Bring everything to flash; after this no record may be made."""
        self._went_well(keep=False)  # who asks for it is no failure
        self.store.save()
        self.journal.close()


def strapped(board: "Board") -> bool:
    """Does the board's service pin ask for the console?"""
    pin = wiring.SERVICE_PIN
    return pin is not None and not board.input(pin).value()


def main() -> None:
    """Run the node of this board; a restart of a simulated one begins it anew."""
    if sys.platform == "esp32":
        from kerbnode.hal.esp32 import Board, Restart
    else:
        from kerbnode.hal.sim import Board, Restart
    while True:
        board = Board()
        board.open()
        try:
            node = Node(board, settings.load(board.nvs), settings.load_key(board.nvs))
            supervisor = node.assemble()
        except settings.SettingsError as error:
            from kerbnode import safe

            safe.stay_lit(board, error.code, asked=strapped(board))
            return
        try:
            asyncio.run(supervisor.run())
        except Restart:
            pass
        except KeyboardInterrupt:
            node.stop()
            board.leave(node.prompt_s())
            return
