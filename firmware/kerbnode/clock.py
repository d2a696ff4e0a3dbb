"""UTC as far as the node knows it: accepted offers, the crystal's learnt rate, an honest doubt.

A node has no battery-backed clock. What it keeps over a power cut is how fast its crystal runs.
"""

from struct import pack, unpack

from kerbnode import nvs as kept
from kerbwire.messages import ANCHOR_ZERO_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Nvs

FIRST_S = 1_735_689_600  # 2025: no gateway is older, a clock that was never set is
SPAN_S = 1 << 30  # to January 2059: what runs on from there stays within an anchor's 31 bits
DRIFT_PPB = 60_000  # of any crystal: 40 ppm when new, 15 over its temperatures, 5 with age
LEARNT_PPB = 20_000  # of one whose mean rate over days is known: what temperature and age leave
LEARN_MS = 86_400_000  # over whole days, so that day's warmth and night's cold are both in it
SURE_PPB = 4000  # so well must the two offers know the time between them
AGREE_PPB = 10_000  # two spans in a row have the same rate, or an offer was wrong
STEADY_PPB = 500  # a change below that is not worth a write
BILLION = 1_000_000_000
LOST_MS = 600_000  # a doubt above this is worse than the night's middle learnt from light
JUMP_MS = 300_000  # an offer that moves the clock by more is worth an event, and is disputed ...
DISPUTE_MS = 72 * 3_600_000  # ... for so long, unless the old time comes back
ANCHOR_GAIN_MS = 1000  # what a new anchor has to know better than the last one
UNCERTAINTY_MAX_MS = (1 << 31) - 1


class Clock:
    """UTC of monotonic instants; both in milliseconds, `now` is always the monotonic one."""

    __slots__ = (
        "_anchored",
        "_at_ms",
        "_before_ms",
        "_disputed_ms",
        "_nvs",
        "_ppb",
        "_rate_ppb",
        "_since",
        "_span_ppb",
        "_uncertainty_ms",
        "_utc_ms",
        "trusted",
    )

    def __init__(self, nvs: "Nvs | None" = None) -> None:
        self._nvs = nvs
        self._utc_ms: int | None = None
        self._at_ms = 0
        self._uncertainty_ms = 0
        self._anchored: tuple[int, int, int] | None = None  # UTC, when, uncertainty, all ms
        self._since: tuple[int, int, int] | None = None  # the same of a span's first offer
        self._span_ppb: int | None = None  # the rate of the span before
        self._before_ms = 0  # UTC minus monotonic before a jump ...
        self._disputed_ms = 0  # ... which is disputed until then
        self._rate_ppb = 0  # UTC gains that on the crystal
        self._ppb = DRIFT_PPB  # and it may be so much more or less
        self.trusted = False  # an offer was accepted in this session
        try:
            body = kept.get_checked(nvs, "rate") if nvs else None
        except OSError:
            body = None
        if body is not None and len(body) == 4:
            self._take_rate(unpack("<i", body)[0])

    def offer(self, utc_ms: int, uncertainty_ms: int, now: int) -> int:
        """Take an offer that is surer than our own idea, or contradicts it; the jump in seconds.

        The jump is 0 unless the clock moved by more than JUMP_MS. What lies outside FIRST_S and
        SPAN_S is no time: neither an anchor nor an RTC's slot (kerbnode.sleep) may overflow.
        """
        if not 0 <= utc_ms // 1000 - FIRST_S < SPAN_S:
            return 0
        self.trusted = True
        self._learn(utc_ms, uncertainty_ms, now)
        ours = self.utc_ms(now)
        moved = 0
        if ours is not None:
            doubt = self.uncertainty_ms(now)
            moved = utc_ms - ours
            if uncertainty_ms > doubt and abs(moved) <= uncertainty_ms + doubt:
                return 0
            self._dispute(utc_ms, ours, now)
        self._utc_ms = utc_ms
        self._at_ms = now
        self._uncertainty_ms = uncertainty_ms
        return _seconds(moved) if abs(moved) > JUMP_MS else 0

    def anchor(self, uptime_ms: int, now: int) -> "tuple[int, int, int, int] | None":
        """An anchor's values for this uptime, if it would tell more than the last one of this boot.

        (ms of uptime, s since 2000, ms, uncertainty in ms)
        """
        utc_ms = self.utc_ms(now)
        if utc_ms is None:
            return None
        doubt_ms = self.uncertainty_ms(now)
        if self._anchored is not None:
            before_ms, at_ms, then_ms = self._anchored
            old_ms = then_ms + (now - at_ms) * DRIFT_PPB // BILLION
            agree = abs(utc_ms - before_ms - (now - at_ms)) <= old_ms + doubt_ms
            if agree and old_ms < doubt_ms + ANCHOR_GAIN_MS:
                return None
        self._anchored = (utc_ms, now, doubt_ms)
        seconds = utc_ms // 1000 - ANCHOR_ZERO_S
        return uptime_ms % 1000, seconds, utc_ms % 1000, min(doubt_ms, UNCERTAINTY_MAX_MS)

    def utc_ms(self, now: int) -> "int | None":
        """UTC, or None before the first offer."""
        if self._utc_ms is None:
            return None
        span_ms = now - self._at_ms
        return self._utc_ms + (span_ms + span_ms * self._rate_ppb // BILLION)

    def uncertainty_ms(self, now: int) -> int:
        """Half the width of the interval around utc_ms."""
        return self._uncertainty_ms + (now - self._at_ms) * self._ppb // BILLION

    @property
    def rate_is_known(self) -> bool:
        """Is the crystal's rate learnt, or kept from another boot?"""
        return self._ppb == LEARNT_PPB

    def known_ms(self, now: int) -> "int | None":
        """UTC for the schedule: None also while it is disputed or the doubt has grown too large."""
        if self._disputed_ms > now or self.uncertainty_ms(now) > LOST_MS:
            return None
        return self.utc_ms(now)

    def _dispute(self, utc_ms: int, ours: int, now: int) -> None:
        """A jump may be a gateway's mistake: what the time was before stays in mind."""
        if self._disputed_ms > now:
            if abs(utc_ms - now - self._before_ms) <= JUMP_MS:
                self._disputed_ms = 0
        elif abs(utc_ms - ours) > JUMP_MS:
            self._before_ms = ours - now
            self._disputed_ms = now + DISPUTE_MS

    def _learn(self, utc_ms: int, uncertainty_ms: int, now: int) -> None:
        """Compare the crystal with UTC over a span of offers; a rate counts when two agree."""
        if self._since is None:
            self._since = (utc_ms, now, uncertainty_ms)
            return
        from_ms, at_ms, unsure_ms = self._since
        span_ms = now - at_ms
        if span_ms < LEARN_MS or (unsure_ms + uncertainty_ms) * BILLION // span_ms > SURE_PPB:
            if uncertainty_ms * 2 < unsure_ms:
                self._since = (utc_ms, now, uncertainty_ms)
            return
        self._since = (utc_ms, now, uncertainty_ms)
        before_ppb = self._span_ppb
        ppb = self._span_ppb = (utc_ms - from_ms - span_ms) * BILLION // span_ms
        if before_ppb is None or abs(ppb - before_ppb) > AGREE_PPB:
            return
        was_ppb = self._rate_ppb if self.rate_is_known else DRIFT_PPB + BILLION
        if not self._take_rate((ppb + before_ppb) // 2) or self._nvs is None:
            return
        if abs(self._rate_ppb - was_ppb) > STEADY_PPB:
            try:
                kept.set_checked(self._nvs, "rate", pack("<i", self._rate_ppb))
            except OSError:
                pass  # it is learnt again

    def _take_rate(self, ppb: int) -> bool:
        """No crystal is further off than DRIFT_PPB."""
        if abs(ppb) > DRIFT_PPB:
            return False
        self._rate_ppb = ppb
        self._ppb = LEARNT_PPB
        return True


def _seconds(span_ms: int) -> int:
    return span_ms // 1000 if span_ms >= 0 else -(-span_ms // 1000)
