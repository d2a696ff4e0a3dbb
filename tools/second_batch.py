"""A second implementation of BATCH's packed columns, made from protocol/wire.md alone.

Bits are texts of 0 and 1. It shares no line with protocol/kerbwire: the vectors are its work, and
what our encoder makes is read by it. Its encoder is told how to code each column.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Numbers = tuple[int, ...]
Record = tuple[int, int, int, Numbers]  # rseq, boot, uptime, values
Fields = Sequence[tuple[str, int, str, int, int, int, int]]

LAST, NOTHING, LATEST, TOTAL, ELAPSED, INTEGRAL, HOURS, SHARE, SLOPE = range(9)
SPARSE = 0


def fixed(number: int, width: int) -> str:
    return format(number, f"0{width}b") if width else ""


def whole(number: int) -> str:
    width = max(1, number.bit_length())
    return fixed(width - 1, 6) + fixed(number, width)


def gamma(number: int) -> str:
    low = format(number + 1, "b")[1:]
    return "1" * len(low) + "0" + low


def rice(number: int, parameter: int) -> str:
    ones, low = divmod(number, 1 << parameter)
    return "1" * 8 + whole(number) if ones >= 8 else "1" * ones + "0" + fixed(low, parameter)


def zigzag(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1


def gap_parameter(rows: int, filled: int) -> int:
    return max(1, (rows - filled) // (filled + 1)).bit_length() - 1


def count_parameter(rows: int) -> int:
    return max(0, rows.bit_length() - 3)


def packed(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    return int("1" + bits, 2).to_bytes(len(bits) // 8 + 1, "big")[1:]


@dataclass
class Reader:
    bits: str
    at: int = 0

    def take(self, width: int) -> int:
        self.at += width
        if self.at > len(self.bits):
            raise ValueError("past the end")
        return int(self.bits[self.at - width : self.at] or "0", 2)

    def ones(self, limit: int) -> int:
        count = 0
        while count < limit and self.take(1):
            count += 1
        return count

    def whole(self) -> int:
        return self.take(self.take(6) + 1)

    def gamma(self) -> int:
        width = self.ones(16)
        return (1 << width) + self.take(width) - 1

    def rice(self, parameter: int) -> int:
        ones = self.ones(8)
        return self.whole() if ones == 8 else (ones << parameter) + self.take(parameter)

    def signed(self) -> int:
        number = self.whole()
        return -(number + 1) // 2 if number % 2 else number // 2


@dataclass
class Memory:
    """The row before, and what a batch remembers of its rows."""

    fields: Fields
    uptime: int
    before: list[int]
    sums: dict[int, tuple[int, int]] = field(default_factory=dict)
    lit: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.learn(self.before, self.uptime)

    def start(self, index: int) -> int:
        return sum(each[6] for each in self.fields[:index])

    def places(self) -> Iterator[tuple[int, int, int, int, int]]:
        """Place, predictor, place and count referred to, argument; what refers comes last."""
        for referring in (False, True):
            for index, (_, _, _, predictor, to, argument, count) in enumerate(self.fields):
                if (predictor not in (LAST, NOTHING, ELAPSED)) == referring:
                    for place in range(self.start(index), self.start(index) + count):
                        yield place, predictor, self.start(to), self.fields[to][6], argument

    def expected(
        self, what: tuple[int, int, int, int, int], row: list[int], elapsed: int, slope: int
    ) -> int:
        place, predictor, to, count, argument = what
        before = self.before[place]
        step = row[to] - self.before[to]
        part, all_of = self.sums.get(place, (0, 0))
        hours = (self.lit.get(place, 0) + elapsed) // 3600 if row[to] else 0
        ways: Mapping[int, Callable[[], int]] = {
            LAST: lambda: before,
            NOTHING: lambda: 0,
            LATEST: lambda: row[to + count - 1],
            TOTAL: lambda: before + sum(row[to : to + count]),
            ELAPSED: lambda: before + elapsed,
            INTEGRAL: lambda: before + (row[to] * elapsed + argument // 2) // argument,
            HOURS: lambda: before + hours,
            SHARE: lambda: (part * row[to] + all_of // 2) // all_of if all_of else 0,
            SLOPE: lambda: before + (step * slope + (1 << argument) // 2) // (1 << argument),
        }
        return ways[predictor]()

    def learn(self, row: list[int], uptime: int) -> None:
        for place, predictor, to, _, _ in self.places():
            if predictor == SHARE and row[to] > 0:
                part, all_of = self.sums.get(place, (0, 0))
                self.sums[place] = (part + row[place], all_of + row[to])
            if predictor == HOURS:
                moved = row[place] - self.before[place]
                lit = self.lit.get(place, 0) + (uptime - self.uptime if row[to] else 0)
                if moved:
                    lit = lit - 3600 * moved if moved == lit // 3600 else 0
                self.lit[place] = lit
        self.before, self.uptime = list(row), uptime


def _read_column(bits: Reader, count: int, *, sloped: bool) -> tuple[list[int], int]:
    if not bits.take(1):
        return [0] * count, 0
    mode, both = bits.take(4), bits.take(1)
    slope = bits.take(4) if sloped else 0
    numbers = [0] * count
    if mode == SPARSE:
        parameter, filled, at = bits.take(4), bits.rice(count_parameter(count)), -1
        if filled > count:
            raise ValueError("more than there are")
        for _ in range(filled):
            at += bits.rice(gap_parameter(count, filled)) + 1
            numbers[at] = bits.rice(parameter) + 1
    else:
        numbers = [bits.rice(mode - 1) for _ in range(count)]
    if both:
        numbers = [-(n + 1) // 2 if n % 2 else n // 2 for n in numbers]
    return numbers, slope


def decode(
    data: bytes, fields: Fields, boot: int, period: int, held: Mapping[int, Record]
) -> list[Record]:
    """The records of what is behind the type, of a batch of the session's schema."""
    bits = Reader(format(int.from_bytes(b"\1" + data, "big"), "b")[1:])
    assert bits.take(1) == 0
    count, rseq = bits.gamma() + 1, bits.whole()
    distance = bits.gamma()
    if distance:
        _, boot, uptime, values = held[rseq - distance]
        before = list(values)
    else:
        boot, before = bits.whole() if bits.take(1) else boot, []
        uptime = bits.whole()
        for each in fields:
            carried = each[3] not in (NOTHING, LATEST)
            before += [bits.signed()] if carried else [0] * each[6]
    times, _ = _read_column(bits, count, sloped=False)
    columns = [_read_column(bits, count * each[6], sloped=each[3] == SLOPE) for each in fields]
    assert len(bits.bits) - bits.at < 8 and "1" not in bits.bits[bits.at :]
    memory, records = Memory(fields, uptime, before), []
    for index in range(count):
        elapsed = times[index] + period * (distance if index == 0 else 1)
        row = [0] * len(before)
        for what in memory.places():
            place = what[0]
            owner = _owner(memory, place)
            numbers, slope = columns[owner]
            wrong = numbers[index * fields[owner][6] + place - memory.start(owner)]
            row[place] = memory.expected(what, row, elapsed, slope) + wrong
        memory.learn(row, memory.uptime + elapsed)
        records.append((rseq + index, boot, memory.uptime, tuple(row)))
    return records


def column(
    numbers: list[int], mode: int | None, parameter: int = 0, slope: int | None = None
) -> str:
    """A column coded as told: mode None has nothing but zeros, 0 is sparse."""
    if mode is None:
        assert not any(numbers)
        return "0"
    both = any(number < 0 for number in numbers)
    plain = [zigzag(number) for number in numbers] if both else numbers
    bits = "1" + fixed(mode, 4) + str(int(both)) + ("" if slope is None else fixed(slope, 4))
    if mode != SPARSE:
        return bits + "".join(rice(number, mode - 1) for number in plain)
    filled = [at for at, number in enumerate(plain) if number]
    gap = gap_parameter(len(plain), len(filled))
    bits += fixed(parameter, 4) + rice(len(filled), count_parameter(len(plain)))
    for last, at in zip([-1, *filled], filled, strict=False):
        bits += rice(at - last - 1, gap) + rice(plain[at] - 1, parameter)
    return bits


Code = tuple[int | None, int]  # mode and, for a sparse column, the parameter of its numbers


def encode(
    records: Sequence[Record],
    base: Record | None,
    fields: Fields,
    period: int,
    codes: Sequence[Code],
    slopes: Sequence[int] = (),
) -> bytes:
    """What is behind the type; `codes` are those of the times and of each field.

    Without a base the boot of the first record stands whole, and so does the row before: the
    first record's values less what they grow by.
    """
    rseq, boot, uptime, values = records[0]
    bits = "0" + gamma(len(records) - 1) + whole(rseq) + gamma(rseq - base[0] if base else 0)
    start = Memory(fields, base[2] if base else uptime, list(base[3] if base else values))
    if not base:
        for what in start.places():
            place, predictor, to, count, _ = what
            if predictor in (NOTHING, LATEST):
                start.before[place] = 0
            elif predictor == TOTAL:
                start.before[place] -= sum(values[to : to + count])
        bits += "1" + whole(boot) + whole(uptime)
        for index, each in enumerate(fields):
            if each[3] not in (NOTHING, LATEST):
                bits += whole(zigzag(start.before[start.start(index)]))
    memory = Memory(fields, start.uptime, list(start.before))
    times: list[int] = []
    wrong: list[list[int]] = [[] for _ in values]
    steep = dict(enumerate(slopes))
    expected = period * (rseq - base[0]) if base else 0
    for record in records:
        elapsed = record[2] - memory.uptime
        times.append(elapsed - expected)
        expected = period
        row = list(record[3])
        for what in memory.places():
            slope = steep.get(_owner(memory, what[0]), 0)
            wrong[what[0]].append(row[what[0]] - memory.expected(what, row, elapsed, slope))
        memory.learn(row, record[2])
    bits += column(times, *codes[0])
    for index, each in enumerate(fields):
        place, count = memory.start(index), each[6]
        numbers = [wrong[place + i][row] for row in range(len(records)) for i in range(count)]
        slope_of = steep.get(index, 0) if each[3] == SLOPE else None
        bits += column(numbers, *codes[index + 1], slope_of)
    return packed(bits)


def _owner(memory: Memory, place: int) -> int:
    return max(i for i in range(len(memory.fields)) if memory.start(i) <= place)
