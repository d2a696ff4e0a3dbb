"""A corridor at work: motions of its lamps' nodes in, commands out.

Only full light is commanded, for as long as somebody may be near, and let go after that. Each
command has a hold, so that a gateway that dies leaves no lamp bright for long, and none dark.
"""

from __future__ import annotations

from kerbline.control.light.corridor import Corridor
from kerbline.control.light.following import VERSION, Change, Follower
from kerbline.control.moment import Moment
from kerbline.model import Command, Reading

MOTIONS = {"motion": True, "motion_clear": False}
STALE_MS = 5_000  # a motion older than this came from a backlog: whoever it was is gone
SET_BACK_MS = 5_000  # a clock that was set: what was known is of another time
EXPIRY_MS = 3_000  # light that comes later than this lights nobody
QUICK_MS = 1  # the node's quickest rise without a step
SOURCE = "control/dimming"


class OnDemand:
    """Light on demand in one corridor; it changes in place."""

    def __init__(self, corridor: Corridor) -> None:
        self._corridor = corridor
        self._follower = Follower(corridor)
        self._places = {asset: lamp for lamp, asset in enumerate(corridor.lamps)}
        self._sent = 0
        self._latest_ms = 0

    def take(self, reading: Reading, now: Moment) -> None:
        """What a node tells; others than motions of our lamps are passed over."""
        self._mind_clock(now.street_ms)
        lamp = self._places.get(reading.asset)
        is_there = MOTIONS.get(str(reading.values.get("event")))
        if lamp is None or is_there is None or reading.kind != "event":
            return
        at_ms = _seen_at_ms(reading, now)
        if not is_there or now.street_ms - at_ms < STALE_MS:
            self._follower.saw(lamp, at_ms, is_there)

    def commands(self, now: Moment) -> list[Command]:
        """What is to be commanded now."""
        self._mind_clock(now.street_ms)
        return [self._command(change, now) for change in self._follower.due(now.street_ms)]

    def refused(self, command: Command, now: Moment) -> None:
        """One of ours was not let through."""
        self._follower.refused(self._places[command.asset], now.street_ms)

    def next_ms(self) -> int | None:
        """Street time at which there may be commands without any motion."""
        return self._follower.next_ms()

    def _mind_clock(self, street_ms: int) -> None:
        """Begin anew where time was set back; lamps fall by themselves when their hold is over."""
        if street_ms < self._latest_ms - SET_BACK_MS:
            self._follower = Follower(self._corridor)
            self._latest_ms = street_ms
        self._latest_ms = max(self._latest_ms, street_ms)

    def _command(self, change: Change, now: Moment) -> Command:
        lamp = self._corridor.lamps[change.lamp]
        self._sent += 1
        raised = {
            "level_pct": self._corridor.full_pct,
            "hold_s": self._corridor.hold_s,
            "fade_ms": QUICK_MS,
        }
        return Command(
            id=f"dimming-{lamp}-{now.real_ms}-{self._sent}",
            asset=lamp,
            operation="set_level" if change.full else "release",
            arguments=raised if change.full else {},
            expires_at_ms=now.real_ms + EXPIRY_MS,
            source=f"{SOURCE} v{VERSION}: {change.why}",
        )


def _seen_at_ms(reading: Reading, now: Moment) -> int:
    """The likeliest instant of a motion: now, as near as its own interval allows.

    A live one has just happened, but nodes count uptime in seconds, too coarse for a pace.
    """
    earliest_ms = reading.observed_at_ms - reading.uncertainty_ms
    latest_ms = reading.observed_at_ms + reading.uncertainty_ms
    return min(max(now.street_ms, earliest_ms), latest_ms)
