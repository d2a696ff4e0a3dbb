"""What follows when an object of an update is whole: it is judged or applied beside all else.

What takes objects goes first: a chip's heap has no room for both.
"""

import asyncio
import gc
import sys

from kerbnode import loaded, standing
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerbnode.app import Node

    Event = tuple[object, ...]

ENOSPC = 28
NEED_BYTES = 24 * 1024  # what it may take, some to spare, for the heap is in holes
MODULES = ("build", "update", "room", "working", "resumed", "staging", "standing", "trial", "image")
WIRE_MODULES = ("manifest", "release", "lms", "parts")


class Work:
    """In the place of `update.Update` on a node, until there is an outcome."""

    def __init__(self, node: "Node", steps: "Iterator[int | None]"):
        self._node = node
        self._steps = steps

    def take(self, event: "Event") -> None:
        """Nothing else is taken meanwhile."""
        if event[0] == "OFFER":
            self._node.session.objects.refuse(event[1])  # type: ignore[arg-type]

    def close(self) -> None:
        """What has come is durable."""

    def step(self) -> bool:
        """Do a little of what is to be done; False when that is all."""
        if self._node.leaving:
            return False  # the slots are as an order has them, and are not to be others then
        try:
            outcome = next(self._steps)
            if outcome is None:
                return True
        except Exception as fault:  # noqa: BLE001 - each is told
            outcome = outcome_of(fault)
        node = self._node
        node.update = None
        if standing.tell(node, outcome):
            try:
                standing.owe(node.board.nvs, standing.NONE)
            except OSError:
                pass  # a restart that did it no harm is told then
        return False


def of(node: "Node", kind: int, path: str) -> "Work | None":
    """What follows on an object of that kind; None where it has to wait for a restart. OSError.

    Whatever ends it, the gateway hears of it: until it has an outcome, that it was cut is owed.
    """
    store = node.board.nvs
    standing.owe(store, m.UPDATE_CUT)
    try:
        if hasattr(gc, "mem_free"):
            loaded.forget("kerbnode", ("update",))
            gc.collect()
            if gc.mem_free() < NEED_BYTES:
                from kerbnode import resumed

                resumed.leave(node, kind, path)
                return None
        return Work(node, begun(node, kind, path))
    except (MemoryError, OSError):
        standing.owe(store, standing.NONE)
        raise


def begun(node: "Node", kind: int, path: str) -> "Iterator[int | None]":
    """Its steps."""
    from kerbnode import staging

    if kind == m.OBJECT_UPDATE:
        return staging.judged(node, path)
    if kind == m.OBJECT_PARTS:
        return staging.applied(node.board.nvs, path)
    return staging.arrived(node.board.nvs)


def outcome_of(fault: Exception) -> int:
    """What is told of a fault."""
    if isinstance(fault, MemoryError):
        return m.UPDATE_MEMORY
    if isinstance(fault, OSError):
        return m.UPDATE_NO_ROOM if fault.errno == ENOSPC else m.UPDATE_FLASH
    return m.UPDATE_DAMAGED  # what was sound when it came


async def run(node: "Node", work: Work) -> None:
    """Step by step: the others have their turn."""
    while work.step():  # noqa: ASYNC110
        await asyncio.sleep(0)
    node.link_wake.set()
    gone()


def gone() -> None:
    """Nothing is under way: its code goes."""
    loaded.forget("kerbnode", MODULES)
    loaded.forget("kerbnode.hal", ("esp32_image",))
    loaded.forget("kerbwire", WIRE_MODULES)
    sys.modules.pop("deflate", None)
