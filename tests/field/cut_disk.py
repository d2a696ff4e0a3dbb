"""A disk in memory whose power can be cut at any step, as POSIX lets what was not synced go."""

from collections.abc import Callable
from pathlib import Path

# What becomes of what was not synced: all is lost, all is kept, files are torn, or the names are
# kept and the contents lost (which is what makes a rename without a sync a trap).
FATES = ("lost", "kept", "torn", "named")


class PowerCut(Exception):
    """The machine is off."""


class CutDisk:
    """A `Disk`; `cut_at` counts steps from now, None: never."""

    def __init__(self) -> None:
        self.cut_at: int | None = None
        self.steps = 0
        self._names: dict[Path, int] = {}
        self._contents: dict[int, bytes] = {}
        self._safe_names: dict[Path, int] = {}
        self._safe_contents: dict[int, bytes] = {}

    def read(self, path: Path) -> bytes | None:
        """The whole file."""
        return self._contents[self._names[path]] if path in self._names else None

    def write(self, path: Path, content: bytes) -> None:
        """In its place."""
        self._names.setdefault(path, len(self._contents))
        self._contents[self._names[path]] = b""
        self._step(lambda: self._contents.__setitem__(self._names[path], content))

    def sync(self, path: Path) -> None:
        """Its content stays."""
        number = self._names[path]
        self._step(lambda: self._safe_contents.__setitem__(number, self._contents[number]))

    def rename(self, path: Path, to: Path) -> None:
        """Over what is there."""
        self._step(lambda: self._names.__setitem__(to, self._names.pop(path)))

    def sync_folder(self, path: Path) -> None:
        """Its names stay."""

        def done() -> None:
            gone = [name for name in self._safe_names if name.parent == path]
            for name in gone:
                del self._safe_names[name]
            here = {name: n for name, n in self._names.items() if name.parent == path}
            self._safe_names.update(here)

        self._step(done)

    def restart(self, fate: str) -> None:
        """The power is back."""
        self.cut_at = None
        names = self._safe_names if fate == "lost" else self._names
        contents = {}
        for number in set(names.values()):
            safe = self._safe_contents.get(number, b"")
            now = self._contents[number]
            contents[number] = {
                "lost": safe,
                "named": safe,
                "kept": now,
                "torn": now if now == safe else now[: len(now) // 2],
            }[fate]
        # Numbers of files that are gone must not come again.
        self._contents = {**dict.fromkeys(self._contents, b""), **contents}
        self._safe_contents = dict(contents)
        self._names = dict(names)
        self._safe_names = dict(names)

    def put(self, path: Path, content: bytes | None) -> None:
        """What a person does: a file from a backup, safe at once, or none."""
        self._names.pop(path, None)
        if content is not None:
            number = self._names[path] = len(self._contents)
            self._contents[number] = self._safe_contents[number] = content
        self._safe_names = dict(self._names)

    def _step(self, work: Callable[[], None]) -> None:
        self.steps += 1
        if self.cut_at is not None:
            if self.cut_at == 0:
                raise PowerCut
            self.cut_at -= 1
        work()
