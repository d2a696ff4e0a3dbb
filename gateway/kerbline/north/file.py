"""The log in files, a JSON object a line: what a `Follower` needs to be a sink into a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from io import FileIO
from itertools import accumulate
from pathlib import Path

import orjson

from kerbline import durable
from kerbline.model import ANCHOR_KIND, Entry, Reading
from kerbline.store.entries import to_json

_OURS = re.compile(r"[0-9]{13}")


def lines(entries: Iterable[Entry]) -> list[bytes]:
    """The mapping, pure: one line an entry, as the store has it; our own anchors are left out."""
    wanted = (e for e in entries if not (isinstance(e, Reading) and e.kind == ANCHOR_KIND))
    return [orjson.dumps(to_json(entry), option=orjson.OPT_APPEND_NEWLINE) for entry in wanted]


class Shelf:
    """Files `{ms since 1970}.jsonl`: the newest grows to a size and an age, the oldest go.

    None exceeds `max_bytes`, but for one line that is longer, and there are at most `keep_files`.
    """

    def __init__(
        self,
        folder: Path,
        utc_ms: Callable[[], int],
        *,
        max_bytes: int,
        max_age_ms: int,
        keep_files: int,
    ) -> None:
        self._folder = folder
        self._utc_ms = utc_ms
        self._max_bytes = max_bytes
        self._max_age_ms = max_age_ms
        self._keep_files = keep_files

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Write entries, safe from a power cut on return; raises OSError."""
        waiting = lines(entries)
        self._folder.mkdir(parents=True, exist_ok=True)
        while waiting:
            now_ms = self._utc_ms()
            begun_ms = max(self._begun(), default=0)
            size = self._mended(begun_ms) if begun_ms else 0
            full = size > 0 and size + len(waiting[0]) > self._max_bytes
            if full or not begun_ms or now_ms - begun_ms >= self._max_age_ms:
                begun_ms, size = max(now_ms, begun_ms + 1), 0
            ends = accumulate(map(len, waiting[1:]), initial=size + len(waiting[0]))
            count = max(1, sum(end <= self._max_bytes for end in ends))
            durable.append(self._path(begun_ms), b"".join(waiting[:count]), mode=0o666)
            waiting = waiting[count:]
            for old in sorted(self._begun())[: -self._keep_files]:
                self._path(old).unlink()

    def _begun(self) -> list[int]:
        """Of files that are ours by their names; others are passed over."""
        return [
            int(path.stem) for path in self._folder.glob("*.jsonl") if _OURS.fullmatch(path.stem)
        ]

    def _path(self, begun_ms: int) -> Path:
        return self._folder / f"{begun_ms:013d}.jsonl"

    def _mended(self, begun_ms: int) -> int:
        """The size of a file, after what a kill or a power cut left of a line is cut off."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        with FileIO(os.open(self._path(begun_ms), flags), "r+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if file.read() == b"\n":
                return size
            file.seek(0)
            return file.truncate(file.read().rfind(b"\n") + 1)
