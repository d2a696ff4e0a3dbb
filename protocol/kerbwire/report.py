"""REPORT bodies: a record whole (keyframe) or as deltas against a record that the gateway holds.

Keyframe: [REPORT, 0, rseq, boot, uptime, values...]; boot 0 means the boot that INFO named.
Delta: [REPORT, n, base, mask, deltas...]: rseq = base + n, one delta for each bit of mask, numbers
in schema order; one bit behind them is that of dt: uptime = the base's + n x period + dt.
`base` is the low byte of the base's rseq. It is told from all others that end in this byte by two
rules: the node has sent no record more than BASE_REACH above it, and the gateway looks only at what
came in earlier frames.
"""

from kerbwire import cbor
from kerbwire import messages as m
from kerbwire.errors import RemoteError
from kerbwire.limits import BASE_REACH, DELTA_REACH

TYPE_CHECKING = False
if TYPE_CHECKING:
    Record = tuple[int, int, int, tuple[int, ...]]  # rseq, boot id, uptime in s, values


def encode_keyframe(record: "Record", info: m.Info) -> bytearray:
    """The record whole."""
    rseq, boot_id, uptime_s, values = record
    boot = 0 if boot_id == info.boot_id else boot_id
    return cbor.written([m.REPORT, 0, rseq, boot, uptime_s] + list(values))


def encode_delta(
    record: "Record", base: "Record", info: m.Info, elapsed: "tuple[int, ...]"
) -> bytearray:
    """The record against `base`, which is of the same boot and has a lower rseq.

    `elapsed` are the numbers that are expected to have grown by the seconds between both.
    """
    n = record[0] - base[0]
    passed_s = record[2] - base[2]
    items: list[int | bytes] = [m.REPORT, n, base[0] & 0xFF, 0]
    mask = 0
    for index in range(len(base[3]) + 1):
        if index == len(base[3]):
            change = passed_s - n * info.period_s
        else:
            change = record[3][index] - base[3][index]
            if index in elapsed:
                change -= passed_s
        if change:
            mask |= 1 << index
            items.append(change)
    items[3] = mask
    return cbor.written(items)


def usable(record: "Record", base: "Record", highest_sent: int) -> bool:
    """May the record be sent against this base, when so high a number was sent before it?"""
    return (
        base[1] == record[1]
        and len(base[3]) == len(record[3])
        and 0 < record[0] - base[0] <= DELTA_REACH
        and highest_sent - base[0] <= BASE_REACH
    )


def integers(items: "list[int | bytes]", count: int, at: int = 0) -> "list[int]":
    """The same list, where items[at:] begin with so many signed 64-bit integers.

    RemoteError("value") otherwise.
    """
    for place in range(at, at + count):
        item = items[place] if place < len(items) else b""
        if not isinstance(item, int) or not -1 <= item >> 63 <= 0:  # what 63 bits leave: the sign
            raise RemoteError("value")
    return items  # type: ignore[return-value]
