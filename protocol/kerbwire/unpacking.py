"""BATCH, the gateway's half: the records of a body; what it looks like stands in `batch`."""

from kerbwire import bases
from kerbwire import fields as s
from kerbwire import messages as m
from kerbwire.columns import (
    ESCAPE,
    MODE_BITS,
    RICE,
    SLOPE_BITS,
    SPARSE,
    WIDTH_BITS,
    Plan,
    Rows,
    count_parameter,
    gap_parameter,
)
from kerbwire.errors import RemoteError
from kerbwire.limits import BATCH_RECORDS, DELTA_REACH, SCHEMA_HASH_BYTES
from kerbwire.schema import by_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbwire.report import Record
    from kerbwire.schema import Schema


class Bits:
    """A reader of bits, most significant first; RemoteError("value") past the end."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int):
        self._data = data
        self._at = 8 * at

    def take(self, width: int) -> int:
        """The next `width` bits."""
        end = self._at + width
        if end > 8 * len(self._data):
            raise RemoteError("value")
        last = (end + 7) >> 3
        number = int.from_bytes(self._data[self._at >> 3 : last], "big")
        self._at = end
        return number >> (8 * last - end) & (1 << width) - 1

    def ones(self, limit: int) -> int:
        """So many ones until a zero, which is taken too, or `limit`."""
        count = 0
        while count < limit and self.take(1):
            count += 1
        return count

    def rice(self, parameter: int) -> int:
        """A number that is not negative."""
        ones = self.ones(ESCAPE)
        if ones < ESCAPE:
            return ones << parameter | self.take(parameter)
        return self.whole()

    def whole(self) -> int:
        """A number behind its width."""
        return self.take(self.take(WIDTH_BITS) + 1)

    def gamma(self) -> int:
        """A number that is mostly small; at most 2^17."""
        width = self.ones(16)
        return (1 << width | self.take(width)) - 1

    def close(self) -> None:
        """Nothing but zeros up to the end of the byte, and no byte more."""
        if self.take(-self._at % 8) or self._at != 8 * len(self._data):
            raise RemoteError("value")


def decode(
    packed: bytes,
    held: "bases.Bases",
    info: m.Info,
    schema: "Schema",
    find: "Callable[[bytes], Schema | None]" = by_hash,
) -> "list[Record]":
    """All records of a BATCH, from what is behind its type; `find` knows schemas by hash.

    RemoteError: "value" where it is none, "base" where its base is not held, "schema" where its
    records are of a schema that is not known or foretells nothing.
    """
    bits = Bits(packed, 0)
    plan = Plan(_schema(bits, schema, find))
    count = bits.gamma() + 1
    rseq = bits.whole()
    distance = bits.gamma()
    if count > BATCH_RECORDS or distance > DELTA_REACH:
        raise RemoteError("value")
    if distance:
        start = held.get(rseq - distance)
        if start is None or len(start[3]) != plan.width:
            raise RemoteError("base")
        boot_id, uptime_s, before = start[1], start[2], list(start[3])
    else:
        boot_id = bits.whole() if bits.take(1) else info.boot_id
        uptime_s, before = bits.whole(), [0] * plan.width
        for group in plan.groups:
            if group[3] in s.CARRIED:
                before[group[1]] = signed(bits.whole())
    rows = Rows(plan, uptime_s, before, {})
    times, wrong = _columns(bits, rows, count)
    times[0] += (distance - 1) * info.period_s
    records: list[Record] = []
    for index in range(count):
        elapsed_s = times[index] + info.period_s
        row = [0] * plan.width
        for place, first, width, predictor, reference, argument in plan.order:
            numbers = wrong[place]
            at = index * width
            for column in range(first, first + width):
                guess = rows.guess(column, predictor, reference, argument, row, elapsed_s)
                row[column] = guess + numbers[at]
                at += 1
        rows.advance(row, rows.uptime_s + elapsed_s)
        bases.check_number(rseq + index, boot_id, rows.uptime_s)
        if min(row) <= -(1 << 62) or max(row) >= 1 << 62:
            raise RemoteError("value")
        records.append((rseq + index, boot_id, rows.uptime_s, tuple(row)))
    return records


def signed(number: int) -> int:
    """0, 1, 2, 3 ... as 0, -1, 1, -2 ..."""
    return -1 - (number >> 1) if number & 1 else number >> 1


def _schema(bits: Bits, schema: "Schema", find: "Callable[[bytes], Schema | None]") -> "Schema":
    """The schema that the records are of: the session's, or the one that is named."""
    if bits.take(1):
        other = find(bits.take(8 * SCHEMA_HASH_BYTES).to_bytes(SCHEMA_HASH_BYTES, "big"))
        if other is None or other.class_id != schema.class_id:
            raise RemoteError("schema")
        if other.version >= schema.version and other.hash != schema.hash:
            raise RemoteError("schema")
        schema = other
    if schema.version < 2:
        raise RemoteError("schema")
    return schema


def _columns(bits: Bits, rows: Rows, count: int) -> "tuple[list[int], list[list[int]]]":
    """The times' differences, and those of each field, row by row."""
    times = _column(bits, count)[0]
    wrong: list[list[int]] = []
    for _, at, width, predictor, _, _ in rows.plan.groups:
        numbers, rows.slopes[at] = _column(bits, count * width, sloped=predictor == s.SLOPE)
        wrong.append(numbers)
    bits.close()
    return times, wrong


def _column(bits: Bits, count: int, *, sloped: bool = False) -> "tuple[list[int], int]":
    """So many numbers, and the slope of their column."""
    if not bits.take(1):
        return [0] * count, 0
    mode = bits.take(MODE_BITS)
    both_signs = bits.take(1)
    slope = bits.take(SLOPE_BITS) if sloped else 0
    if mode == SPARSE:
        numbers = _sparse(bits, count)
    else:
        numbers = [bits.rice(mode - RICE) for _ in range(count)]
    if both_signs:
        numbers = [signed(number) for number in numbers]
    return numbers, slope


def _sparse(bits: Bits, count: int) -> "list[int]":
    parameter = bits.take(MODE_BITS)
    filled = bits.rice(count_parameter(count))
    if filled > count:
        raise RemoteError("value")
    gap = gap_parameter(count, filled)
    numbers = [0] * count
    at = 0
    for _ in range(filled):
        at += bits.rice(gap)
        if at >= count:
            raise RemoteError("value")
        numbers[at] = bits.rice(parameter) + 1
        at += 1
    return numbers
