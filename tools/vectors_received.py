"""The golden vectors of sessions: frames in the order in which they come, and what each means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools import second_batch
from tools import second_wire as wire
from tools.vectors_batch import Tables

UP, DOWN = wire.UP, wire.DOWN
REPORT, CONTROL, OBJECT = wire.REPORT_CLASS, wire.CONTROL_CLASS, wire.OBJECT_CLASS
# What no version so far sends behind the items that it knows.
LATER: tuple[int | bytes, ...] = (b"later", (1 << 64) - 1, -(1 << 64))
BOOT, PERIOD_S = 9, 900
ALL = (1 << 40) - 1


@dataclass(frozen=True, slots=True)
class Ear:
    """One end, and the frames that come to it; by default numbered as they come."""

    name: str
    to: str
    session: wire.Session
    heard: list[dict[str, Any]] = field(default_factory=list)

    def hears(
        self,
        name: str,
        class_: int,
        items: wire.Items | bytes,
        number: int | None = None,
        *,
        wide: bool = True,
    ) -> dict[str, Any]:
        """Its case: what it is taken for is for the caller to say."""
        body = items if isinstance(items, bytes) else wire.body(items)
        fseq = len(self.heard) if number is None else number
        direction = UP if self.to == "gateway" else DOWN
        frame = self.session.seal(direction, class_, fseq, body, wide=wide)
        self.heard.append({"name": name, "number": fseq, "frame": frame.hex()})
        return self.heard[-1]

    def told(self) -> dict[str, Any]:
        return {"name": self.name, "to": self.to, "frames": self.heard}


def received(
    session: wire.Session, tables: Tables, hashes: Mapping[str, str]
) -> list[dict[str, Any]]:
    """What one end takes: `records`, `gap`, `offer`, spans `seen` and `kept`; or its `error`."""
    info: list[int | bytes] = [3, 1, session.schema_hash, BOOT, 77, 1, 3, 120, PERIOD_S, 256, 4, 0]

    def gateway(name: str, *, wide: bool = True, more: wire.Items = ()) -> Ear:
        ear = Ear(name, "gateway", session)
        ear.hears("INFO", CONTROL, [*info, *more], wide=wide)
        return ear

    ears = [_elapsed(gateway("numbers that grow with time")), _bases(gateway("bases"), tables)]
    ears += [_window(gateway("a window of 32")), _narrow(gateway("a byte of number", wide=False))]
    again = gateway("INFO within a session")
    other = [*info[:2], bytes.fromhex(hashes["water_meter"]), 10, 78, 1, 3, 120, 1, 256, 4, 0]
    again.hears("keyframe", REPORT, [4, 0, 3, 0, 900, *range(7)]).update(
        records=[_row(3, 900, range(7))]
    )
    again.hears("another schema, boot and period", CONTROL, other)
    again.hears("an INFO cut short", CONTROL, [3])
    same = [_row(4, 1800, (*range(6), 906))]
    again.hears("a difference, in the first schema", REPORT, [4, 1, 3, 0]).update(records=same)
    ears += [again, _later_up(gateway("later items, up", more=LATER)), _later_down(session)]
    ears.append(_polls(session))
    return [ear.told() for ear in ears]


def _row(rseq: int, uptime: int, values: Sequence[int]) -> tuple[int, int, int, list[int]]:
    return rseq, BOOT, uptime, list(values)


def _elapsed(ear: Ear) -> Ear:
    keyframe = (30, 245, 1000, 10, 12, 0, 890)
    ear.hears("keyframe", REPORT, [4, 0, 3, 0, 900, *keyframe]).update(
        records=[_row(3, 900, keyframe)]
    )
    grown = (*keyframe[:6], 890 + 1803)
    late = [4, 2, 3, 1 << 7, 3]
    ear.hears("two periods and 3 s", REPORT, late).update(records=[_row(5, 2703, grown)])
    early = (31, *keyframe[1:6], grown[6] + 895 - 7)
    mask = 1 | 1 << 6 | 1 << 7
    ear.hears("5 s early, a clock that lost 7 s", REPORT, [4, 1, 5, mask, 1, -7, -5]).update(
        records=[_row(6, 3598, early)]
    )
    ear.hears("keyframe of version 1", REPORT, [4, 0, 7, 0, 4500, *range(6)]).update(
        records=[_row(7, 4500, range(6))]
    )
    ear.hears("a difference to it", REPORT, [4, 1, 7, 1 << 5 | 1 << 6, 4, 2]).update(
        records=[_row(8, 5402, (*range(5), 9))]
    )
    ear.hears("a difference too many", REPORT, [4, 1, 8, 1, 4, 2]).update(error="value")
    ear.hears("a bit behind that of the time", REPORT, [4, 1, 8, 1 << 7, 4]).update(error="value")
    ear.hears("time before the boot", REPORT, [4, 1, 3, 1 << 7, -1801]).update(error="value")
    return ear


def _bases(ear: Ear, tables: Tables) -> Ear:
    def keyframe(rseq: int, number: int) -> None:
        values = [rseq, 0, 0, 0, 0, 0, 0]
        items = [4, 0, rseq, 0, rseq, *values]
        ear.hears(f"keyframe {rseq}", REPORT, items, number).update(
            records=[_row(rseq, rseq, values)]
        )

    def delta(name: str, n: int, base: int, number: int) -> dict[str, Any]:
        return ear.hears(name, REPORT, [4, n, base & 0xFF, 0], number)

    keyframe(5, 1)
    next_row = _row(6, 905, (5, 0, 0, 0, 0, 0, 900))
    delta("against 5", 1, 5, 3).update(records=[next_row])
    keyframe(20, 5)
    delta("against 20, of an earlier frame", 1, 20, 4).update(error="base")
    delta("against 5, of an earlier frame", 2, 5, 2).update(
        records=[_row(7, 1805, (5, 0, 0, 0, 0, 0, 1800))]
    )
    fields, _ = tables["streetlight"]
    base = _row(20, 20, (20, 0, 0, 0, 0, 0, 0))
    start = (base[0], base[1], base[2], tuple(base[3]))
    batch = (21, BOOT, 925, (21, 0, 0, 0, 0, 0, 900))
    codes: list[second_batch.Code] = [(2, 0)] * 8
    slopes = [0] * len(fields)
    packed = b"\x0c" + second_batch.encode([batch], start, fields, PERIOD_S, codes, slopes)
    ear.hears("BATCH of 21, against a report", REPORT, packed, 6).update(records=[batch])
    delta("against 21, of a batch", 1, 21, 7).update(error="base")
    second = (22, BOOT, 1825, (22, 0, 0, 0, 0, 0, 1800))
    packed = b"\x0c" + second_batch.encode([second], batch, fields, PERIOD_S, codes, slopes)
    ear.hears("BATCH of 22, against that", REPORT, packed, 8).update(records=[second])
    keyframe(275, 9)
    delta("against 20, 255 below", 4096, 20, 10).update(
        records=[_row(4116, 20 + 4096 * 900, (20, 0, 0, 0, 0, 0, 4096 * 900))]
    )
    delta("against 275, too far below", 1, 275, 11).update(error="base")
    return ear


def _window(ear: Ear) -> Ear:
    ear.hears("ahead", CONTROL, [10], 40)
    ear.hears("31 below", CONTROL, [10], 9)
    ear.hears("32 below", CONTROL, [10], 8).update(error="replay")
    ear.hears("31 below, again", CONTROL, [10], 9).update(error="replay")
    ear.hears("1 below", CONTROL, [10], 39)
    ear.hears("the highest again", CONTROL, [10], 40).update(error="replay")
    ear.hears("the next", CONTROL, [10], 41)
    ear.hears("now 32 below", CONTROL, [10], 9).update(error="replay")
    ear.hears("31 below, of those left out", CONTROL, [10], 10)
    ear.hears("as far ahead as 16 bits say", CONTROL, [10], 42 + 0x8000)
    return ear


def _narrow(ear: Ear) -> Ear:
    def idle(name: str, number: int, *, wide: bool = False) -> dict[str, Any]:
        return ear.hears(name, CONTROL, [10], number, wide=wide)

    idle("ahead", 100)
    idle("31 below", 69)
    idle("again", 69).update(error="replay")
    idle("128 ahead: as near as 128 below", 101 + 128)
    idle("past 8 bits", 300)
    idle("two bytes", 301, wide=True)
    idle("129 ahead: 127 below is nearer", 302 + 129).update(error="replay")
    return ear


def _later_up(ear: Ear) -> Ear:
    event, anchor = (2, 1), (250, 843315200, 7, 25)
    ear.hears("EVENT", REPORT, [5, 5, 0, 1805, *event, *LATER]).update(
        records=[_row(5, 1805, event)]
    )
    items = [21, 6, 0, 1806, *anchor]
    ear.hears("ANCHOR", REPORT, [*items, *LATER]).update(records=[_row(6, 1806, anchor)])
    ear.hears("GAP", CONTROL, [6, 2, 4, 1, *LATER]).update(gap=[2, 4, 1])
    ear.hears("RESULT", CONTROL, [9, 5, 0, 80, *LATER])
    ear.hears("RESULT of CONFIG", CONTROL, [9, 0, 0, 14, 3, *LATER])
    ear.hears("RESULT unsupported", CONTROL, [9, 0, 4, 23, *LATER])
    ear.hears("IDLE", CONTROL, [10, *LATER])
    ear.hears("IDLE of 64 items", CONTROL, [10, *[b""] * 63])
    ear.hears("OFFER", OBJECT, [15, 1, bytes(16), 150, 100, 3, *LATER])
    ear.hears("WANT by a hash", OBJECT, [16, bytes(8), *LATER])
    keyframe = [4, 0, 7, 0, 900, *range(7)]
    ear.hears("REPORT has none", REPORT, [*keyframe, 1]).update(error="value")
    ear.hears("DIAG has none", CONTROL, [13, 1, 120000, 2]).update(error="value")
    return ear


def _later_down(session: wire.Session) -> Ear:
    ear = Ear("later items, down", "node", session)
    offer = (0, 5, 1790000000000, 20)
    poll = [7, 3, 1, 1, 0, 0, *offer, *LATER]
    ear.hears("POLL", CONTROL, poll).update(seen=[[1, 3]], kept=[[1, 2]], offer=offer)
    ear.hears("NEED_KEYFRAME", CONTROL, [11, *LATER])
    ear.hears("OFFER", OBJECT, [15, 1, bytes(16), 150, 100, 2, *LATER])
    ear.hears("WANT by a hash", OBJECT, [16, bytes(8), *LATER])
    ear.hears("WANT of what is not offered", OBJECT, [16, 1, 0, 3, *LATER])
    ear.hears("CMD has none", CONTROL, [8, 5, 1790000060, 1, 80, b"later"]).update(error="value")
    ear.hears("CONFIG has none", CONTROL, [14, 3, 1, 60, 2]).update(error="value")
    return ear


def _polls(session: wire.Session) -> Ear:
    ear = Ear("POLL", "node", session)

    def poll(name: str, items: wire.Items, offer: Sequence[int] | None = None) -> dict[str, Any]:
        case = ear.hears(name, CONTROL, [7, *items])
        case["offer"] = offer
        return case

    kept = [[1, 6], [8, 9], [12, 13]]
    seen = [[1, 10], [12, 13], [20, 20]]
    spans = [10, 4, 1, 2, 10, 1, 7, 2, 2, 7, 2, 3, 2]
    poll("kept spans count from what is kept", spans).update(seen=seen, kept=kept)
    for count in (1, 2, 3):
        cut = [0, 5, 1790000000000][:count]
        poll(f"an offer of {count}", [*spans, *cut]).update(seen=seen, kept=kept)
    poll("no offer, but later items", [*spans, *LATER]).update(seen=seen, kept=kept)
    good = (0, 0, 1, 0)
    poll("an offer at its bounds", [*spans, *good], good).update(seen=seen, kept=kept)
    poll("an offer for another frame", [*spans, 1, 0, 1, 0], (1, 0, 1, 0)).update(
        seen=seen, kept=kept
    )
    four = [[1, 14], [16, 16], [18, 18], [20, 20], [22, 22]]
    poll("four spans", [14, 8, 1, 4, 8, 1, 2, 1, 2, 1, 2, 1, 0]).update(seen=four)
    poll("seen falls back", [12, 12, 1, 1, 2, 1, 0]).update(seen=[[1, 12], [14, 14]])
    poll("all there can be", [ALL, 0, 1, 0, 0]).update(seen=[[1, ALL]], kept=[[1, ALL]])
    return ear
