"""What DIAG says of a node, four times a day; loaded for that, and gone again."""

import gc

from kerbnode import build
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.app import Node


def diagnosis(node: "Node", frame_faults: int, silences: int) -> "dict[int, int | bytes]":
    """DIAG's values by their keys; a host's Python has no heap to speak of."""
    journal = node.journal
    return {
        m.DIAG_FREE_BYTES: gc.mem_free() if hasattr(gc, "mem_free") else 0,
        m.DIAG_FLASH_FAULTS: journal.faults,
        m.DIAG_WAITING: max(0, journal.next - 1 - node.session.kept.cumulative),
        m.DIAG_FRAME_FAULTS: frame_faults,
        m.DIAG_SILENCES: silences,
        m.DIAG_BUILD: build.COMMIT,
        m.DIAG_BOARD: build.BOARD.encode(),
        m.DIAG_WIRE: m.MESSAGES_VERSION,
        m.DIAG_FAILED_BOOTS: node.failed,
        m.DIAG_FLASH_ERASES: journal.writes,
    }
