"""How many bytes reach the disk for each reading: the store beside one row a reading.

.venv/bin/python docs/decisions/bytes_per_reading.py [FOLDER]     (a folder on the disk to measure)

The kernel counts what this process causes to be written (write_bytes of /proc/self/io).
"""

import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kerbline.model import Key, Reading
from kerbline.store import Store
from kerbline.store.database import CHECKPOINT_PAGES, PAGE_BYTES
from kerbline.store.entries import packed

READINGS = 20_000
START_MS = 1_800_000_000_000
LAMPS = 50


def readings() -> Iterator[Reading]:
    """Reports of 50 streetlights, every 15 minutes each."""
    for number in range(READINGS):
        lamp, turn = number % LAMPS, number // LAMPS
        yield Reading(
            Key(f"sl-{lamp:04}", 0x5EED0000 + lamp, turn + 1),
            f"lamp-{lamp}",
            "streetlight",
            START_MS + 900_000 * turn + 137 * lamp,
            600,
            {
                "level_pct": 30,
                "power_w": 18.4 + number % 7 / 10,
                "energy_wh": 5 * turn,
                "lamp_hours": turn // 4,
                "temperature_c": 10 + turn % 5,
                "status": 1,
            },
            (),
            START_MS + 900_000 * turn + 137 * lamp + 80,
        )


def written() -> int:
    """Bytes that this process has caused to be written so far."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


def by_store(path: Path, group: int) -> float:
    """Bytes a reading through the store, closed at the end."""
    store = Store.open(path)
    before = written()
    entries = list(readings())
    for start in range(0, READINGS, group):
        store.append(entries[start : start + group], START_MS)
    store.close()
    return (written() - before) / READINGS


def by_rows(path: Path, group: int) -> float:
    """The same with a row and an index entry a reading, under the same settings."""
    sql = sqlite3.connect(path, isolation_level=None)
    sql.execute(f"PRAGMA page_size={PAGE_BYTES}")
    sql.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=OFF;")
    sql.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    sql.execute(
        "CREATE TABLE reading (id INTEGER PRIMARY KEY, source, epoch, number, body,"
        " UNIQUE (source, epoch, number))"
    )
    before = written()
    entries = list(readings())
    for start in range(0, READINGS, group):
        sql.execute("BEGIN")
        for entry in entries[start : start + group]:
            body = packed([entry])
            row = (entry.key.source, entry.key.epoch, entry.key.number, body)
            sql.execute("INSERT INTO reading VALUES (NULL, ?, ?, ?, ?)", row)
        sql.execute("COMMIT")
    sql.close()
    return (written() - before) / READINGS


def main() -> None:
    """Print a line for each way and group size."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else ".") as folder:
        print("readings a commit   store   a row each   (bytes a reading)")
        for group in (1, 10, 100, 500):
            store = by_store(Path(folder) / f"store-{group}.db", group)
            rows = by_rows(Path(folder) / f"rows-{group}.db", group)
            print(f"{group:17} {store:7.0f} {rows:12.0f}")


if __name__ == "__main__":
    main()
