"""The checksums that telegrams carry, by name; pure arithmetic over bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import xor


def _reflected(polynomial: int) -> tuple[int, ...]:
    """The table of a CRC that is computed from the lowest bit on."""
    return tuple(
        reduce(lambda c, _: c >> 1 ^ polynomial * (c & 1), range(8), n) for n in range(256)
    )


def _straight8(polynomial: int) -> tuple[int, ...]:
    """The table of an 8 bit CRC that is computed from the highest bit on."""
    return tuple(
        reduce(lambda c, _: c << 1 & 0xFF ^ polynomial * (c >> 7), range(8), n) for n in range(256)
    )


_CRC16 = _reflected(0xA001)  # x^16 + x^15 + x^2 + 1
_CRC8 = _straight8(0x07)  # x^8 + x^2 + x + 1, SMBus 3.2, 6.4.1.2
_CRC8_MAXIM = _reflected(0x8C)  # x^8 + x^5 + x^4 + 1


def _crc16(data: bytes, crc: int) -> int:
    for byte in data:
        crc = crc >> 8 ^ _CRC16[(crc ^ byte) & 0xFF]
    return crc


def _crc8(table: tuple[int, ...]) -> Callable[[bytes], int]:
    return lambda data: reduce(lambda crc, byte: table[crc ^ byte], data, 0)


SUMS: dict[str, Callable[[bytes], int]] = {
    "xor8": lambda data: reduce(xor, data, 0),  # NMEA 0183, 5.3
    # Block check character: the parity of each of seven columns (ISO 1155, IEC 62056-21, 6.3.2)
    "bcc": lambda data: reduce(xor, data, 0) & 0x7F,
    "sum8": lambda data: sum(data) & 0xFF,
    "sum16": lambda data: sum(data) & 0xFFFF,
    "crc8": _crc8(_CRC8),
    "crc8_maxim": _crc8(_CRC8_MAXIM),
    "crc16_arc": lambda data: _crc16(data, 0),  # DSMR P1 5.0.2, 6.2
    "crc16_modbus": lambda data: _crc16(data, 0xFFFF),  # Modbus over serial line V1.02, 6.2.2
}
