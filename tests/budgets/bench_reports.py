"""Bytes a report on the UART, sealed, with address byte and 16-bit counter.

Streams of our own, or those of the folder that KERBLINE_STREAMS names.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from kerbline import wirebench
from tests import streams
from tools.figures import Figure

SEED = 7
REPORTS = {"streetlight": 5760, "water_meter": 400, "air_quality": 8640}
TARGETS = {
    "streetlight": {"live": 23, "batch24": 2.2},
    "water_meter": {"live": 38, "batch7": 18.5},
    "air_quality": {"live": 28, "batch24": 5.5},
}


def reports_of(kind: str, folder: Path) -> dict[str, Any]:
    given = os.environ.get("KERBLINE_STREAMS")
    if given:
        return wirebench.measure(Path(given) / f"{kind}.jsonl")
    file = streams.write(folder / f"{kind}.jsonl", kind, SEED, REPORTS[kind])
    return wirebench.measure(file)


def figures() -> list[Figure]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, targets in TARGETS.items():
            report = reports_of(kind, Path(folder))
            for name, target in targets.items():
                mean = report[name]["uart_mean"]
                found.append(Figure(f"{kind}, {name}", mean, "bytes", f"<= {target}"))
            found.append(Figure(f"{kind}, the POLL that answers", report["poll_bytes"], "bytes"))
            found.append(Figure(f"{kind}, a handshake", report["handshake_bytes"], "bytes"))
    return found
