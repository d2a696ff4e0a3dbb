"""The node's stack on a 32-bit heap, the code as .mpy files."""

import tempfile
from pathlib import Path

from tests.budgets import heap
from tools import runtime32
from tools.figures import Figure

HOLES = (64, 128, 192, 256, 384, 512, 768, 1024, 2048)


def figures() -> list[Figure]:
    if not runtime32.PROGRAM.exists():
        return [Figure("state of a full session", "no 32-bit MicroPython", "bytes", "<= 16384")]
    with tempfile.TemporaryDirectory() as folder:
        recording = heap.recorded(Path(folder))
        code = Path(folder) / "mpy"
        heap.compiled(code)
        told = heap.played(runtime32.PROGRAM, code, recording)
        block = next(
            size for size in HOLES if heap.played(runtime32.PROGRAM, code, recording, str(size))
        )
        least = heap.least_heap_kib(runtime32.PROGRAM, code, recording)
    garbage = {name[8:]: int(told[name]) for name in told if name.startswith("garbage.")}
    unheard = max(garbage[label] for label in ("noise", "half", "duplicate"))
    return [
        Figure("state and buffers of a full session", int(told["state"]), "bytes", "<= 16384"),
        Figure("largest block that a session asks for", block, "bytes", "<= 1024"),
        Figure("memory taken by noise, half a frame, a repeat", unheard, "bytes", "<= 0"),
        Figure("code of the stack, loaded", int(told["code"]), "bytes"),
        Figure("least heap for greeting, exchange and all full", least, "KiB"),
        Figure(
            "garbage of one report, made and sealed",
            garbage["report"] + garbage["report.out"],
            "bytes",
        ),
        Figure("garbage of the POLL that answers it", garbage["report.answer"], "bytes"),
        Figure("garbage of the WELCOME (keys of a session)", garbage["hello.answer"], "bytes"),
    ]
