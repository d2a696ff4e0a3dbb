"""Throws 10^8 mutated frames at both ends of kerbwire, in blocks of seeds, on all cores.

python -m tools.bench_fuzz [--blocks FIRST:END] [--jobs N] [--micropython]

A block is 400 rounds of 250 frames (tests/wire/fuzz.py). Blocks that are done for this very code
are passed over, so that a run goes on where it was stopped, and several machines share a range.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tools.progress import WIRE, Progress
from tools.trees import ROOT

BLOCK_ROUNDS = 400
BLOCK_FRAMES = 250 * BLOCK_ROUNDS
BLOCKS = 100_000_000 // BLOCK_FRAMES


def interpreter(*, micropython: bool) -> tuple[str, ...]:
    """The command that runs a script."""
    if not micropython:
        return (sys.executable,)
    return (str(Path(sys.executable).parent / "micropython"), "-X", "heapsize=8M")


def play(block: int, command: tuple[str, ...]) -> str:
    """One block; "" or what went wrong."""
    done = subprocess.run(
        [*command, "tests/wire/fuzz.py", str(block * BLOCK_ROUNDS), str(BLOCK_ROUNDS)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "protocol:tests", "MICROPYPATH": ".frozen:protocol:tests"},
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else (done.stderr or done.stdout)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--blocks", default=f"0:{BLOCKS}", help=f"of {BLOCK_FRAMES:,} frames each")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--micropython", action="store_true", help="instead of CPython")
    return parser.parse_args()


def main() -> int:
    options = _options()
    first, end = map(int, options.blocks.split(":"))
    name = "fuzz-micropython" if options.micropython else "fuzz"
    progress = Progress(name, WIRE)
    done = progress.done()
    left = [block for block in range(first, end) if block not in done]
    command = interpreter(micropython=options.micropython)
    print(f"{end - first} blocks of {BLOCK_FRAMES:,} frames, {end - first - len(left)} done before")
    began = time.monotonic()
    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        under_way = {pool.submit(play, block, command): block for block in left}
        for count, future in enumerate(as_completed(under_way), 1):
            block, fault = under_way[future], future.result()
            if fault:
                failed += 1
                print(f"block {block}:\n{fault}")
                continue
            progress.add(block)
            rate = count * BLOCK_FRAMES / (time.monotonic() - began)
            print(f"block {block}: {count}/{len(left)}, {rate:,.0f} frames/s", flush=True)
    print(f"{(len(left) - failed) * BLOCK_FRAMES:,} frames, {failed} blocks failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
