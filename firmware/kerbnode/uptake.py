"""What a boot finds in the log's folder; loaded for that, and gone again."""

import json

from kerbnode import nvs
from kerbnode.blocks import Segment
from kerbnode.commands import ID_BYTES
from kerbnode.journal import GAPS
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.blocks import Gap, Reader
    from kerbnode.commands import Commands
    from kerbnode.flash import Flash
    from kerbnode.hal.board import Nvs
    from kerbnode.journal import Journal

    Found = tuple[int, int, int, list[Gap], list[Segment]]


def open_log(journal: "Journal") -> None:
    """Take up the log after a boot, or begin a new epoch where there is none to read."""
    try:
        most = journal._max_segments * 3 // 4
        found = take_up(journal._flash, journal._reader, journal._segment_bytes, most, GAPS - 1)
    except OSError:
        journal.faults += 1  # half of what was read must give no number again
        return
    if found is None:
        journal.epoch = int.from_bytes(journal._random(4), "big") or 1
    else:
        journal.epoch, journal._reserved_to, journal.next, journal.gaps, journal._segments = found
    if journal._reserved_to >= journal.next:
        journal.rarely("declare", journal.next, journal._reserved_to, m.GAP_POWER)
        journal.next = journal._reserved_to + 1
    journal._reserved_to = journal.next - 1
    journal._is_open = True
    journal.flush()


def take_up(
    flash: "Flash", reader: "Reader", segment_bytes: int, most: int, most_gaps: int
) -> "Found | None":
    """(epoch, reserved_to, next, gaps, segments) of the log; None, and all files are gone, where
    there is no newest segment to read. OSError from flash that does not answer.

    Each boot begins a segment and declares a gap: above `most` and `most_gaps` they grow together.
    """
    names = flash.names()
    for name in [name for name in names if not name.startswith("s")]:
        flash.remove(name)  # a segment that a power cut kept from its name
    names = [name for name in names if name.startswith("s")]
    segments: list[Segment] = []
    for name in names:
        segment = Segment(name, flash.size(name), 0)
        if reader.load(segment):
            segment.first = reader.base
            segments.append(segment)
        elif name != names[-1]:
            flash.remove(name)  # what it held is missing and will be declared
    if not segments or segments[-1].name != names[-1]:
        for name in flash.names():  # the newest last: a cut must not revive an older one
            flash.remove(name)
        return None
    gaps = reader.gaps()  # the first block of the newest, which was loaded last
    while True:
        state = reader.epoch, reader.reserved_to, reader.end, gaps, segments
        if not reader.load_next(segments[-1]):
            break
    while len(gaps) > most_gaps:  # what is between the nearest two is lost: a boot's own events
        between = [gaps[at + 1][0] - gaps[at][1] for at in range(len(gaps) - 1)]
        at = between.index(min(between))
        gaps[at : at + 2] = [(gaps[at][0], gaps[at + 1][1], m.GAP_FULL)]
    try:
        for at in range(len(segments) - 2, -1, -1):
            first, end = segments[at].first, segments[at + 1].first
            if any([gap[0] <= first and end <= gap[1] + 1 for gap in gaps]):
                flash.remove(segments.pop(at).name)  # a next boot finds the same gaps
        while len(segments) > max(2, most) and _joined(flash, reader, segments, segment_bytes):
            pass
    except OSError:
        pass  # they stay apart, and nothing is lost by that
    reader.forget()
    return state


def _joined(flash: "Flash", reader: "Reader", segments: "list[Segment]", most_bytes: int) -> bool:
    """The two smallest neighbours become one, but for the newest; False when they don't fit.

    A cut leaves records twice, which is once too often and no harm.
    """
    sizes = [segments[at].size + segments[at + 1].size for at in range(len(segments) - 2)]
    if min(sizes) > most_bytes:
        return False
    at = sizes.index(min(sizes))
    into, gone = segments[at], segments[at + 1]
    whole = reader.load(gone)
    while whole:
        if reader.base < reader.end:  # its gaps were those of a while ago
            flash.append(into.name, reader.block())
        whole = reader.load_next(gone)
    segments.remove(gone)
    flash.remove(gone.name)
    into.size = flash.size(into.name)
    return True


def load_totals(store: "Nvs") -> "tuple[int, ...] | None":
    """The totals of the last save, or None."""
    body = nvs.get_checked(store, "totals")
    try:
        return None if body is None else tuple(json.loads(body))
    except (TypeError, ValueError):
        return None  # sound, and no list: another build's, or four bytes of 0


def load_commands(commands: "Commands", store: "Nvs") -> None:
    """Take up the highest id of the commands that must never run twice; OSError if unread.

    Before that none is written: it might be lower.
    """
    blob = store.get("command")
    if blob is not None and len(blob) in (4, ID_BYTES):  # older firmware wrote four
        commands.highest = int.from_bytes(blob, "big")
    commands._nvs = store
