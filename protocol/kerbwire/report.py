"""REPORT bodies: a record whole (keyframe) or as deltas against a record that the gateway holds.

Keyframe: [REPORT, 0, rseq, boot, uptime, values...]; boot 0 means the boot that INFO named.
Delta: [REPORT, n, base, dt, mask, deltas...]: rseq = base + n, uptime = the base's + n x period
+ dt, one delta for each bit of mask, fields in schema order. `base` is the low byte of the
base's rseq. It is told from all others that end in this byte by two rules: the node has sent no
record more than BASE_REACH above it, and the gateway looks only at what came in earlier frames.
"""

from kerbwire import cbor
from kerbwire import messages as m
from kerbwire.errors import RemoteError
from kerbwire.limits import BASE_REACH, DELTA_REACH, GATEWAY_BASES, VALUES

TYPE_CHECKING = False
if TYPE_CHECKING:
    Record = tuple[int, int, int, tuple[int, ...]]  # rseq, boot id, uptime in s, values


def encode_keyframe(record: "Record", info: m.Info) -> bytes:
    """The record whole."""
    rseq, boot_id, uptime_s, values = record
    boot = 0 if boot_id == info.boot_id else boot_id
    return cbor.encode([m.REPORT, 0, rseq, boot, uptime_s] + list(values))


def encode_delta(record: "Record", base: "Record", info: m.Info) -> bytes:
    """The record against `base`, which is of the same boot and has a lower rseq."""
    n = record[0] - base[0]
    items: list[int | bytes] = [
        m.REPORT,
        n,
        base[0] & 0xFF,
        record[2] - base[2] - n * info.period_s,
        0,
    ]
    mask = 0
    for index, (value, before) in enumerate(zip(record[3], base[3])):
        if value != before:
            mask |= 1 << index
            items.append(value - before)
    items[4] = mask
    return cbor.encode(items)


def usable(record: "Record", base: "Record | None", highest_sent: int) -> bool:
    """May the record be sent against this base, when so high a number was sent before it?"""
    return (
        base is not None
        and base[1] == record[1]
        and 0 < record[0] - base[0] <= DELTA_REACH
        and highest_sent - base[0] <= BASE_REACH
    )


def integers(items: "list[int | bytes]", least: int) -> "list[int]":
    """The items as signed 64-bit integers, at least so many; RemoteError("value") otherwise."""
    numbers: list[int] = []
    for item in items:
        if not isinstance(item, int) or not -(1 << 63) <= item < 1 << 63:
            raise RemoteError("value")
        numbers.append(item)
    if len(numbers) < least:
        raise RemoteError("value")
    return numbers


class Bases:
    """The records of this session that the gateway keeps to decode deltas against."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        self._records: dict[int, tuple[int, Record]] = {}  # rseq -> (fseq, record)

    def add(self, record: "Record", fseq: int) -> None:
        """Keep a record of that frame; the lowest number goes when there are too many."""
        if record[0] not in self._records:
            self._records[record[0]] = (fseq, record)
        if len(self._records) > GATEWAY_BASES:
            del self._records[min(self._records)]

    def find(self, low_byte: int, fseq: int) -> "Record | None":
        """The highest number that ends in this byte, of the frames before `fseq`."""
        found = None
        for rseq, (came_in, record) in self._records.items():
            if rseq & 0xFF == low_byte and came_in < fseq and (found is None or rseq > found[0]):
                found = record
        return found

    def clear(self) -> None:
        """A new session starts without any."""
        self._records.clear()


def decode(
    items: "list[int | bytes]", fseq: int, bases: Bases, info: m.Info, fields: int
) -> "Record":
    """The record of a REPORT in frame `fseq`, of a schema with so many fields.

    RemoteError: "value" where the items are no report, "base" where its base is not held.
    """
    numbers = integers(items, 5)
    n = numbers[1]
    if n == 0:
        rseq, boot_id, uptime_s = numbers[2:5]
        values = numbers[5:]
        if len(values) != fields:
            raise RemoteError("value")
        record = (rseq, boot_id or info.boot_id, uptime_s, tuple(values))
    else:
        record = _decode_delta(numbers, fseq, bases, info, fields)
    check_number(record[0], record[1], record[2])
    if len(record[3]) > VALUES:
        raise RemoteError("value")
    for value in record[3]:
        if not -(1 << 63) <= value < 1 << 63:
            raise RemoteError("value")
    return record


def check_number(rseq: int, boot_id: int, uptime_s: int) -> None:
    """RemoteError("value") unless these can name a record."""
    if not (0 < rseq < 1 << 40 and 0 < boot_id < 1 << 32 and 0 <= uptime_s < 1 << 32):
        raise RemoteError("value")


def _decode_delta(
    numbers: "list[int]", fseq: int, bases: Bases, info: m.Info, fields: int
) -> "Record":
    _, n, low_byte, dt, mask = numbers[:5]
    if not 0 < n <= DELTA_REACH or not 0 <= low_byte <= 0xFF or not 0 <= mask < 1 << fields:
        raise RemoteError("value")
    base = bases.find(low_byte, fseq)
    if base is None:
        raise RemoteError("base")
    values = list(base[3])
    at = 5
    for index in range(fields):
        if mask >> index & 1:
            if at == len(numbers):
                raise RemoteError("value")
            values[index] += numbers[at]
            at += 1
    if at < len(numbers):
        raise RemoteError("value")
    return base[0] + n, base[1], base[2] + n * info.period_s + dt, tuple(values)
