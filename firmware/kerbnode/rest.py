"""A meter that lives on a cell: its count outlives a reset, and it sleeps between reports."""

import asyncio

from kerbnode import sleep
from kerbnode.assets.flow import Flow
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

    from kerbnode.app import Node

    class Chip(sleep.Chip, Protocol):
        def watched(self) -> "tuple[int, int]": ...


AWAKE_MS = 60_000  # at most, should the gateway not answer: the records are in flash
FIRST_MS = 600_000  # after a power-on, for who fits the meter and for the time
LOOK_S = 0.2
LAST_LOOKS = 9  # before it sleeps: until none finds a pulse
EPOCH_S = 946_684_800


class Rest:
    """The concern that keeps the count and ends the day's work; `pins`: forward, backward."""

    def __init__(self, node: "Node", pins: "Sequence[int]", chip: "Chip"):
        self.beats = 0
        self._node = node
        self._pins = tuple(pins) + (sleep.NO_PIN,) * (2 - len(pins))
        self._chip = chip
        self._due_s = 0
        self._woken = False
        self._told_ms = 0
        self.lingers_ms = 0  # longer awake: part of an update came in an earlier wake
        self._counted: tuple[int, ...] = ()

    def totals(
        self,
        saved: "tuple[int, ...] | None",
        ours: bool = True,  # noqa: FBT001, FBT002
    ) -> "tuple[int, ...] | None":
        """What the meter goes on from: the RTC's count, or the one saved in flash if that is newer.

        Both are of one row of counts that never falls, so the larger one is the newer. What is
        there is not `ours` when the board was another node before.
        """
        if not ours:
            self._chip.memory(b"")
        kept = sleep.load(self._chip.memory())
        if kept is None:
            return saved
        flow = Flow(kept.weight, kept.flow)
        flow.leave(max(0, self._chip.rtc_s() - kept.saved_s), *self._chip.watched())
        self._woken = self._chip.woke() is not None
        self._due_s = kept.due_s
        known = flow.saved()
        if saved is not None and sum(saved[:2]) > sum(known[:2]) + sum(known[-2:]):
            return saved
        return known

    async def run(self) -> None:
        """Look now and then, until the chip sleeps."""
        while True:
            self.beats += 1
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Keep the count; sleep when all is said."""
        node = self._node
        uptime_ms = node.board.uptime_ms()
        now_s = self._chip.rtc_s()
        flow = self._flow()
        if self._woken and now_s >= self._due_s > 0:
            self._due_s = 0
            node.sense.record(uptime_ms, m.REPORT, node.instruments.asset.values())
        counted = (flow.forward, flow.backward)
        if counted != self._counted:
            self._counted = counted
            self._keep(now_s)
        waiting = node.journal.next - 1 - node.session.kept.cumulative
        awake_ms = AWAKE_MS if self._woken else FIRST_MS
        told = waiting <= 0 and self._woken and node.clock.trusted
        if not told:
            self._told_ms = uptime_ms
        waits = uptime_ms - self._told_ms < self.lingers_ms
        if node.serving:
            return
        if uptime_ms < awake_ms and (waits or not told or node.update is not None):
            return
        node.stop()
        kept = self.last()
        self._chip.sleep(1000 * (kept.due_s - kept.saved_s), kept.pins, kept.levels)

    def last(self) -> sleep.Kept:
        """Keep what came while flash was written, and contacts were read: the node ends."""
        instruments: "Any" = self._node.instruments
        for _ in range(LAST_LOOKS):
            kept = self._keep(self._chip.rtc_s())
            forward, backward = instruments.take()
            if not forward and not backward:
                break
            self._flow().leave(self._node.board.uptime_ms() // 1000, forward, backward)
        return kept

    def _flow(self) -> Flow:
        asset: "Any" = self._node.instruments.asset
        flow: Flow = asset.flow
        return flow

    def _keep(self, now_s: int) -> sleep.Kept:
        """What a wake must know, in the RTC's memory."""
        node = self._node
        utc_ms = node.clock.known_ms(node.board.monotonic_ms())
        lead_s = 0 if utc_ms is None else utc_ms // 1000 - EPOCH_S - now_s
        period_s = node.settings.report_s
        # Further off than a period it is of a clock that began anew since.
        due_s = self._due_s if now_s < self._due_s <= now_s + period_s else 0
        due_s = due_s or now_s + period_s - (now_s + lead_s) % period_s
        flow = self._flow()
        levels = tuple(
            [1 if pin == sleep.NO_PIN else sleep.settled(self._chip, pin) for pin in self._pins]
        )
        head = (now_s, due_s, lead_s) + flow.weight + self._pins + levels
        kept = sleep.Kept(head + flow.saved())
        self._chip.memory(sleep.stored(self._chip.memory(), kept))
        return kept
