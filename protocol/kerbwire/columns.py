"""What BATCH's two halves share: how a record is foretold from the one before it.

A record's numbers stand in columns, those of each field in schema order. A row is foretold from
the row before, in the order of `Plan.order`; what is sent is the difference. All integers, all
divisions round down.
"""

from kerbwire import fields as s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kerbwire.schema import Schema

    Group = tuple[int, int, int, int, int, int]

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
    """A schema's fields, each (index, first column, columns, predictor, reference, argument).

    `groups` has them in the schema's order, `order` in that of foretelling: who refers to others
    comes behind all that don't. The reference is a column.
    """

    __slots__ = ("groups", "order", "width")

    def __init__(self, schema: "Schema"):
        self.groups: list[Group] = []
        self.order: list[Group] = []
        self.width = schema.width
        at = 0
        for index in range(len(schema.fields)):
            field = schema.fields[index]
            reference, argument = 0, field.argument
            if field.predictor in s.REFERRING:
                for other in range(field.reference):
                    reference += schema.fields[other].count
                referred = schema.fields[field.reference].count
                if field.predictor == s.LATEST:
                    reference += referred - 1
                elif field.predictor == s.TOTAL:
                    argument = referred
            self.groups.append((index, at, field.count, field.predictor, reference, argument))
            at += field.count
        for referring in (False, True):
            self.order += [g for g in self.groups if (g[3] in s.REFERRING) == referring]


class Rows:
    """The row before, and what predictors remember within one batch."""

    __slots__ = ("_parts", "_wholes", "plan", "slopes", "uptime_s", "values")

    def __init__(
        self, plan: Plan, uptime_s: int, values: "Sequence[int]", slopes: "dict[int, int]"
    ):
        self.plan = plan
        self.slopes = slopes  # of the columns that have one
        # By column. Of SHARE: what was seen of both columns; of HOURS: seconds.
        self._parts: dict[int, int] = {}
        self._wholes: dict[int, int] = {}
        self.uptime_s = uptime_s
        self.values = values
        self.advance(values, uptime_s)

    def guess(
        self,
        column: int,
        predictor: int,
        reference: int,
        argument: int,
        row: "Sequence[int]",
        elapsed_s: int,
    ) -> int:
        """What is expected of a column, of a row whose fields before it in order are known."""
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
            lit_s = self._parts.get(column, 0) + elapsed_s
            return last + lit_s // 3600 if row[reference] else last
        if predictor == s.SHARE:
            whole = self._wholes.get(column, 0)
            return (self._parts[column] * row[reference] + whole // 2) // whole if whole else 0
        step = (row[reference] - self.values[reference]) * self.slopes.get(column, 0)
        return last + ((step + (1 << argument >> 1)) >> argument)

    def advance(self, row: "Sequence[int]", uptime_s: int) -> None:
        """The row is known whole: it is the one before now."""
        for _, first, count, predictor, reference, _ in self.plan.order:
            for column in range(first, first + count):
                if predictor == s.SHARE and row[reference] > 0:
                    self._parts[column] = self._parts.get(column, 0) + row[column]
                    self._wholes[column] = self._wholes.get(column, 0) + row[reference]
                elif predictor == s.HOURS:
                    self._count(column, row[reference], row, uptime_s - self.uptime_s)
        self.values = row
        self.uptime_s = uptime_s

    def _count(self, column: int, lit: int, row: "Sequence[int]", elapsed_s: int) -> None:
        """Seconds that are lit since the hours last moved."""
        moved = row[column] - self.values[column]
        lit_s = self._parts.get(column, 0) + (elapsed_s if lit else 0)
        if moved:
            lit_s = lit_s - 3600 * moved if moved == lit_s // 3600 else 0
        self._parts[column] = lit_s
