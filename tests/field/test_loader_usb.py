"""Ports of this machine: who has one, and what the system said about it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kerbline.boardtools import BoardFault, connected, usb
from kerbline.boardtools.loader import identify
from kerbline.boardtools.loader_link import LoaderFault
from kerbline.sim.bench_board import BenchBoard, on_bench

HOLD = """
import sys, serial
port = serial.serial_for_url(sys.argv[1], exclusive=True)
print("held", flush=True)
sys.stdin.read()
"""


def test_who_has_a_port_is_told(tmp_path: Path) -> None:
    """By name and process, by the loader and by the REPL; free again it answers."""
    board = BenchBoard(tmp_path, serial=True)
    with on_bench(board):
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, board.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            assert holder.stdout is not None and holder.stdout.readline() == "held\n"
            who = f"({holder.pid})"
            assert any(who in each for each in usb.holders(board.url))
            with pytest.raises(LoaderFault) as told:
                identify(board.url)
            assert told.value.code == "port_busy" and who in told.value.cause
            with pytest.raises(BoardFault, match="has it open; close that") as said:
                connected(board.url).__enter__()
            assert who in str(said.value)
            holder.communicate()
        assert identify(board.url).chip == "esp32"


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), errno.EACCES),
        (OSError("could not open port x: [Errno 2] No such file"), errno.ENOENT),
        (OSError("[Errno 11] Could not exclusively lock port x"), errno.EAGAIN),
        (OSError("gone"), 0),
    ],
)
def test_what_the_system_said_is_found(fault: OSError, number: int) -> None:
    """pyserial has the number in its text alone, at times."""
    assert usb.number(fault) == number


def test_a_port_that_may_not_be_opened_is_told(tmp_path: Path) -> None:
    """Only where somebody else than root asks."""
    if os.geteuid() == 0:
        pytest.skip("root may open every port")
    board = BenchBoard(tmp_path, serial=True)
    with on_bench(board):
        Path(board.url).chmod(0)
        with pytest.raises(LoaderFault) as told:
            identify(board.url)
    assert told.value.code == "permission"
