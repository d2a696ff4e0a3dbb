"""Why a lamp has its level: who asks for what, what bounds it, and what it told, from the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerbline.cli.tables import aligned

if TYPE_CHECKING:
    from kerbline.agent.light.programs import LightPrograms
    from kerbline.clock import Clock
    from kerbline.config import Config
    from kerbline.control.light.decision import Decision
    from kerbline.control.light.profile import Bound
    from kerbline.control.light.wants import Want
    from kerbline.model import Command, Reading
    from kerbline.store.decisions import Kept
    from kerbline.store.reader import Reader

KIND = "streetlight"
SHOWN = 8  # of what was decided, the newest
LONGEST_MS = 2 * 86_400_000  # a hold lasts a day at most
BEFORE_MS = 6 * 3_600_000  # a lamp that lives told something within that
HELD = ("PENDING", "DELIVERED", "OK")  # an order that may be carried out
MOTION = "motion"


@dataclass(frozen=True, slots=True)
class Order:
    """Somebody outside, or safety, has the lamp since a time, for control as well."""

    source: str
    level_pct: int
    since_ms: int
    until_ms: int  # -1: until it is released


@dataclass(frozen=True, slots=True)
class Found:
    """All that is known of a lamp at a street time, ms since 1970."""

    asset: str
    at_ms: int
    schedule: tuple[int | None, str]
    schedule_version: str
    order: Order | None
    wants: Mapping[str, tuple[Want, Decision]]
    bound: Bound | None
    decisions: Sequence[Decision]
    lost: tuple[int, int]
    report: Reading | None
    motion: Reading | None

    @property
    def asked(self) -> tuple[int | None, str]:
        """The level that counts before it is bounded, and whose it is."""
        from kerbline.control.arbitration import Rank, rank
        from kerbline.control.light.wants import chosen

        first = chosen(want for want, _ in self.wants.values())
        order = self.order
        if order is not None:
            latest_ms = max((each.at_ms for _, each in self.wants.values()), default=0)
            if rank(order.source) > Rank.CONTROL or order.since_ms >= latest_ms:
                return order.level_pct, f"an order of {order.source}"
        if first is not None:
            return first.level_pct, _who(first.by)
        return self.schedule

    @property
    def level(self) -> tuple[int | None, str]:
        """The level, and why in a line."""
        from kerbline.control.arbitration import Rank, rank

        level, by = self.asked
        if level is None or self.bound is None:
            return level, by
        is_safety = self.order is not None and rank(self.order.source) is Rank.SAFETY
        kept = level if is_safety else self.bound.keep(level)
        if kept == level:
            return level, by
        floor = self.bound.floor
        why = f"class {floor.class_name}" if floor.class_name else "its floor"
        return (
            kept,
            f"{by}, which asks for {level} %, and {why if kept > level else self.bound.cap}",
        )


def look(config: Config, path: Path, asset: str, at_ms: int, clock: Clock) -> Found:
    """What the config and the store say of a lamp at a street time; raises StoreError."""
    from kerbline.control.light.decision import standing
    from kerbline.control.light.nightly import SCHEDULE
    from kerbline.control.light.wants import Want
    from kerbline.store import decisions as kept
    from kerbline.store.reader import Reader

    programs = _programs(config, clock)
    reader = Reader.open(path)
    try:
        every = list(_decisions(kept.newest_first(reader, at_ms), asset, at_ms))
        order = _order(reader, asset, at_ms, clock)
        report, motion = _told(reader, asset, at_ms, clock)
        lost = kept.lost(reader)
    finally:
        reader.close()
    priorities = {f"rule {rule.name}": rule.priority for rule in config.rules}
    wants = {
        by: (Want(by, each.level_pct, priorities.get(by, int(" " in by)), until_ms, by), each)
        for by, (each, until_ms) in standing(every, asset, at_ms).items()
    }
    mine = [each for each in every if each.concerns(asset)]
    bound = programs.bounds(asset, at_ms // 1000) if programs else None
    given = next((each for each in mine if each.operation == SCHEDULE), None)
    level, why, version = _schedule(programs, asset, at_ms, given)
    return Found(
        asset,
        at_ms,
        (level, why),
        version,
        order,
        wants,
        bound,
        mine,
        lost,
        report,
        motion,
    )


def _decisions(kept: Iterable[Kept], asset: str, at_ms: int) -> Iterator[Decision]:
    """What concerns an asset, and the gateway itself; as far back as anything may still hold."""
    from kerbline.control.light.decision import GATEWAY, Decision

    names = f'"{asset}"', f'"{GATEWAY}"'
    found = 0
    for each in kept:
        if each.at_ms < at_ms - LONGEST_MS and found >= SHOWN:
            return
        if any(name in each.body for name in names):  # it is most of the work to parse them
            with suppress(ValueError):
                decision = Decision.parsed(each.body)
                found += decision.concerns(asset)
                yield decision


def told(found: Found) -> Iterator[str]:
    """For a person."""
    level, by = found.level
    pct = "its level is its node's own affair" if level is None else f"{level} %"
    yield f"{found.asset} at {instant(found.at_ms)} UTC: {pct}, by {by}"
    yield from aligned([(f"  {name}", text) for name, text in _facts(found)])
    if found.decisions:
        yield "  decided until then:"
        yield from aligned([_row(found, each) for each in found.decisions[:SHOWN]])
    if found.lost[0]:
        yield (
            f"  {found.lost[0]:,} decisions are kept no more; "
            f"the oldest that is there was at {instant(found.lost[1])}"
        )


def to_json(found: Found) -> str:
    """For a machine: one object."""
    level, by = found.level
    asked, asks = found.asked
    bound = found.bound
    parts: dict[str, Any] = {
        "asset": found.asset,
        "at_ms": found.at_ms,
        "level_pct": level,
        "by": by,
        "asked": {"level_pct": asked, "by": asks},
        "schedule": {"level_pct": found.schedule[0], "by": found.schedule[1]},
        "order": None if found.order is None else _fields(found.order),
        "control": [
            {
                **decided(each),
                "until_ms": want.until_ms,
                "priority": want.priority,
            }
            for want, each in found.wants.values()
        ],
        "floor_pct": bound.floor.level_pct if bound else None,
        "class": bound.floor.class_name if bound else None,
        "ceiling_pct": bound.ceiling_pct if bound else None,
        "cap": bound.cap if bound else None,
        "told": None if found.report is None else dict(found.report.values),
        "told_ms": None if found.report is None else found.report.observed_at_ms,
        "decisions": [decided(each) for each in found.decisions[:SHOWN]],
        "decisions_lost": found.lost[0],
    }
    return json.dumps(parts)


def _facts(found: Found) -> Iterator[tuple[str, str]]:
    order, bound = found.order, found.bound
    if order is None:
        yield "orders", "nobody holds it"
    else:
        until = f"until {instant(order.until_ms)}" if order.until_ms >= 0 else "until released"
        since = instant(order.since_ms)
        yield "orders", f"{order.level_pct} % by {order.source}, since {since}, {until}"
    if not found.wants:
        yield "control", "nothing is asked"
    for by, (want, each) in found.wants.items():
        lasts = f"to {instant(want.until_ms)} at the latest, if nothing more comes"
        yield "control", f"{want.level_pct} % by {_who(by)}{_version(each)}: {each.what}; {lasts}"
        for name, value in each.inputs.items():
            yield "", f"  {name} {valued(name, value)}"
    level, why = found.schedule
    yield "schedule", why if level is None else f"{level} % by {why}{found.schedule_version}"
    if bound is not None:
        name = f" by class {bound.floor.class_name}" if bound.floor.class_name else ""
        yield "floor", f"{bound.floor.level_pct} %{name}"
        yield "cap", f"{bound.ceiling_pct} % by {bound.cap}" if bound.cap else "none"
    if found.motion is not None:
        yield "its sensor", f"somebody came at {instant(found.motion.observed_at_ms)}"
    if found.report is None:
        yield "it told", "nothing in the hours before"
    else:
        report = found.report
        pct, watts = report.values.get("level_pct"), report.values.get("power_w")
        yield "it told", f"{pct} %, {watts} W at {instant(report.observed_at_ms)}"


def _row(found: Found, each: Decision) -> tuple[str, ...]:
    what = each.operation
    if each.level_pct >= 0:
        what = f"{each.level_pct} % for {each.hold_s} s"
    refused = each.refused.get(found.asset)
    no = f"not carried out: {refused}" if refused else ""
    return f"    {instant(each.at_ms)}", f"{_who(each.by)}{_version(each)}", each.what, what, no


def decided(each: Decision) -> dict[str, Any]:
    """A decision for a machine."""
    return {
        "at_ms": each.at_ms,
        "by": each.by,
        "version": each.version,
        "what": each.what,
        "operation": each.operation,
        "level_pct": each.level_pct,
        "hold_s": each.hold_s,
        "refused": dict(each.refused),
        "inputs": dict(each.inputs),
    }


def _fields(order: Order) -> dict[str, Any]:
    return {
        "source": order.source,
        "level_pct": order.level_pct,
        "since_ms": order.since_ms,
        "until_ms": None if order.until_ms < 0 else order.until_ms,
    }


def _who(by: str) -> str:
    return "light on demand" if by == "dimming" else by


def _version(each: Decision) -> str:
    return f" (version {each.version.removeprefix('v')})" if each.version else ""


def valued(name: str, value: object) -> str:
    """What a decision went by, for a person."""
    return instant(value) if name.endswith("_ms") and isinstance(value, int) else str(value)


def instant(at_ms: int) -> str:
    """A time, to the second."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _programs(config: Config, clock: Clock) -> LightPrograms | None:
    if config.light is None:
        return None
    from kerbline.agent.light.programs import LightPrograms

    return LightPrograms(config, clock)


def _schedule(
    programs: LightPrograms | None, asset: str, at_ms: int, given: Decision | None
) -> tuple[int | None, str, str]:
    """What its node did by itself, why, and of which version; by the config where it is not kept.

    `given`: what it was given last before that.
    """
    own = None, "its node's own profile", ""
    if programs is None:
        return own
    from kerbline.control.light.nightly import stored

    night = programs.night(at_ms // 1000)
    kept = stored(given) if given is not None else None
    if given is not None and kept is not None:
        level = kept.level_pct(night, at_ms // 1000)
        return level, f"{given.by} by {given.what}", _version(given)
    plan = programs.told(asset, night)
    if plan is None:
        return own
    return plan.stored.level_pct(night, at_ms // 1000), plan.why, " (as the config is now)"


def _order(reader: Reader, asset: str, at_ms: int, clock: Clock) -> Order | None:
    """Whoever of a higher rank than control had the lamp."""
    from kerbline.control import arbitration
    from kerbline.control.moment import Moment

    claims = arbitration.Claims()
    level = since_ms = 0
    for command, came_ms in _orders(reader, asset):
        then = Moment(came_ms, clock.street_ms(came_ms))
        if then.street_ms > at_ms:
            break
        claims, refusal = arbitration.admit(claims, command, then)
        if not refusal and command.operation == "set_level":
            level, since_ms = command.whole("level_pct"), then.street_ms
    claim = claims.by_asset.get(asset)
    if claim is None or not claim.holds(at_ms):
        return None
    return Order(claim.source, level, since_ms, claim.until_ms)


def _orders(reader: Reader, asset: str) -> Iterator[tuple[Command, int]]:
    """Orders from outside that may have been carried out, and when each came, real UTC, ms."""
    from kerbline.model import Command

    rows = reader.rows(
        "SELECT c.id, c.operation, c.arguments, c.expires_at_ms, c.source, min(a.at_ms)"
        " FROM command c JOIN command_audit a ON a.command = c.id"
        " WHERE c.asset = ? AND c.operation IN ('set_level', 'release')"
        " AND c.source NOT LIKE 'control/% %'"  # ours, which says why
        f" AND (c.state IN {HELD} OR c.reason = 'outcome_unknown')"
        " GROUP BY c.id ORDER BY min(a.id)",
        asset,
    )
    for name, operation, arguments, expires_at_ms, source, came_ms in rows:
        given = json.loads(arguments)
        yield Command(name, asset, operation, given, expires_at_ms, source), came_ms


def _told(
    reader: Reader, asset: str, at_ms: int, clock: Clock
) -> tuple[Reading | None, Reading | None]:
    """The last report of a lamp before a time, and the last motion within its node's own hold."""
    from kerbline.model import Reading
    from kerbline.store.entries import Garbled, decoded, inflated

    real_ms = clock.street.real_ms(at_ms)
    rows = reader.rows(
        "SELECT seq, at_ms, entries, body, crc FROM batch WHERE at_ms BETWEEN ? AND ? ORDER BY seq",
        clock.street.real_ms(at_ms - BEFORE_MS),
        real_ms + BEFORE_MS,
    )
    report: Reading | None = None
    motion: Reading | None = None
    wanted = f'"asset":{json.dumps(asset)}'.encode()
    for row in rows:
        try:
            body = inflated(row[0], row[1], row[2], row[3], row[4])
            entries = decoded(body) if wanted in body else ()
        except Garbled:
            continue
        for each in entries:
            if not isinstance(each, Reading) or each.asset != asset:
                continue
            if not at_ms - BEFORE_MS < each.observed_at_ms <= at_ms:
                continue
            if each.kind == KIND:
                report = _newer(report, each)
            elif each.values.get("event") == MOTION:
                motion = _newer(motion, each)
    return report, motion


def _newer(known: Reading | None, other: Reading) -> Reading:
    return other if known is None or known.observed_at_ms <= other.observed_at_ms else known
