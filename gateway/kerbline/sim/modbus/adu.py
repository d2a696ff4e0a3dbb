"""A whole frame of either framing, as bytes that a fault can be made of; pymodbus makes the CRC."""

from __future__ import annotations

from typing import Literal

from pymodbus.framer import FramerRTU

Framing = Literal["rtu", "tcp"]

MBAP_BYTES = 7
LONGEST_BYTES = 260
SHORTEST_RTU_BYTES = 4
EXCEPTION = 0x80


def split(pending: bytes, framing: Framing) -> tuple[list[bytes], bytes]:
    """The whole frames at the front, and the rest; what can be no frame is dropped.

    An RTU frame ends where its checksum is right: on a real line silence would say so.
    """
    if framing == "rtu":
        if len(pending) >= SHORTEST_RTU_BYTES and pending == sealed(pending[:-2]):
            return [pending], b""
        return [], pending if len(pending) < LONGEST_BYTES else b""
    frames: list[bytes] = []
    while len(pending) >= MBAP_BYTES:
        length = 6 + int.from_bytes(pending[4:6], "big")
        if not MBAP_BYTES < length <= LONGEST_BYTES or pending[2:4] != b"\0\0":
            return frames, b""
        if len(pending) < length:
            break
        frames.append(pending[:length])
        pending = pending[length:]
    return frames, pending


def unit(frame: bytes, framing: Framing) -> int:
    """The unit that it is for or from."""
    return frame[0 if framing == "rtu" else MBAP_BYTES - 1]


def from_unit(frame: bytes, framing: Framing, other: int) -> bytes:
    """The same from another unit."""
    if framing == "rtu":
        return sealed(bytes([other]) + frame[1:-2])
    return frame[: MBAP_BYTES - 1] + bytes([other]) + frame[MBAP_BYTES:]


def refused(frame: bytes, framing: Framing, code: int) -> bytes:
    """An exception in place of the answer (Modbus Application Protocol V1.1b3, 7)."""
    if framing == "rtu":
        return sealed(bytes([frame[0], frame[1] | EXCEPTION, code]))
    body = bytes([frame[6], frame[7] | EXCEPTION, code])
    return frame[:4] + len(body).to_bytes(2, "big") + body


def broken(frame: bytes, framing: Framing, bit: int) -> bytes:
    """What fails its check: a turned bit for RTU; TCP only has its protocol identifier to check."""
    at = bit // 8 % len(frame) if framing == "rtu" else 2 + bit // 8 % 2
    return frame[:at] + bytes([frame[at] ^ 1 << bit % 8]) + frame[at + 1 :]


def sealed(body: bytes) -> bytes:
    """An RTU frame: the body and its CRC (Modbus over serial line V1.02, 2.5.1.2)."""
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")
