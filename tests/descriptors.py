"""What this process holds open, told by kind: others' files may close while a test looks."""

from __future__ import annotations

import gc
import re
from collections import Counter
from pathlib import Path


def held() -> Counter[str]:
    """How many of each file and kind of pty, pipe and socket are open, garbage not counted."""
    gc.collect()
    found: Counter[str] = Counter()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:  # the listing's own
            continue
        found[re.sub(r"(/pts/|\[)\d+", r"\1N", target)] += 1  # such numbers are given anew
    return found


def leaked(before: Counter[str]) -> Counter[str]:
    """What is open more often than it was `before`."""
    return held() - before
