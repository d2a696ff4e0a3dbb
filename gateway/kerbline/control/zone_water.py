"""Water of a zone by the hour: what its households used together, so that no one's is to be seen.

What a meter used in an hour is what it says itself (`hourly_l`), else the difference of its
totaliser at the hour's ends, interpolated between reads. A few integers a meter, whatever the rate
of reads; hours are those of UTC. An hour of a zone is closed once and never corrected: a correction
less what it corrects is one household's water. What comes later is counted, and left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kerbline.assets import Registry
from kerbline.assets.asset import WATER
from kerbline.control.latest import Latest
from kerbline.model import Reading, Value

KIND = "zone_water"
WITHHELD = "withheld"  # the flag of an hour whose households are too few
FORMAT = 1  # of what `saved` gives

HOUR_MS = 3_600_000
TOLD_H = 24  # of `hourly_l`
WINDOW_H = 240  # hours of which it is known whether a meter told them
SURE_MS = 600_000  # a totaliser read that may be further off says nothing of an hour
CLOCKS_MS = 2_000  # a node's clock against ours, beside the doubt that a reading states
AHEAD_MS = 600_000  # further in the future is a clock that is wrong
BLIND_MS = 2 * HOUR_MS  # reads further apart do not tell in which hour it was
MAX_LPH = 20_000  # more is another meter: five times what a home's largest meter passes
BREATH_L = 1_000  # so much back is backflow, more is another meter
SMALLEST_REGISTER_L = 100_000  # none rolls over before


@dataclass(frozen=True, slots=True)
class Terms:
    """How many households a sum has at least, and how long an hour waits for late meters."""

    min_households: int = 5
    wait_h: int = 30


@dataclass(frozen=True, slots=True)
class Member:
    """A meter's zone; of meters that share a `group`, one household's, the first alone counts."""

    zone: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Closed:
    """An hour of a zone that is over: its litres, None where the households are too few."""

    zone: str
    hour: int  # since 1970
    litres: int | None
    households: int
    meters: int
    of_meters: int
    late: int  # hours of meters that came after theirs was closed, since the one before this

    def values(self) -> dict[str, Value]:
        """As the values of a reading."""
        found: dict[str, Value] = {} if self.litres is None else {"consumed_l": self.litres}
        found["households"] = self.households
        found["completeness_pct"] = 100 * self.meters // self.of_meters
        found["late_hours"] = self.late
        return found

    @property
    def end_ms(self) -> int:
        """When it ended: what its reading is dated by."""
        return (self.hour + 1) * HOUR_MS


@dataclass(slots=True)
class Meter:
    """What is remembered of one meter; -1 for none."""

    source: str = ""  # who reads it: another one is another meter
    read_ms: int = -1
    volume_l: int = -1  # of the register, at its highest
    used_l: int = 0  # since it was first read
    mark_l: int = -1  # `used_l` when the hour of the last read began
    from_hour: int = -1  # of `hourly_l` earlier ones are not to be trusted
    heard_ms: int = -1
    newest: int = -1  # the hour of the lowest bit of ...
    settled: int = 0  # ... those that were told, or given up

    def settle(self, hour: int) -> bool:
        """Note that an hour is told or given up; False when it was before."""
        if hour > self.newest:
            shift = min(hour - self.newest, WINDOW_H)
            self.settled = (self.settled << shift | 1) & ((1 << WINDOW_H) - 1)
            self.newest = hour
            return True
        if self.is_settled(hour):
            return False
        self.settled |= 1 << (self.newest - hour)
        return True

    def is_settled(self, hour: int) -> bool:
        """Is nothing of that hour to be expected?"""
        age = self.newest - hour
        return age >= WINDOW_H or (age >= 0 and bool(self.settled >> age & 1))

    def saved(self) -> list[str | int]:
        """Its fields in their order, the bits in hexadecimal: no JSON has such numbers."""
        kept = (self.source, self.read_ms, self.volume_l, self.used_l, self.mark_l)
        seen = (self.from_hour, self.heard_ms, self.newest)
        return [*kept, *seen, f"{self.settled:x}"]


@dataclass(slots=True)
class Hour:
    """What of an hour came so far."""

    litres: int = 0
    meters: int = 0
    households: int = 0


@dataclass(slots=True)
class Zone:
    """One zone's open hours."""

    next: int  # the first hour that is not closed
    began_ms: int
    late: int = 0
    unsure: int = 0  # reports that could not be placed in time
    issued: int = -1  # hours before are closed, but it is not in the log yet
    hours: dict[int, Hour] = field(default_factory=dict)


class ZoneWater:
    """All zones of a gateway. Time is an argument: street time, ms since 1970."""

    def __init__(self, terms: Terms, saved: Mapping[str, Any] | None = None) -> None:
        """`saved` as it was given; what is of another format is as good as nothing."""
        self._terms = terms
        self._members: Mapping[str, Member] = {}
        self._by_zone: dict[str, list[str]] = {}
        self._zones: dict[str, Zone] = {}
        self._meters: dict[str, Meter] = {}
        self._latest = Latest()
        self._resumed_ms = -1
        if saved is not None and saved.get("format") == FORMAT:
            self._restore(saved)

    def serve(self, members: Mapping[str, Member]) -> None:
        """These are the meters from now on."""
        self._members = members
        self._by_zone = {}
        for meter, member in members.items():
            self._by_zone.setdefault(member.zone, []).append(meter)

    def resume(self, now_ms: int) -> None:
        """The gateway runs again: after an outage hours wait anew, for what its nodes kept."""
        if now_ms - self._latest.seen_ms > HOUR_MS:
            self._resumed_ms = now_ms

    def take(self, reading: Reading, now_ms: int) -> None:
        """A reading of any asset; repeated, late and unordered ones do no harm."""
        member = self._members.get(reading.asset)
        at_ms = reading.observed_at_ms
        volume_l = totaliser_l(reading.values)
        if member is None or volume_l is None:
            return
        zone = self._zone(member.zone, at_ms, now_ms)
        if at_ms > now_ms + AHEAD_MS or at_ms < 0:
            zone.unsure += 1
            return
        self._latest.seen_ms = max(self._latest.seen_ms, at_ms)
        meter = self._meters.setdefault(reading.asset, Meter())
        hourly = reading.values.get("hourly_l")
        if isinstance(hourly, tuple) and len(hourly) == TOLD_H:
            told = self._told(meter, reading, volume_l, hourly)
        else:
            told = self._read(meter, reading, volume_l)
        if told is None:
            zone.unsure += 1
            return
        meter.heard_ms = max(meter.heard_ms, at_ms)
        for hour, litres in told:
            if meter.settle(hour) and litres is not None:
                self._add(zone, hour, litres, counts=member.counts)

    def due(self, now_ms: int) -> Sequence[Closed]:
        """The hours that are over, each zone's in their order; each is given once."""
        if self._latest.is_behind(now_ms):
            if self._latest.was_wrong(now_ms):
                self._begin_anew(now_ms)
            return []
        found: list[Closed] = []
        for name, zone in list(self._zones.items()):
            meters = self._by_zone.get(name, [])
            households = sum(self._members[meter].counts for meter in meters)
            if households >= self._terms.min_households:
                found += self._due(name, meters, now_ms)
                continue
            zone.hours.clear()  # it can have no sum
            if meters:
                zone.next = max(zone.next, now_ms // HOUR_MS)
            elif now_ms // HOUR_MS - zone.next > WINDOW_H:
                del self._zones[name]
        return found

    def closed(self, zone_name: str, end_ms: int, late: int) -> None:
        """The log has the reading of an hour: that is closed, however often we start again."""
        zone = self._zones.get(zone_name)
        if zone is not None:
            zone.next = max(zone.next, end_ms // HOUR_MS)
            if zone.issued < zone.next:  # we closed it before we were started again
                zone.late = max(0, zone.late - late)
            zone.hours = {hour: it for hour, it in zone.hours.items() if hour >= zone.next}

    def told(self) -> dict[str, dict[str, int]]:
        """For the status: of each zone the first hour that is open, and what could not be used."""
        return {
            name: {
                "open_from_ms": max(zone.next, zone.issued) * HOUR_MS,
                "late_hours": zone.late,
                "unsure": zone.unsure,
            }
            for name, zone in self._zones.items()
        }

    def saved(self) -> dict[str, Any]:
        """All of it as JSON carries it over a restart."""
        return {
            "format": FORMAT,
            "seen_ms": self._latest.seen_ms,
            "resumed_ms": self._resumed_ms,
            "meters": {
                name: meter.saved() for name, meter in self._meters.items() if name in self._members
            },
            "zones": {
                name: [
                    zone.next,
                    zone.began_ms,
                    zone.late,
                    zone.unsure,
                    {
                        str(hour): [it.litres, it.meters, it.households]
                        for hour, it in zone.hours.items()
                    },
                ]
                for name, zone in self._zones.items()
            },
        }

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self._latest.seen_ms, self._resumed_ms = saved["seen_ms"], saved["resumed_ms"]
        for name, numbers in saved["meters"].items():
            meter = self._meters[name] = Meter(*numbers)
            meter.settled = int(numbers[-1], 16)
        for name, (first, began_ms, late, unsure, hours) in saved["zones"].items():
            kept = {int(hour): Hour(*it) for hour, it in hours.items()}
            self._zones[name] = Zone(first, began_ms, late, unsure, -1, kept)

    def _begin_anew(self, now_ms: int) -> None:
        """Forget it all: whoever is heard for the first time tells no hour that is over."""
        self._meters.clear()
        self._zones.clear()
        self._resumed_ms = now_ms

    def _zone(self, name: str, at_ms: int, now_ms: int) -> Zone:
        zone = self._zones.get(name)
        if zone is None:  # no clock may make it begin longer ago than it would wait
            oldest_ms = now_ms - (self._terms.wait_h + TOLD_H) * HOUR_MS
            begun_ms = min(max(at_ms, oldest_ms), now_ms)
            zone = self._zones[name] = Zone(begun_ms // HOUR_MS, now_ms)
        return zone

    def _add(self, zone: Zone, hour: int, litres: int, *, counts: bool) -> None:
        if hour < max(zone.next, zone.issued):
            zone.late += 1
            return
        it = zone.hours.setdefault(hour, Hour())
        it.litres += litres
        it.meters += 1
        it.households += counts

    def _due(self, name: str, meters: Sequence[str], now_ms: int) -> Iterator[Closed]:
        zone = self._zones[name]
        for hour, it in sorted(zone.hours.items()):  # one of which nobody told anything has no sum
            if hour < max(zone.next, zone.issued):
                continue
            if (hour + 1) * HOUR_MS > now_ms or not self._is_over(zone, hour, meters, now_ms):
                return
            zone.issued = hour + 1
            enough = it.households >= self._terms.min_households
            litres = it.litres if enough else None
            of_meters = max(len(meters), it.meters)
            yield Closed(name, hour, litres, it.households, it.meters, of_meters, zone.late)
            zone.late = 0

    def _is_over(self, zone: Zone, hour: int, meters: Sequence[str], now_ms: int) -> bool:
        wait_ms = self._terms.wait_h * HOUR_MS
        if now_ms >= max((hour + 1) * HOUR_MS, self._resumed_ms) + wait_ms:
            return True
        for name in meters:
            meter = self._meters.get(name)
            heard_ms = -1 if meter is None else meter.heard_ms
            silent = now_ms - max(heard_ms, self._resumed_ms, zone.began_ms) > wait_ms
            if not silent and (meter is None or not meter.is_settled(hour)):
                return False
        return True

    def _told(
        self, meter: Meter, reading: Reading, volume_l: int, hourly: Sequence[int | float]
    ) -> list[tuple[int, int | None]] | None:
        """What a meter says of its last 24 hours; None when it is not sure which these are."""
        at_ms = reading.observed_at_ms
        doubt_ms = reading.uncertainty_ms + CLOCKS_MS
        under_way = at_ms // HOUR_MS
        if (at_ms - doubt_ms) // HOUR_MS != (at_ms + doubt_ms) // HOUR_MS:
            return None
        if at_ms > meter.read_ms:
            if self._is_other(meter, reading, volume_l):
                # Its 24 hours were another's, or before it was there; this one is half of each.
                meter.from_hour = under_way + 1
            meter.source, meter.read_ms = reading.key.source, at_ms
            meter.volume_l, meter.mark_l = volume_l, -1
        elif meter.source != reading.key.source:
            return []  # what the one before had kept
        found: list[tuple[int, int | None]] = []
        for hour, litres in enumerate(hourly, under_way - TOLD_H):
            sound = isinstance(litres, int) and 0 <= litres <= MAX_LPH
            trusted = sound and hour >= meter.from_hour
            found.append((hour, int(litres) if trusted else None))
        if under_way < meter.from_hour:
            found.append((under_way, None))
        return found

    def _is_other(self, meter: Meter, reading: Reading, volume_l: int) -> bool:
        if meter.source != reading.key.source:
            return True
        return grown(meter.volume_l, volume_l, reading.observed_at_ms - meter.read_ms) is None

    def _read(
        self, meter: Meter, reading: Reading, volume_l: int
    ) -> list[tuple[int, int | None]] | None:
        """What the totaliser says of the hours that ended since the read before."""
        at_ms = reading.observed_at_ms
        if reading.uncertainty_ms > SURE_MS:
            return None
        if at_ms <= meter.read_ms:
            return []
        since_ms = at_ms - meter.read_ms
        more_l = None
        if meter.source == reading.key.source and meter.read_ms >= 0:
            more_l = grown(meter.volume_l, volume_l, since_ms)
        before_ms, meter.read_ms, meter.source = meter.read_ms, at_ms, reading.key.source
        under_way = at_ms // HOUR_MS
        if more_l is None or since_ms > BLIND_MS:
            lost_from = under_way if before_ms < 0 else before_ms // HOUR_MS
            meter.volume_l = volume_l
            begins = at_ms % HOUR_MS == 0
            meter.mark_l = meter.used_l if begins else -1
            lost = range(max(lost_from, under_way - WINDOW_H), under_way + (not begins))
            return [(hour, None) for hour in lost]
        found: list[tuple[int, int | None]] = []
        for hour in range(before_ms // HOUR_MS, under_way):
            passed_ms = (hour + 1) * HOUR_MS - before_ms
            then_l = meter.used_l + more_l * passed_ms // since_ms
            found.append((hour, then_l - meter.mark_l if meter.mark_l >= 0 else None))
            meter.mark_l = then_l
        meter.used_l += more_l
        meter.volume_l = volume_l if more_l else max(meter.volume_l, volume_l)
        return found


def members(registry: Registry) -> Mapping[str, Member]:
    """The personal water meters of each zone that have a device here."""
    found: dict[str, Member] = {}
    homes: set[tuple[str, str]] = set()
    for asset in sorted(registry.served(), key=lambda each: each.id):
        if asset.zone and asset.type == WATER and registry.personal(asset.id):
            home = (asset.zone, f"group {asset.group}" if asset.group else asset.id)
            found[asset.id] = Member(asset.zone, home not in homes)
            homes.add(home)
    return found


def households(members: Mapping[str, Member]) -> Mapping[str, int]:
    """How many each zone has."""
    found: dict[str, int] = {}
    for member in members.values():
        found[member.zone] = found.get(member.zone, 0) + member.counts
    return found


def grown(before_l: int, after_l: int, within_ms: int) -> int | None:
    """By how much a totaliser rose; None when it is another one. What goes back is nothing."""
    most_l = MAX_LPH * max(within_ms, HOUR_MS) // HOUR_MS
    more_l = after_l - before_l
    if 0 <= more_l <= most_l:
        return more_l
    if more_l < 0:
        for register_l in (10 ** len(str(before_l)), 1 << 32):
            rolled_l = more_l + register_l
            if before_l < register_l >= SMALLEST_REGISTER_L and 0 <= rolled_l <= most_l:
                return rolled_l
        if -more_l <= BREATH_L:
            return 0
    return None


def totaliser_l(values: Mapping[str, Value]) -> int | None:
    """The totaliser in whole litres; None where there is none, or no number."""
    litres = values.get("volume_l")
    if litres is None:
        cubic = values.get("volume_m3")
        if isinstance(cubic, bool) or not isinstance(cubic, (int, float)):
            return None
        litres = cubic * 1_000
    if isinstance(litres, bool) or not isinstance(litres, (int, float)):
        return None
    if not math.isfinite(litres) or litres < 0:
        return None
    return round(litres)


def hour_ends(reading: Reading, volume_l: int) -> Iterator[tuple[int, int]]:
    """What a meter's totaliser was at most at the ends of its last 24 hours, by its `hourly_l`.

    At most, since it does not say what it counted since the last hour ended. Hours before the
    first with water may be those before the meter was there.
    """
    hourly, at_ms = reading.values.get("hourly_l"), reading.observed_at_ms
    if not isinstance(hourly, tuple) or len(hourly) != TOLD_H:
        return
    litres = [each for each in hourly if isinstance(each, int) and 0 <= each <= MAX_LPH]
    doubt_ms = reading.uncertainty_ms + CLOCKS_MS
    under_way = at_ms // HOUR_MS
    sure = (at_ms - doubt_ms) // HOUR_MS == (at_ms + doubt_ms) // HOUR_MS
    before_l = then_l = volume_l - sum(litres)
    if not sure or before_l < 0 or len(litres) < TOLD_H:
        return
    for end, used_l in enumerate(litres, under_way - TOLD_H + 1):
        then_l += used_l
        if then_l > before_l:
            yield end * HOUR_MS, then_l
