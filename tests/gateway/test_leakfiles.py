"""Files of recorded series that are damaged, or hold what no meter can tell."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from kerbline.leakfiles import LeakFileError, read_inflow, read_inflow_total


@pytest.mark.parametrize("header", [b"{'descr': (((((\n", b"{'a': 'b\n", b"\n", b"1 +\n"])
def test_a_damaged_header_of_an_array_is_told_as_such(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "damaged.npz"
    with zipfile.ZipFile(path, "w") as archive:
        body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        archive.writestr("inflow.npy", body)
    with pytest.raises(LeakFileError, match=r"no \.npz file that can be read: inflow"):
        read_inflow(path, 30)


@pytest.mark.parametrize(
    ("value", "told"), [(np.inf, "infinite values"), (1e200, "is that its unit?")]
)
def test_what_no_meter_can_tell_is_refused(tmp_path: Path, value: float, told: str) -> None:
    path = tmp_path / "far.npz"
    series = np.array([1.0, value, np.nan])
    np.savez(path, inflow=series[np.newaxis], inflow_total_l=series)
    with pytest.raises(LeakFileError, match=told):
        read_inflow(path, 30)
    with pytest.raises(LeakFileError, match=told):
        read_inflow_total(path, 3)
