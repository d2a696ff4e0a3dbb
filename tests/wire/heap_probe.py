"""Runs a recorded exchange through a node's session and tells what it does to the heap.

`micropython heap_probe.py RECORDING [HOLE_BYTES]`, MicroPython only: the gateway's bytes come
from the file, so that nothing but the node's stack is on this heap. With HOLE_BYTES the session
runs in a heap that has nothing but holes of that size left. See tests/budgets/heap.py.
"""

import gc
import json
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ON_DEMAND = ("handshake", "schema", "batch", "config", "objects")


def _allocated() -> int:
    gc.collect()
    return gc.mem_alloc()


def _given(value: object) -> object:
    if isinstance(value, str) and value[:1] == "x":
        return bytes.fromhex(value[1:])
    if isinstance(value, list):
        return tuple([_given(item) for item in value])
    return value


def _cost(call: object, arguments: "tuple[object, ...]") -> int:
    """Bytes that the call takes from the heap; the collector is off."""
    before = gc.mem_alloc()
    call(*arguments)
    return gc.mem_alloc() - before


def _nothing(*arguments: object) -> None:
    """What a call costs that does nothing."""


def _holes(size: int) -> "list[object]":
    """Fills the heap and frees every other block: no free run is longer than `size`."""
    blocks: "list[object]" = [None] * (gc.mem_free() // size + 1)
    filled = 0
    try:
        while filled < len(blocks):
            blocks[filled] = bytearray(size - 16)
            filled += 1
    except MemoryError:
        pass
    for index in range(0, filled, 2):
        blocks[index] = None
    gc.collect()
    return blocks


def _play(
    session: object, recording: object, taken: "dict[str, int]", up: "Callable[[], None]"
) -> None:
    """Each call of the recording; the most that a call of each label took goes to `taken`."""
    while True:
        line = recording.readline()
        if not line:
            return
        label, method, given = json.loads(line)
        given = _given(given)
        call = getattr(session, method)
        gc.collect()
        gc.disable()
        cost = _cost(call, given) - _cost(_nothing, given)
        gc.enable()
        taken[label] = max(taken.get(label, 0), cost)
        while True:
            event = session.next_event()
            if event is None:
                break
            if event[0] == "UP":  # what kerbnode.link does
                up()


def main() -> None:
    """Tells `name bytes` in lines."""
    with open(sys.argv[1]) as recording:
        framing, key, schema_hash = _given(json.loads(recording.readline()))
        chances = _given(json.loads(recording.readline()))
        drawn = 0
        bare = _allocated()

        # As tools/firmware.py bundles them.
        from kerbnode.loaded import forget
        from kerbwire.node import GREETING_MODULES, Info, NodeSession

        for name in ON_DEMAND:  # as kerbnode.assembly does: their names are met before a session
            __import__("kerbwire." + name)
        forget("kerbwire", ON_DEMAND + GREETING_MODULES)
        print("code", _allocated() - bare)

        def random(count: int) -> bytes:
            nonlocal drawn
            drawn += 1
            assert len(chances[drawn - 1]) == count
            return chances[drawn - 1]

        taken: "dict[str, int]" = {}
        info = Info(schema_hash, 1, 77, 1)
        info.period_s = 900
        before = _allocated()
        session = NodeSession(b"sl-0001", 0, key, info, random, framing)
        print("session", _allocated() - before)
        blocks = _holes(int(sys.argv[2])) if len(sys.argv) > 2 else []
        _play(session, recording, taken, lambda: forget("kerbwire", GREETING_MODULES))
        print("up", int(session.up))
        blocks.clear()
    for label in taken:
        print("garbage." + label, taken[label])
    print("state", _allocated() - before)
    print("resident", *[name for name in sys.modules if name.startswith("kerbwire")])


if __name__ == "__main__":
    main()
