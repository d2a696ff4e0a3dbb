"""The node of one boot: what its concerns share, and the decisions that need several of them."""

import asyncio
import sys

from kerbnode import board as wiring
from kerbnode import loaded, settings
from kerbnode.clock import Clock
from kerbnode.commands import Commands
from kerbnode.flash import Flash
from kerbnode.journal import Journal
from kerbnode.wake import Wake
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Board
    from kerbnode.instruments import Instruments
    from kerbnode.records import Records
    from kerbnode.rest import Rest
    from kerbnode.sense import Sense
    from kerbnode.store import Store
    from kerbnode.supervisor import Supervisor
    from kerbnode.update import Update
    from kerbnode.working import Work
    from kerbwire.node import NodeSession

BOOT_MODULES = ("assembly", "boots", "identity", "standing", "uptake")
SAFE_AFTER = 3  # boots that failed in a row
GOOD_MS = 120_000  # a boot that all concerns live through so long is a good one
STRAP_S = 900  # service that the strap pin opens
OWN_OPS = (m.OP_REBOOT, m.OP_SERVICE, m.OP_ACTIVATE, m.OP_ROLLBACK)  # the node's, not its asset's


class Node:
    """All parts of one boot, and the few decisions that need several of them."""

    if TYPE_CHECKING:  # what `assemble` adds
        instruments: Instruments
        session: NodeSession
        records: Records
        rest: Rest | None  # of a meter that sleeps
        update: Update | Work | None
        sense: Sense
        store: Store

    def __init__(self, board: "Board", wanted: settings.Settings, key: "tuple[int, bytes]"):
        self.board = board
        self.settings = wanted
        self.clock = Clock(board.nvs)
        self.commands = Commands()
        self.journal = Journal(Flash(board.flash_path), board.random)
        self.link_wake = Wake()
        self.update = None  # what is under way of one
        self.leaving = False  # an order to restart was answered
        self.failed = 0  # boots in a row, before this one
        self._began_ms = board.monotonic_ms()
        self._on_trial = True
        self.tied = False  # the service pin was, at the start
        self.service_ms: int | None = None  # when the console closes
        self.store_wake = Wake()
        self._key = key

    def assemble(self) -> "Supervisor":
        """Read what is durable, then make session and concerns; the supervisor runs them."""
        from kerbnode import assembly

        supervisor = assembly.assemble(self, self._key)
        loaded.forget("kerbnode", BOOT_MODULES)
        return supervisor

    def look(self) -> None:
        """Now and then while all concerns live: is the boot a good one, is service over?"""
        now = self.board.monotonic_ms()
        if self._on_trial and now - self._began_ms >= GOOD_MS:
            self._began_ms = now  # what fails now is tried again after as long
            self._went_well(keep=self.failed < SAFE_AFTER)
        if self.service_ms is not None and now >= self.service_ms:
            self.serve(0)
        if self.tied and not strapped(self.board):  # let go: no wet or broken pin does that
            self.tied = False
            self.serve(STRAP_S)

    def serve(self, seconds: int) -> None:
        """Open the console for so long, or close it; told either way."""
        from kerbnode import orders

        orders.serve(self, seconds)
        loaded.forget("kerbnode", ("orders",))

    @property
    def serving(self) -> bool:
        """Is the console open?"""
        return self.service_ms is not None

    def _went_well(self, *, keep: bool) -> None:
        from kerbnode import boots

        boots.boot_went_well(self.board.nvs)
        if keep:
            boots.keep_good(self.board.nvs, self.settings)
        self._on_trial = False
        loaded.forget("kerbnode", BOOT_MODULES)

    def tell(self, code: int, value: int) -> None:
        """Record an event."""
        self.sense.record(self.board.uptime_ms(), m.EVENT, (code, value))

    def describe(self, now: int) -> None:
        """Bring up to date what INFO says."""
        info = self.session.info
        info.uptime_s = self.board.uptime_ms() // 1000
        # What is kept is never sent again, even while its segment is still here.
        info.first_rseq = max(self.journal.first(), self.session.kept.cumulative + 1)
        info.next_rseq = self.journal.next
        info.command_id = self.commands.highest

    def take_time(self, utc_ms: int, uncertainty_ms: int, now: int) -> None:
        """A time offer; a clock that jumps says so."""
        jump_s = self.clock.offer(utc_ms, uncertainty_ms, now)
        if jump_s:
            self.tell(m.EV_CLOCK_JUMP, jump_s)
        uptime_ms = self.board.uptime_ms()
        anchor = self.clock.anchor(uptime_ms, now)
        if anchor is not None:
            self.sense.record(uptime_ms, m.ANCHOR, anchor)

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
            code = self.commands.begin(command_id, op)
        if code == m.OK:
            if op in OWN_OPS:
                from kerbnode import orders

                code = orders.obey(self, op, args)
                loaded.forget("kerbnode", ("orders",))
            else:
                code = self.instruments.asset.command(op, args, self.board.uptime_ms())
                self.board.wake()
        self.commands.finish(command_id, code, 0)
        return code, 0

    def stop(self) -> None:
        """Bring everything to flash; after this no record may be made."""
        self._went_well(keep=False)  # who asks for it is no failure
        if self.update is not None:
            self.update.close()
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

            safe.stay_lit(board, error.code, strapped)
            return
        try:
            asyncio.run(supervisor.run())
        except Restart:
            pass
        except KeyboardInterrupt:
            board.console(is_open=False)  # a second one must not cut short what follows
            from kerbnode import safe

            safe.leave(node)
            return
