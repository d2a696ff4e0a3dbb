"""The Wireshark dissector is the one that the tables make, and tshark runs it over a capture."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from kerbwire.limits import DATAGRAM
from tests.wire.pair import Pair
from tools import dissector

PORT = 5683
ETHERNET, RAW_HEADER = 1, bytes(12) + b"\x08\x00"


def _packet(payload: bytes) -> bytes:
    """A datagram with Ethernet, IP and UDP around it."""
    udp = struct.pack(">HHHH", PORT, PORT, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), bytes(4))
    return RAW_HEADER + ip + udp


def _capture(file: Path, datagrams: list[bytes]) -> None:
    """A pcap file."""
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, ETHERNET)
    for number, datagram in enumerate(datagrams):
        packet = _packet(datagram)
        data += struct.pack("<IIII", number, 0, len(packet), len(packet)) + packet
    file.write_bytes(data)


def _tshark(capture: Path, *fields: str) -> list[list[str]]:
    program = shutil.which("tshark")
    if program is None:
        pytest.skip("no tshark: sudo apt-get install tshark")
    command = [program, "-X", f"lua_script:{dissector.TARGET}", "-r", str(capture)]
    command += ["-d", f"udp.port=={PORT},kerbwire", "-T", "fields", "-E", "separator=;"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "rror" not in done.stderr, done.stderr
    return [line.split(";") for line in done.stdout.splitlines()]


def test_the_dissector_is_what_the_tables_make() -> None:
    assert dissector.TARGET.read_text() == dissector.text(), "run python -m tools.dissector"


def test_tshark_reads_an_exchange(tmp_path: Path) -> None:
    pair = Pair(1, DATAGRAM)
    sent: list[bytes] = []
    pair.up_line.written = pair.down_line.written = sent
    pair.settled()
    pair.make()
    pair.run(200)
    _capture(tmp_path / "kerbwire.pcap", sent)
    names = ("direction", "class", "address", "type", "fseq", "tag", "item")
    rows = _tshark(tmp_path / "kerbwire.pcap", *[f"kerbwire.{name}" for name in names])
    assert len(rows) == len(sent)
    for row, data in zip(rows, sent, strict=True):
        assert row[0] == str(data[0] >> 5 & 1) and row[1] == str(data[0] & 3)
        assert row[2] == str(data[1])
        if data[0] & 3 == 3:
            assert row[3] == str(data[2])
        else:
            assert row[4] == str(int.from_bytes(data[2:4], "big")) and row[5] == data[-8:].hex()
    greeting = next(row for row in rows if row[3] == "0")
    assert greeting[6].startswith("node-id=" + Pair.NODE_ID.hex().upper() + ",generation=0,nonce=")


def test_tshark_names_what_is_no_frame(tmp_path: Path) -> None:
    bad = [
        b"\x43",
        b"\x03\x00",
        b"\x44\x00\x00",
        b"\x43\x00\x1f" + bytes(9),
        b"\x43\x00",
        b"\x53\x01",
    ]
    _capture(tmp_path / "bad.pcap", bad)
    rows = _tshark(tmp_path / "bad.pcap", "_ws.expert.message")
    assert [row[0] for row in rows] == ["no frame"] * len(bad)
