"""What befalls the log's segments: one begins, the oldest goes, what is lost is declared.

Loaded when that happens, every few minutes, and gone again.
"""

from kerbnode.blocks import Segment, encode
from kerbnode.journal import GAPS, RESERVE
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.journal import Journal


def begin_segment(journal: "Journal") -> None:
    """A new file with all open gaps; it has its name only when it is whole.

    What has no room beside it is declared in it, and removed only then.
    """
    surplus = len(journal._segments) - journal._max_segments + 1
    if len(journal.gaps) > GAPS:
        surplus = max(surplus, 1)
    oldest = journal._segments[: max(0, min(surplus, len(journal._segments) - 1))]
    if oldest:
        declare_full(journal, journal._segments[len(oldest)].first - 1)
    sequence = int(journal._segments[-1].name[1:], 16) + 1 if journal._segments else 0
    name = "s{:08x}".format(sequence)
    base = journal.pending[0][0] if journal.pending else journal.next
    reserved_to = max(journal._reserved_to, base - 1 + RESERVE)
    block = encode(journal.epoch, reserved_to, base, base, journal.gaps, [])
    journal.writes += 1
    journal._flash.create(name, block)
    journal._segments.append(Segment(name, len(block), base))
    journal._reserved_to = reserved_to
    journal.dirty = False
    for segment in oldest:
        journal._remove(segment)


def drop_oldest(journal: "Journal") -> None:
    """Make room at once, for flash is full: its loss is declared as soon as there is some."""
    declare_full(journal, journal._segments[1].first - 1)
    journal._remove(journal._segments[0])


def declare_full(journal: "Journal", last: int) -> None:
    """What was not kept of the oldest numbers up to `last` becomes a gap."""
    first = max(journal._segments[0].first, journal._kept_to + 1)
    if first <= last:
        declare(journal, first, last, m.GAP_FULL)


def lost(journal: "Journal", number: int) -> None:
    """Declare a number that `read` has not found and that the gateway lacks."""
    oldest = journal._segments[0].first if journal._segments else journal.next
    declare(journal, number, number, m.GAP_FULL if number < oldest else m.GAP_FLASH_FAULT)


def declare(journal: "Journal", first: int, last: int, reason: int) -> None:
    """Note a gap; it swallows what it overlaps and grows together with its like beside it."""
    others = []
    for gap in journal.gaps:
        touches = gap[2] == reason and gap[1] + 1 >= first and gap[0] <= last + 1
        if touches or (gap[1] >= first and gap[0] <= last):
            first = min(first, gap[0])
            last = max(last, gap[1])
        else:
            others.append(gap)
    journal.gaps = sorted(others + [(first, last, reason)])
    journal.dirty = True


def close(journal: "Journal") -> None:
    """An orderly stop: no number is reserved any more, the next boot has no gap."""
    try:
        if journal.flush():
            journal._append([], journal.next, journal.next - 1)
    except OSError:
        journal.faults += 1  # then the next boot declares the reserve, as after a power cut
