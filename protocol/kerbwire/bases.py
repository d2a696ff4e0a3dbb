"""The gateway's half of REPORT: the records that it keeps as bases, and decoding against them.

What the bodies look like stands in `report`.
"""

from kerbwire import messages as m
from kerbwire.errors import RemoteError
from kerbwire.limits import BASE_REACH, BATCH_BASES, DELTA_REACH, GATEWAY_BASES, VALUES
from kerbwire.report import integers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.report import Record
    from kerbwire.schema import Schema


class Bases:
    """What the gateway keeps to decode against: records of this session, last ones of batches."""

    __slots__ = ("_lasts", "_records")

    def __init__(self) -> None:
        self._records: dict[int, tuple[int, Record]] = {}  # rseq -> (fseq, record)
        self._lasts: list[Record] = []

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

    def add_last(self, record: "Record") -> None:
        """Keep the last record of a batch; the first one that came goes when there are too many.

        One number stands for the record that came last under it, as it does at the node.
        """
        self._lasts = [known for known in self._lasts if known[0] != record[0]] + [record]
        if len(self._lasts) > BATCH_BASES:
            self._lasts.pop(0)

    def get(self, rseq: int) -> "Record | None":
        """The record of that number: sent live, or the last one of a batch."""
        for record in self._lasts:
            if record[0] == rseq:
                return record
        return self._records[rseq][1] if rseq in self._records else None

    def clear(self) -> None:
        """A new session: the bytes that name bases are new; the numbers of batches' are not."""
        self._records.clear()


def decode(
    items: "list[int | bytes]", fseq: int, bases: Bases, info: m.Info, schema: "Schema", top: int
) -> "Record":
    """The record of a REPORT in frame `fseq`; a whole one may be of an older version.

    Older versions need not be known: their fields are the first of the session's `schema`.

    `top` is the highest number seen. RemoteError: "value" where the items are no report,
    "base" where its base is not held or too far below `top`.
    """
    if len(items) > 5 + schema.width:
        raise RemoteError("value")
    numbers = integers(items, max(4, len(items)))
    n = numbers[1]
    if n == 0:
        if len(numbers) < 5:
            raise RemoteError("value")
        rseq, boot_id, uptime_s = numbers[2:5]
        values = numbers[5:]
        if not schema.begins_with(len(values)):
            raise RemoteError("value")
        record = (rseq, boot_id or info.boot_id, uptime_s, tuple(values))
    else:
        record = _decode_delta(numbers, fseq, bases, info, schema, top)
    check_number(record[0], record[1], record[2])
    for value in record[3]:
        if not -(1 << 62) < value < 1 << 62:
            raise RemoteError("value")
    return record


def check_number(rseq: int, boot_id: int, uptime_s: int) -> None:
    """RemoteError("value") unless these can name a record."""
    if not (0 < rseq < 1 << 40 and 0 < boot_id < 1 << 32 and 0 <= uptime_s < 1 << 32):
        raise RemoteError("value")


def _decode_delta(
    numbers: "list[int]", fseq: int, bases: Bases, info: m.Info, schema: "Schema", top: int
) -> "Record":
    _, n, low_byte, mask = numbers[:4]
    if not 0 < n <= DELTA_REACH or not 0 <= low_byte <= 0xFF or not 0 <= mask < 2 << VALUES:
        raise RemoteError("value")
    base = bases.find(low_byte, fseq)
    if base is None or top - base[0] > BASE_REACH:
        raise RemoteError("base")
    values = list(base[3])
    late = mask >> len(values)
    if late > 1 or len(numbers) < 4 + late:
        raise RemoteError("value")
    elapsed_s = n * info.period_s + (numbers.pop() if late else 0)
    at = 4
    for index in range(len(values)):
        if index in schema.elapsed:
            values[index] += elapsed_s
        if mask >> index & 1:
            if at == len(numbers):
                raise RemoteError("value")
            values[index] += numbers[at]
            at += 1
    if at < len(numbers):
        raise RemoteError("value")
    return base[0] + n, base[1], base[2] + elapsed_s, tuple(values)
