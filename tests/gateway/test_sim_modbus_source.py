"""The lean source of the benchmarks: what it answers, and as a process with a pipeline."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

from kerbline.sim import meter_source
from kerbline.sim.meter_source import age_ms, answers, registers, stamp

UNITS = registers(50, 100)
NOW = 0x1234


def request(tid: int, unit: int, address: int, count: int, function: int = 3) -> bytes:
    return struct.pack(">HHHBBHH", tid, 0, 6, unit, function, address, count)


def answered(data: bytes) -> bytes:
    pieces, used = answers(data, UNITS, NOW)
    assert used == len(data)
    return b"".join(pieces)


def test_register_0_is_the_stamp_and_the_others_say_where_they_are() -> None:
    found = answered(request(7, 3, 0, 100))
    assert struct.unpack_from(">HHHBBB", found) == (7, 0, 203, 3, 3, 200)
    words = struct.unpack_from(">100H", found, 9)
    assert words[0] == NOW
    assert words[1:] == tuple(256 * 3 + n for n in range(1, 100))
    part = answered(request(8, 3, 40, 2, function=4))
    assert struct.unpack_from(">HH", part, 9) == (256 * 3 + 40, 256 * 3 + 41)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (request(1, 51, 0, 1), 11),
        (request(1, 1, 0, 1, function=6), 1),
        (request(1, 1, 99, 2), 2),
        (request(1, 1, 0, 126), 2),
        (request(1, 1, 0, 0), 2),
        (struct.pack(">HHHBBHHBH", 1, 0, 9, 1, 16, 0, 1, 2, 5), 1),
    ],
)
def test_what_it_has_not_is_an_exception(data: bytes, code: int) -> None:
    found = answered(data)
    assert struct.unpack(">HHHBBB", found) == (1, 0, 3, data[6], data[7] | 0x80, code)


def test_whole_requests_are_answered_and_the_rest_waits() -> None:
    data = b"".join(request(tid, tid, 0, 10) for tid in range(1, 11))
    pieces, used = answers(data + data[:5], UNITS, NOW)
    assert used == len(data)
    assert len(b"".join(pieces)) == 10 * (9 + 20)
    assert answers(data[:11], UNITS, NOW) == ([], 0)


def test_what_is_no_modbus_is_told() -> None:
    with pytest.raises(ValueError, match="no Modbus TCP"):
        answers(b"GET / HTTP/1.1\r\n\r\n", UNITS, NOW)


def test_an_age_is_right_over_the_wrap() -> None:
    put = 1_790_000_000_000_000_000
    for later_ms in (0, 5, 900, 64_000):
        assert age_ms(stamp(put), put + later_ms * 1_000_000) == later_ms


def test_the_process_answers_a_pipeline_with_the_time() -> None:
    command = [sys.executable, "-m", meter_source.__name__, "--units", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), timeout=60) as master:
                before = time.time_ns()
                master.sendall(b"".join(request(n, n, 0, 100) for n in range(1, 17)))
                heard = b""
                while len(heard) < 16 * 209:
                    heard += master.recv(65_536)
                after = time.time_ns()
            for number in range(16):
                tid, unit, shown = struct.unpack_from(">H4xB2xH", heard, number * 209)
                assert (tid, unit) == (number + 1, number + 1)
                assert age_ms(shown, after) <= (after - before) // 1_000_000 + 1
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
