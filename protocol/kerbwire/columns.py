"""What BATCH's two halves share: how a record is foretold from the one before it.

A record's numbers stand in columns, those of each field in schema order. A row is foretold from
the row before, in the order of `Plan.order`; what is sent is the difference. All integers, all
divisions round down.
"""

from kerbwire import fields as s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.schema import Schema

ESCAPE = 8  # ones in a row that a Rice code has at most: then a width and the number itself
WIDTH_BITS = 6  # of a number's width, less one
MODE_BITS = 4
SLOPE_BITS = 4
SPARSE = 0  # the modes of a column: few numbers that are not 0 ...
RICE = 1  # ... or a Rice code each, of parameter mode - RICE


def log2(number: int) -> int:
    """The place of the highest bit that is set; -1 of 0."""
    place = -1
    while number:
        number >>= 1
        place += 1
    return place


def gap_parameter(rows: int, count: int) -> int:
    """The Rice parameter of the gaps between `count` numbers that are not 0 among `rows`."""
    return log2(max(1, (rows - count) // (count + 1)))


def count_parameter(rows: int) -> int:
    """The Rice parameter of the count itself."""
    return max(0, log2(rows) - 2)


class Plan:
    """A schema's columns: `order` has (column, predictor, reference column, argument)."""

    __slots__ = ("groups", "order", "width")

    def __init__(self, schema: "Schema"):
        starts = {}
        at = 0
        self.groups: list[tuple[int, int, int]] = []  # (first column, columns, predictor)
        for index, field in enumerate(schema.fields):
            starts[index] = at
            self.groups.append((at, field.count, field.predictor))
            at += field.count
        self.width = at
        first: list[tuple[int, int, int, int]] = []
        second: list[tuple[int, int, int, int]] = []
        for index, field in enumerate(schema.fields):
            reference = 0
            if field.predictor in s.REFERRING:
                reference = starts[field.reference]
                if field.predictor == s.LATEST:
                    reference += schema.fields[field.reference].count - 1
            for column in range(starts[index], starts[index] + field.count):
                argument = field.argument
                if field.predictor == s.TOTAL:
                    argument = schema.fields[field.reference].count
                part = second if field.predictor in s.REFERRING else first
                part.append((column, field.predictor, reference, argument))
        self.order = first + second


class Rows:
    """The row before, and what predictors remember within one batch."""

    __slots__ = ("_parts", "_wholes", "plan", "slopes", "uptime_s", "values")

    def __init__(self, plan: Plan, uptime_s: int, values: "list[int]", slopes: "list[int]"):
        self.plan = plan
        self.slopes = slopes  # of each column
        self._parts = [0] * plan.width  # of SHARE: what was seen of both columns; of HOURS: seconds
        self._wholes = [0] * plan.width
        self.uptime_s = uptime_s
        self.values = values
        self.advance(values, uptime_s)

    def guess(self, entry: "tuple[int, int, int, int]", row: "list[int]", elapsed_s: int) -> int:
        """What is expected of a column, of a row whose columns before it in order are known."""
        column, predictor, reference, argument = entry
        last = self.values[column]
        if predictor == s.LAST:
            return last
        if predictor == s.NOTHING:
            return 0
        if predictor == s.LATEST:
            return row[reference]
        if predictor == s.TOTAL:
            return last + sum(row[reference : reference + argument])
        if predictor == s.ELAPSED:
            return last + elapsed_s
        if predictor == s.INTEGRAL:
            return last + (row[reference] * elapsed_s + argument // 2) // argument
        if predictor == s.HOURS:
            return last + (self._parts[column] + elapsed_s) // 3600 if row[reference] else last
        if predictor == s.SHARE:
            whole = self._wholes[column]
            return (self._parts[column] * row[reference] + whole // 2) // whole if whole else 0
        step = (row[reference] - self.values[reference]) * self.slopes[column]
        return last + ((step + (1 << argument >> 1)) >> argument)

    def advance(self, row: "list[int]", uptime_s: int) -> None:
        """The row is known whole: it is the one before now."""
        for column, predictor, reference, _ in self.plan.order:
            if predictor == s.SHARE and row[reference] > 0:
                self._parts[column] += row[column]
                self._wholes[column] += row[reference]
            elif predictor == s.HOURS:
                self._count(column, row[reference], row, uptime_s - self.uptime_s)
        self.values = row
        self.uptime_s = uptime_s

    def _count(self, column: int, lit: int, row: "list[int]", elapsed_s: int) -> None:
        """Seconds that are lit since the hours last moved."""
        moved = row[column] - self.values[column]
        lit_s = self._parts[column] + (elapsed_s if lit else 0)
        if moved:
            lit_s = lit_s - 3600 * moved if moved == lit_s // 3600 else 0
        self._parts[column] = lit_s
