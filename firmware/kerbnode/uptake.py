"""What a boot finds in the log's folder; loaded for that, and gone again."""

from kerbnode.blocks import Segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.blocks import Gap, Reader
    from kerbnode.flash import Flash

    Found = tuple[int, int, int, list[Gap], list[Segment]]


def take_up(flash: "Flash", reader: "Reader") -> "Found | None":
    """(epoch, reserved_to, next, gaps, segments) of the log; None, and all files are gone, where
    there is no newest segment to read. OSError from flash that does not answer.
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
            return state
