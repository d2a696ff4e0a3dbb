"""A lit street on paper: real nodes' steps, the real follower, people who come as a file says.

Nights are played apart from one another (by day all lamps are off), each with chances of its own,
so that the result is the same however many processes share the work.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from kerbline.sim.lit_street_files import Nights, Street, people, read_events
from kerbline.sim.lit_street_nights import Night, nights
from kerbline.sim.lit_street_play import Scene, Stage, Tally

HEADER = "t_s,lamp,level_pct\n"
FINE_ROWS = 6_000_000  # as many as each change of a level may take
COARSE_PCT = 20.0  # else a fall has a row each so many percent
ROWS_A_PASSAGE = 220  # of a lamp, each change told
AHEAD = 4  # nights given out for each process
J_PER_KWH = 3.6e6

Progress = Callable[[int, int], None]  # nights played, of how many


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run took; energies in kWh."""

    street: Street
    events: int
    nights: int
    every_pct: float
    tally: Tally

    @property
    def standby_day_kwh(self) -> float:
        """What the gear of unlit lamps draws by day."""
        street = self.street
        off_s = street.lamps * (street.end_s - self.tally.dark_s)
        return street.lamp_w * street.standby_fraction * off_s / J_PER_KWH

    @property
    def kwh(self) -> float:
        """Of the lamps by night, standby in it."""
        return self._kwh(self.tally.pct_s)

    @property
    def always_kwh(self) -> float:
        """From dusk to dawn at full."""
        return self._kwh(self._dark_lamp_s * self.street.full_pct)

    @property
    def clairvoyant_kwh(self) -> float:
        """At full exactly while somebody is owed it, else at the floor."""
        street, full_s = self.street, self.tally.demanded_s
        floor_s = self._dark_lamp_s - full_s
        return self._kwh(full_s * street.full_pct + floor_s * street.floor_pct)

    @property
    def saved(self) -> float:
        """The share of dusk-to-dawn's energy."""
        return self._share(self.kwh)

    @property
    def clairvoyant_saved(self) -> float:
        """The share that somebody saves who knows all."""
        return self._share(self.clairvoyant_kwh)

    @property
    def _dark_lamp_s(self) -> float:
        return self.street.lamps * self.tally.dark_s

    def _kwh(self, pct_s: float) -> float:
        """Power is linear in the level, from standby to `lamp_w`."""
        street = self.street
        standby = street.standby_fraction * self._dark_lamp_s
        return street.lamp_w * (standby + (1 - street.standby_fraction) * pct_s / 100) / J_PER_KWH

    def _share(self, kwh: float) -> float:
        return 1 - kwh / self.always_kwh if self.always_kwh else 0.0


def simulate(
    street: Street,
    events: Path,
    out: Path,
    *,
    seed: int = 1,
    jobs: int = 0,
    every_pct: float | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Plays the street and writes the trace; what stood in `out` is replaced at the end.

    `every_pct`: a fall has a row each so many percent, a rise one at its end; 0: each change of a
    level is a row; None: that, unless there would be too many. `jobs`: processes; 0: one a core.
    Raises ConfigFault for bad events.
    """
    all_nights = nights(street)
    with tempfile.TemporaryDirectory(prefix="kerbline-light-") as name:
        folder = Path(name)
        spans = [(night.lit_from_s, night.lit_to_s) for night in all_nights]
        kept = Nights(folder, spans)
        with _named(folder):
            read = read_events(events, street, kept)
        if every_pct is None:
            rows = read.in_the_dark * street.lamps * ROWS_A_PASSAGE
            every_pct = 0.0 if rows <= FINE_ROWS else COARSE_PCT
        scene = Scene(street, read.length_m, seed, every_pct)
        tally = Tally()
        with _written(out) as sink:
            sink.write(HEADER.encode())
            if not all_nights or all_nights[0].lit_from_s > 0:
                sink.writelines(f"0.000,{lamp},0\n".encode() for lamp in range(street.lamps))
            played = _played(scene, all_nights, folder, jobs)
            for done, (number, each) in enumerate(played, 1):
                tally = tally.plus(each)
                part = folder / f"{number}.rows"
                with part.open("rb") as rows_of_night:
                    shutil.copyfileobj(rows_of_night, sink)
                part.unlink()
                if progress is not None:
                    progress(done, len(all_nights))
    return Outcome(street, read.count, len(all_nights), every_pct, tally)


def play_night(scene: Scene, night: Night, number: int, folder: Path) -> Tally:
    """One night, its rows in a file of its own."""
    rows = folder / f"{number}.rows"
    with _named(rows), rows.open("w", encoding="ascii") as out:
        stage = Stage(scene, night, number, people(folder, number), out)
        return stage.play(tell_all=night.lit_from_s <= 0)


def _played(
    scene: Scene, all_nights: tuple[Night, ...], folder: Path, jobs: int
) -> Iterator[tuple[int, Tally]]:
    """Every night in order, by several processes."""
    jobs = min(jobs or len(os.sched_getaffinity(0)), len(all_nights))
    if jobs <= 1:
        for number, night in enumerate(all_nights):
            yield number, play_night(scene, night, number, folder)
        return
    with ProcessPoolExecutor(jobs) as pool:
        waiting: deque[tuple[int, Future[Tally]]] = deque()
        upcoming = enumerate(all_nights)
        try:
            while True:
                for number, night in islice(upcoming, jobs * AHEAD - len(waiting)):
                    waiting.append((number, pool.submit(play_night, scene, night, number, folder)))
                if not waiting:
                    return
                number, future = waiting.popleft()
                yield number, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """An error of a file that names none, a full disk say, is of this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def _written(out: Path) -> Iterator[BinaryIO]:
    """A file that is there as a whole or not at all; a pipe is written at once."""
    if out.exists() and not out.is_file():
        with _named(out), out.open("wb") as stream:
            yield stream
        return
    part = out.with_name(f"{out.name}.part")
    try:
        with _named(part), part.open("wb") as stream:
            yield stream
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
