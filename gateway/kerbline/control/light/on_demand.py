"""A corridor at work: motions of its lamps' nodes in, commands out.

Only full light is commanded, for as long as somebody may be near, and let go after that. Each
command has a hold, so that a gateway that dies leaves no lamp bright for long, and none dark.
"""

from __future__ import annotations

from typing import NamedTuple

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
# Motions, for a street that gets other lamps: each costs it 0.5 ms then, and lamps are in a hurry.
MOST_KEPT, KEPT = 300, 200


class _Motion(NamedTuple):
    """What was told of a lamp's sensor, and when: of `at_ms`, at `now_ms`."""

    now_ms: int
    lamp: str
    at_ms: int
    is_there: bool


class OnDemand:
    """Light on demand in one corridor; it changes in place."""

    def __init__(self, corridor: Corridor) -> None:
        self._corridor = corridor
        self._follower = Follower(corridor)
        self._places = {asset: lamp for lamp, asset in enumerate(corridor.lamps)}
        self._sent = 0
        self._latest_ms = 0
        self._motions: list[_Motion] = []  # of late, and what is still seen

    @property
    def corridor(self) -> Corridor:
        """Whose lamps these are."""
        return self._corridor

    def with_lamps(self, corridor: Corridor) -> OnDemand:
        """The same street with other lamps: it knows of people what it would, had it these before.

        A lamp that is full stays so, or is let go by the next `commands`.
        """
        other = OnDemand(corridor)
        other._sent, other._latest_ms = self._sent, self._latest_ms
        for motion in self._motions:
            if motion.lamp in other._places:
                other._saw(motion)
                other._follower.due(motion.now_ms)
        other._follower.succeed(self._follower)
        return other

    def take(self, reading: Reading, now: Moment) -> None:
        """What a node tells; others than motions of our lamps are passed over."""
        self._mind_clock(now.street_ms)
        is_there = MOTIONS.get(str(reading.values.get("event")))
        if reading.asset not in self._places or is_there is None or reading.kind != "event":
            return
        at_ms = _seen_at_ms(reading, now)
        if not is_there or now.street_ms - at_ms < STALE_MS:
            self._saw(_Motion(now.street_ms, reading.asset, at_ms, is_there))

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

    def _saw(self, motion: _Motion) -> None:
        self._motions.append(motion)
        if len(self._motions) > MOST_KEPT:
            self._forget()
        self._follower.saw(self._places[motion.lamp], motion.at_ms, motion.is_there)

    def _forget(self) -> None:
        """The oldest, but not that somebody is seen who has not ceased to be."""
        latest = {motion.lamp: motion for motion in self._motions}
        oldest, later = self._motions[:-KEPT], self._motions[-KEPT:]
        seen = [each for each in oldest if each.is_there and latest[each.lamp] is each]
        self._motions = seen + later

    def _mind_clock(self, street_ms: int) -> None:
        """Begin anew where time was set back; lamps fall by themselves when their hold is over."""
        if street_ms < self._latest_ms - SET_BACK_MS:
            self._follower = Follower(self._corridor)
            self._motions.clear()
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
