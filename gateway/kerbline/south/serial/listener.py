"""What a device says, telegram by telegram: new or stale, how old, for whom; and its silence.

Pure: bytes and times in, `Measured` out. Opening lines and asking devices is not its business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kerbline.config.telegram import Profile, Stamp
from kerbline.counters import Counters
from kerbline.model import Value
from kerbline.south.measured import Measured
from kerbline.south.serial import stamps
from kerbline.south.serial.content import NO_CHANNEL, Decoded, Decoder
from kerbline.south.serial.framing import Broken, Splitter

SILENT_PERIODS = 3
SHORTEST_SILENCE_MS = 2_000
AHEAD_MS = 60_000  # a telegram's time that lies further in our future is wrong
SAMPLE_BYTES = 256
CLOCK_OFF, NO_TIME = "clock_off", "no_time"
NO_ANSWER, GARBLED, STALE = "no_answer", "garbled", "stale"
# 7 data bits and even parity, seen by a line that is set to 8: what is odd becomes no letter
_EVEN7 = bytes(n & 0x7F if n.bit_count() % 2 == 0 else 0xFF for n in range(256))
_TO_EVEN7 = bytes(n | 0x80 * (n.bit_count() % 2) for n in range(128)) + bytes(range(128, 256))


def from_line(data: bytes, parity: str) -> bytes:
    """Bytes as they came, without the parity that we check ourselves; U+00FF where it is wrong."""
    return data.translate(_EVEN7) if parity == "even7" else data


def to_line(data: bytes, parity: str) -> bytes:
    """Bytes as they have to go."""
    return data.translate(_TO_EVEN7) if parity == "even7" else data


@dataclass(slots=True)
class Heard:
    """What came over a line so far, for whoever looks for what is wrong with it."""

    received: int = 0  # bytes
    telegrams: int = 0  # whole ones
    readings: int = 0  # what the profile found in them
    broken: dict[str, int] = field(default_factory=dict)
    sample: bytes = b""  # the last of it, as it came


@dataclass(slots=True)
class _Last:
    """What a reading of one asset was when it was told last."""

    time: str | None = None
    flags: frozenset[str] = frozenset()
    due_ms: float = 0.0


class Listener:
    """One device's words. `assets` says who gets which reading: "gas", or "gas@2" for a channel."""

    __slots__ = (
        "_assets",
        "_counters",
        "_decoder",
        "_heard_ms",
        "_last",
        "_new_ms",
        "_parity",
        "_period_ms",
        "_profile",
        "_report_ms",
        "_since",
        "_splitter",
        "_told",
        "heard",
    )

    def __init__(
        self,
        profile: Profile,
        assets: Mapping[str, str],
        parity: str,
        period_s: float,
        report_s: float,
        counters: Counters,
    ) -> None:
        self._profile = profile
        self._assets = assets
        self._parity = parity
        self._period_ms = period_s * 1_000
        self._report_ms = report_s * 1_000
        self._counters = counters
        self._splitter = Splitter(profile.frame)
        self._decoder = Decoder(profile)
        self._last: dict[str, _Last] = {}
        self._heard_ms = 0
        self._new_ms = 0
        self._since = (0, 0, 0)  # bytes, telegrams and readings at the last new reading
        self._told = False
        self.heard = Heard()

    @property
    def assets(self) -> list[str]:
        """Everybody whom this device measures."""
        return list(dict.fromkeys(self._assets.values()))

    def opened(self, now_ms: int) -> None:
        """The line is open (again): what was half will never be whole."""
        self._splitter.drop()
        self._heard_ms = self._new_ms = now_ms
        self._since = self._counts()

    def forget_half(self) -> None:
        """What came of a telegram so far belongs to none: the device is asked anew."""
        self._splitter.drop()

    def receive(self, data: bytes, now_ms: int, utc_ms: int) -> list[Measured]:
        """What the bytes that came at a monotonic and a UTC time complete."""
        heard = self.heard
        heard.received += len(data)
        heard.sample = (heard.sample + data)[-SAMPLE_BYTES:]
        splitter, gap_ms = self._splitter, self._profile.line.gap_s * 1_000
        if splitter.pending and now_ms - self._heard_ms > gap_ms and self._unsecured():
            splitter.drop()
            self._count("half")
        self._heard_ms = now_ms
        found: list[Measured] = []
        skipped = splitter.skipped
        for each in splitter.receive(from_line(data, self._parity)):
            if isinstance(each, Broken):
                self._count(each.code)
                continue
            heard.telegrams += 1
            found += self._take(self._decoder.decode(each.data), now_ms, utc_ms)
        if splitter.skipped > skipped:
            self._counters.count("serial.skipped_bytes", splitter.skipped - skipped)
        return found

    def silence_ms(self) -> float | None:
        """The monotonic time at which to call `tick`; None: it has been told, or is no fault."""
        if self._told or not self._period_ms:
            return None
        return self._new_ms + max(SILENT_PERIODS * self._period_ms, SHORTEST_SILENCE_MS)

    def tick(self, now_ms: int, utc_ms: int) -> list[Measured]:
        """When nothing new has come for too long: why, once, to every asset."""
        until_ms = self.silence_ms()
        if until_ms is None or now_ms < until_ms:
            return []
        self._told = True
        why = self.trouble()
        self._counters.count(f"serial.{why}")
        return [Measured(asset, {}, utc_ms, (why,), "serial") for asset in self.assets]

    def trouble(self) -> str:
        """What is wrong with the line since the last new reading, as a quality flag."""
        count, telegrams, readings = self._since
        if self.heard.readings > readings:
            return STALE
        if self.heard.received > count and self.heard.telegrams == telegrams:
            return GARBLED
        return NO_ANSWER

    @property
    def silent(self) -> bool:
        """True from the `tick` that told the silence to the next new reading."""
        return self._told

    def _counts(self) -> tuple[int, int, int]:
        return self.heard.received, self.heard.telegrams, self.heard.readings

    def _unsecured(self) -> bool:
        """Without a checksum only the pause tells that a telegram's halves are of two."""
        return self._profile.frame.checksum is None

    def _count(self, code: str) -> None:
        self.heard.broken[code] = self.heard.broken.get(code, 0) + 1
        self._counters.count(f"serial.{code}")

    def _take(self, decoded: list[Decoded], now_ms: int, utc_ms: int) -> list[Measured]:
        found: list[Measured] = []
        off = False
        taken: set[str] = set()
        for each in decoded:
            self.heard.readings += 1
            asset_key = self._key(each, taken)
            name = f"{each.reading.name}@{each.channel}"
            last = self._last.setdefault(name, _Last())
            if each.time is not None and each.time == last.time:
                if each.channel == NO_CHANNEL:  # a meter behind the meter tells every 5 minutes
                    self._counters.count("serial.repeated")
                continue
            last.time = each.time
            self._new(now_ms)
            at_ms, uncertainty_ms = self._dated(each, utc_ms, off=off)
            off = off or (each.channel == NO_CHANNEL and CLOCK_OFF in each.flags)
            if asset_key is None or not self._due(last, each, now_ms):
                continue
            values: Mapping[str, Value] = each.values
            quality = tuple(sorted(each.flags))
            asset = self._assets[asset_key]
            found.append(Measured(asset, values, at_ms, quality, "serial", uncertainty_ms, utc_ms))
        return found

    def _new(self, now_ms: int) -> None:
        self._new_ms = now_ms
        self._since = self._counts()
        self._told = False

    def _key(self, each: Decoded, taken: set[str]) -> str | None:
        """Whose the reading is; of two channels of a kind the lower one has the bare name."""
        name = each.reading.name
        if each.channel != NO_CHANNEL and f"{name}@{each.channel}" in self._assets:
            return f"{name}@{each.channel}"
        if name not in self._assets or (each.channel != NO_CHANNEL and name in taken):
            return None
        taken.add(name)
        return name

    def _dated(self, each: Decoded, utc_ms: int, *, off: bool) -> tuple[int, int]:
        """When it was so, and half the width of that; a time that can't be is told and left."""
        stamp = each.reading.stamp
        if stamp is None:
            return utc_ms, 0
        at_ms = _moment(stamp, each, utc_ms)
        if at_ms is None:
            each.flags.add(NO_TIME)
            if each.channel != NO_CHANNEL:
                each.values.clear()  # a meter behind the meter that has not answered it
            return utc_ms, 0
        if off or not -stamp.oldest_s * 1_000 <= at_ms - utc_ms <= AHEAD_MS:
            each.flags.add(CLOCK_OFF)
            return utc_ms, 0
        return at_ms, stamp.uncertainty_ms

    def _due(self, last: _Last, each: Decoded, now_ms: int) -> bool:
        """One telegram for each `report_s`, and at once what changes the quality."""
        flags = frozenset(each.flags)
        if now_ms < last.due_ms and flags == last.flags:
            return False
        last.flags = flags
        last.due_ms = now_ms + self._report_ms - min(self._period_ms, self._report_ms) / 2
        return True


def _moment(stamp: Stamp, each: Decoded, utc_ms: int) -> int | None:
    if each.time is None:
        return None
    if stamp.form == "dsmr":
        return stamps.dsmr(each.time, stamp.zone_min)
    return stamps.nmea(each.time, each.date, utc_ms)
