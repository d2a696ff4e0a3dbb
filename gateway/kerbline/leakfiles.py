"""Recorded series for the leak detectors: numpy's .npz, read and checked in one place."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kerbline.errors import KerblineError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Series = npt.NDArray[np.float64]

MINUTES_A_DAY = 1440
MOST_M3_H = 1e9
MOST_L = 1e15
_ARRAY = b"\x93NUMPY"  # how a file of one array begins
_BROKEN = (zipfile.BadZipFile, zlib.error, tokenize.TokenError, SyntaxError)


class LeakFileError(KerblineError):
    """A file of series that can't be used; says the array and what it should be."""

    code = "leak-file"
    exit_status = 2


class Meters(NamedTuple):
    """Totalisers of consumer meters."""

    reads: npt.NDArray[np.uint32]  # (meters, time), litres
    missing: npt.NDArray[np.bool_] | None  # (meters, time); None: every read is there


def read_inflow(path: Path, step_min: int) -> Series:
    """`inflow` of a file: (series, time), m3/h, NaN where missing."""
    np = _numpy()
    _check_step(step_min)
    found = _array(path, "inflow")
    _check_shape(path, "inflow", found, "series x time")
    if found.dtype.kind not in "fiu":
        raise LeakFileError(f"{path}: inflow is of {found.dtype}: give numbers in m3/h")
    inflow: Series = np.asarray(found, dtype=np.float64)
    if np.isinf(inflow).any():
        raise LeakFileError(f"{path}: inflow holds infinite values: give NaN where one is missing")
    _check_most(path, "inflow", inflow, MOST_M3_H)
    return inflow


def read_meters(path: Path, step_min: int) -> Meters:
    """`reads` and, if there, `missing` of a file: packed bits, the first of a byte the highest."""
    np = _numpy()
    _check_step(step_min)
    reads = _array(path, "reads")
    _check_shape(path, "reads", reads, "meters x time")
    if reads.dtype.kind not in "iu":
        raise LeakFileError(f"{path}: reads are of {reads.dtype}: give whole litres as uint32")
    if reads.dtype != np.uint32:
        if int(reads.min()) < 0 or int(reads.max()) > 0xFFFFFFFF:
            raise LeakFileError(f"{path}: reads pass what uint32 holds: give litres as uint32")
        reads = reads.astype(np.uint32)
    packed = _array(path, "missing", needed=False)
    if packed is None:
        return Meters(reads, None)
    meters, steps = reads.shape
    shape = (meters, (steps + 7) // 8)
    if packed.dtype != np.uint8 or packed.shape != shape:
        raise LeakFileError(
            f"{path}: missing is {packed.dtype} {packed.shape}, not uint8 {shape}: "
            "write numpy.packbits(mask, axis=1) of a mask as long as reads"
        )
    bits = np.unpackbits(packed, axis=1, count=steps, bitorder="big")
    return Meters(reads, bits.view(np.bool_))


def read_inflow_total(path: Path, steps: int) -> Series:
    """`inflow_total_l` of a file: (time,), the district meter's totaliser in litres."""
    np = _numpy()
    found = _array(path, "inflow_total_l")
    if found.ndim != 1 or found.size != steps or found.dtype.kind not in "fiu":
        raise LeakFileError(
            f"{path}: inflow_total_l is {found.dtype} {found.shape}: "
            f"give {steps} numbers, one for each step of reads"
        )
    total_l: Series = np.asarray(found, dtype=np.float64)
    if np.isinf(total_l).any():
        raise LeakFileError(f"{path}: inflow_total_l holds infinite values: give NaN where missing")
    _check_most(path, "inflow_total_l", total_l, MOST_L)
    return total_l


def check_number(path: Path, name: str, number: int, count: int) -> None:
    """Is there a row of that number?"""
    if number >= count:
        raise LeakFileError(f"{path}: {name} has {count} rows: give 0 to {count - 1}")


def _check_step(step_min: int) -> None:
    if MINUTES_A_DAY % step_min:
        raise LeakFileError(f"--step-min {step_min}: a day is no whole number of such steps")


def _check_shape(path: Path, name: str, found: npt.NDArray[Any], axes: str) -> None:
    if found.ndim != 2 or 0 in found.shape:
        raise LeakFileError(f"{path}: {name} has shape {found.shape}: give {axes}")


def _check_most(path: Path, name: str, found: Series, most: float) -> None:
    """Beyond it nothing flows, and squares of it overflow."""
    if (abs(found) > most).any():
        raise LeakFileError(f"{path}: {name} holds more than {most:g}: is that its unit?")


def _array(path: Path, name: str, *, needed: bool = True) -> Any:  # noqa: ANN401 - any dtype yet
    np = _numpy()
    try:
        with path.open("rb") as file:
            if file.read(len(_ARRAY)) == _ARRAY:
                raise LeakFileError(f"{path}: one bare array: write it with numpy.savez")
        # Opened as an archive, so that numpy takes no other file for a pickle.
        with zipfile.ZipFile(path) as archive:
            there = [entry.removesuffix(".npy") for entry in archive.namelist()]
            if name in there:
                with archive.open(f"{name}.npy") as entry:
                    return np.lib.format.read_array(entry, allow_pickle=False)
    except MemoryError as error:
        raise LeakFileError(f"{path}: {name} is larger than the memory here: cut it") from error
    except (ValueError, KeyError, RuntimeError, EOFError, *_BROKEN) as error:
        if "Object arrays" in str(error):
            raise LeakFileError(f"{path}: {name} holds objects: give numbers") from error
        raise LeakFileError(f"{path}: no .npz file that can be read: {name}: {error}") from error
    if needed:
        raise LeakFileError(f"{path}: no array {name}; it holds {', '.join(there) or 'nothing'}")
    return None


def _numpy() -> Any:  # noqa: ANN401 - a module
    try:
        import numpy as np
    except ImportError as error:
        raise LeakFileError("leaks need numpy: pip install 'kerbline[analysis]'") from error
    return np
