"""BATCH, the node's half: records of one boot with numbers in a row, packed by columns.

After the type all is bits, most significant first. The first record's number is `rseq`, that of
its base `rseq - distance`; without a base the row to foretell the first record from comes whole.
Then each column of what was foretold wrongly: times, and each field. wire.md says how it looks,
`columns` how it is foretold; no coder state outlives a frame.
"""

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
    log2,
)
from kerbwire.errors import LocalError
from kerbwire.limits import BATCH_BASES, BATCH_RECORDS, BODY_BYTES, DELTA_REACH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kerbwire.report import Record
    from kerbwire.schema import Schema

_MODE_MAX = 15
_NEVER = 1 << 20  # more bits than any frame has


class Bits:
    """A writer of bits, most significant first."""

    __slots__ = ("_byte", "_free", "data")

    def __init__(self, data: bytes):
        self.data = bytearray(data)
        self._byte = 0
        self._free = 8

    def put(self, number: int, width: int) -> None:
        """The low `width` bits of a number."""
        while width:
            step = width if width < self._free else self._free
            width -= step
            self._free -= step
            self._byte |= (number >> width & (1 << step) - 1) << self._free
            if not self._free:
                self.flush()

    def flush(self) -> None:
        """Zeros up to the end of the byte."""
        if self._free < 8:
            self.data.append(self._byte)
            self._byte = 0
            self._free = 8

    def rice(self, number: int, parameter: int) -> None:
        """A number that is not negative."""
        ones = number >> parameter
        if ones < ESCAPE:
            self.put((1 << ones + 1) - 2, ones + 1)
            self.put(number, parameter)
        else:
            self.put((1 << ESCAPE) - 1, ESCAPE)
            self.whole(number)

    def whole(self, number: int) -> None:
        """A number that is not negative, behind its width."""
        width = max(1, log2(number) + 1)
        if width > 64:
            raise LocalError("integer")
        self.put(width - 1, WIDTH_BITS)
        self.put(number, width)

    def gamma(self, number: int) -> None:
        """A number that is not negative and mostly small: twice its width."""
        width = log2(number + 1)
        self.put((1 << width) - 1 << 1, width + 1)
        self.put(number + 1, width)


def zigzag(number: int) -> int:
    """0, -1, 1, -2 ... as 0, 1, 2, 3 ..."""
    return number << 1 if number >= 0 else -1 - (number << 1)


def rice_bits(number: int, parameter: int) -> int:
    """How many bits `Bits.rice` takes."""
    ones = number >> parameter
    if ones < ESCAPE:
        return ones + 1 + parameter
    return ESCAPE + WIDTH_BITS + log2(number) + 1


def nearest(lasts: "list[tuple[int, Record]]", batches: int, record: "Record") -> "Record | None":
    """The highest of the last records of seen batches that the gateway surely still holds.

    `lasts` has them with the count of their batch, `batches` were sent so far.
    """
    found = None
    for count, last in lasts:
        if (
            batches - count < BATCH_BASES // 2
            and last[1] == record[1]
            and len(last[3]) == len(record[3])
            and 0 < record[0] - last[0] <= DELTA_REACH
            and (found is None or last[0] > found[0])
        ):
            found = last
    return found


def pack(
    records: "list[Record]", base: "Record | None", schema: "Schema", info: m.Info
) -> "tuple[bytes, int]":
    """A body that fits a frame, and how many of the records it holds: 0 where numbers are huge."""
    count = min(len(records), BATCH_RECORDS)
    while count:
        try:
            body = encode(records[:count], base, schema, info)
        except LocalError:
            break
        if len(body) <= BODY_BYTES:
            return body, count
        count = count * BODY_BYTES // len(body)
    return b"", 0


def encode(records: "list[Record]", base: "Record | None", schema: "Schema", info: m.Info) -> bytes:
    """The body; the base is of the same boot and schema, and the gateway holds it."""
    rseq, boot_id, uptime_s = records[0][:3]
    plan = Plan(schema)
    bits = Bits(bytes((m.BATCH,)))
    bits.put(0, 1)  # the session's schema
    bits.gamma(len(records) - 1)
    bits.whole(rseq)
    distance = 0 if base is None else rseq - base[0]
    bits.gamma(distance)
    if base is None:
        before: Sequence[int] = _stand_in(records[0], plan)
        bits.put(1 if boot_id != info.boot_id else 0, 1)
        if boot_id != info.boot_id:
            bits.whole(boot_id)
        bits.whole(uptime_s)
        for group in plan.groups:
            if group[3] in s.CARRIED:
                bits.whole(zigzag(before[group[1]]))
    else:
        uptime_s, before = base[2], base[3]
    slopes = _slopes(records, before, plan)
    rows = Rows(plan, uptime_s, before, slopes)
    wrong, times = _differences(records, rows, distance * info.period_s, info.period_s)
    _column(bits, times, -1)
    for group in plan.groups:
        slope = slopes.get(group[1], 0) if group[3] == s.SLOPE else -1
        _column(bits, wrong[group[0]], slope)
    bits.flush()
    return bytes(bits.data)


def _stand_in(record: "Record", plan: Plan) -> "list[int]":
    """A row from which the record is foretold without fault, 0 where nothing is carried on."""
    before = list(record[3])
    rows = Rows(plan, record[2], before, {})
    for _, first, count, predictor, reference, argument in plan.order:
        for column in range(first, first + count):
            if predictor not in s.CARRIED:
                before[column] = 0
            elif predictor == s.TOTAL:
                guess = rows.guess(column, predictor, reference, argument, record[3], 0)
                before[column] -= guess - record[3][column]
    return before


def _slopes(records: "list[Record]", before: "Sequence[int]", plan: Plan) -> "dict[int, int]":
    """The slope of each column that has one, by least squares."""
    slopes = {}
    for _, column, _, predictor, reference, shift in plan.order:
        if predictor != s.SLOPE:
            continue
        both = squares = 0
        last_y, last_x = before[column], before[reference]
        for record in records:
            y, x = record[3][column], record[3][reference]
            both += (y - last_y) * (x - last_x)
            squares += (x - last_x) * (x - last_x)
            last_y, last_x = y, x
        if squares and both > 0:
            slope = ((both << shift) + squares // 2) // squares
            slopes[column] = min(slope, (1 << SLOPE_BITS) - 1)
    return slopes


def _differences(
    records: "list[Record]", rows: Rows, expected_s: int, period_s: int
) -> "tuple[list[list[int]], list[int]]":
    """What was foretold wrongly: of each field a list, row by row, and of the times."""
    wrong: list[list[int]] = [[] for _ in rows.plan.groups]
    times = []
    for record in records:
        row = record[3]
        elapsed_s = record[2] - rows.uptime_s
        times.append(elapsed_s - expected_s)
        expected_s = period_s
        for index, first, count, predictor, reference, argument in rows.plan.order:
            numbers = wrong[index]
            for column in range(first, first + count):
                if predictor == s.NOTHING:  # these two as fast as can be: most numbers are theirs
                    numbers.append(row[column])
                elif predictor == s.LAST:
                    numbers.append(row[column] - rows.values[column])
                else:
                    guess = rows.guess(column, predictor, reference, argument, row, elapsed_s)
                    numbers.append(row[column] - guess)
        rows.advance(row, record[2])
    return wrong, times


def _column(bits: Bits, numbers: "list[int]", slope: int) -> None:
    """One column: its mode and what the mode needs, then its numbers."""
    signed = 1 if min(numbers) < 0 else 0
    count = len(numbers) - numbers.count(0)
    bits.put(1 if count or slope > 0 else 0, 1)
    if not count and slope <= 0:
        return
    plain = [zigzag(number) if signed else number for number in numbers]
    rice, rice_size = _best(plain, 0)
    sparse, sparse_size = _best([n for n in plain if n], 1)
    gap = gap_parameter(len(plain), count)
    sparse_size += MODE_BITS + rice_bits(count, count_parameter(len(plain)))
    sparse_size += _gaps(None, plain, gap)
    dense = rice_size <= sparse_size
    bits.put(rice + RICE if dense else SPARSE, MODE_BITS)
    bits.put(signed, 1)
    if slope >= 0:
        bits.put(slope, SLOPE_BITS)
    if dense:
        for number in plain:
            bits.rice(number, rice)
        return
    bits.put(sparse, MODE_BITS)
    bits.rice(count, count_parameter(len(plain)))
    _gaps(bits, plain, gap, sparse)


def _gaps(bits: "Bits | None", plain: "list[int]", gap: int, parameter: int = 0) -> int:
    """The numbers that are not 0, each behind the zeros before it; only counted without `bits`."""
    zeros = size = 0
    for number in plain:
        if not number:
            zeros += 1
            continue
        if bits is None:
            size += rice_bits(zeros, gap)
        else:
            bits.rice(zeros, gap)
            bits.rice(number - 1, parameter)
        zeros = 0
    return size


def _best(numbers: "list[int]", less: int) -> "tuple[int, int]":
    """The Rice parameter that makes these numbers shortest when each is made less by that."""
    if not numbers:
        return 0, 0
    middle = log2(max(1, sum([min(number, 4096) for number in numbers]) // len(numbers)))
    best = (0, _NEVER)
    for parameter in range(max(0, middle - 1), min(_MODE_MAX - RICE, middle + 1) + 1):
        size = (1 + parameter) * len(numbers)
        for number in numbers:
            ones = number - less >> parameter
            size += ones if ones < ESCAPE else rice_bits(number - less, parameter) - 1 - parameter
        if size < best[1]:
            best = (parameter, size)
    return best
