"""Simulated serial devices on a pseudo terminal: meters, a GNSS receiver, wind and dust sensors.

They write the standards' bytes by code of their own, mind the speed that the other end is set to,
and can be told to misbehave. As a process:

    python -m kerbline.sim.serial dsmr5 --pty /tmp/p1 [--fault checksum]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import struct
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import reduce
from operator import xor
from pathlib import Path

from kerbline.clock import Clock

FAULTS = ("checksum", "half", "garbage", "silent", "stale", "babble")
HALF_S = 0.2  # IEC 62056-21 gives a meter 200 ms to react
ONE_SECOND_MS, MINUTE_MS = 1_000, 60_000
SAVING_MONTHS = range(4, 10)  # enough of the calendar for a telegram to say S or W


def p1(utc_ms: int) -> bytes:
    """A DSMR 5 telegram with gas on channel 1 and water on channel 2, each with a time."""
    wh, litres = utc_ms // 7_200 % 10**9, utc_ms // MINUTE_MS % 10**8
    lines = [
        "/KRB5\\2SIM",
        "",
        "1-3:0.2.8(50)",
        f"0-0:1.0.0({_local(utc_ms)})",
        "0-0:96.1.1(53494D30303031)",
        f"1-0:1.8.1({wh / 1000:010.3f}*kWh)",
        f"1-0:1.8.2({wh // 2 / 1000:010.3f}*kWh)",
        "1-0:2.8.1(000000.000*kWh)",
        "0-0:96.14.0(0002)",
        f"1-0:1.7.0({utc_ms // 1000 % 3000 / 1000:06.3f}*kW)",
        "1-0:2.7.0(00.000*kW)",
        "1-0:32.7.0(230.1*V)",
        "0-1:24.1.0(003)",
        "0-1:96.1.0(47415331)",
        f"0-1:24.2.1({_local(utc_ms - utc_ms % (5 * MINUTE_MS))})({litres / 1000:09.3f}*m3)",
        "0-2:24.1.0(007)",
        "0-2:96.1.0(57415431)",
        f"0-2:24.2.1({_local(utc_ms - utc_ms % MINUTE_MS)})({litres / 500:09.3f}*m3)",
        "!",
    ]
    telegram = "\r\n".join(lines).encode("ascii")
    return telegram + b"%04X\r\n" % _crc16(telegram)


def pushing_meter(utc_ms: int) -> bytes:
    """An IEC 62056-21 mode D telegram: no checksum, even parity in each character's bit 7."""
    text = (
        "/KRB5SIM V1\r\n\r\n0-0:96.1.255*255(1KRB0001)\r\n"
        f"1-0:1.8.0*255({utc_ms // 7_200 % 10**9 / 1000:016.7f}*kWh)\r\n"
        f"1-0:1.7.0*255({utc_ms // 1000 % 3000:09.2f}*W)\r\n!\r\n"
    )
    return even7(text.encode("ascii"))


def receiver(utc_ms: int) -> bytes:
    """RMC and GGA of a receiver that stands still."""
    now = datetime.fromtimestamp(utc_ms // ONE_SECOND_MS, UTC)
    at = "5205.4321,N,00507.1234,E"
    return _sentence(f"GPRMC,{now:%H%M%S}.00,A,{at},0.02,,{now:%d%m%y},,,A") + _sentence(
        f"GPGGA,{now:%H%M%S}.00,{at},1,09,0.9,12.3,M,46.9,M,,"
    )


def wind(utc_ms: int) -> bytes:
    """MWV in knots, relative to the sensor."""
    return _sentence(f"WIMWV,{utc_ms // 1000 % 360:05.1f},R,{utc_ms // 1000 % 40 / 2:.1f},N,A")


def dust(utc_ms: int) -> bytes:
    """A frame of a PMS5003: thirteen words, then the sum of all bytes."""
    level = utc_ms // 1000 % 50
    words = (
        level,
        level + 2,
        level + 5,
        level,
        level + 2,
        level + 5,
        900,
        300,
        60,
        9,
        2,
        1,
        0x9700,
    )
    frame = b"BM" + struct.pack(">14H", 2 * 14, *words)
    return frame + struct.pack(">H", sum(frame) & 0xFFFF)


@dataclass(frozen=True, slots=True)
class Device:
    """What a device is: its telegram, its speed, and how often it pushes; 0: it is asked."""

    telegram: Callable[[int], bytes]
    baud: int
    period_s: float = 0.0
    asked_by: bytes = b""  # what makes it answer at once


def readout(utc_ms: int) -> bytes:
    """The data message of a meter that is asked, with its block check character."""
    text = (
        f"0.0.0(KRB1)\r\n1.8.0({utc_ms // 7_200 % 10**9 / 1000:010.3f}*kWh)\r\n"
        f"1.8.0*01(000001.000*kWh)\r\n6.8({utc_ms // 10**6:07d}*kWh)6.26(00123.45*m3)9.21(66153690)"
        "\r\n!\r\n\x03"
    )
    data = text.encode("ascii")
    return even7(b"\x02" + data + bytes([reduce(xor, data)]))


_PASSIVE_READ = b"BM\xe2\x00\x00\x01\x71"
DEVICES = {
    "dsmr5": Device(p1, 115_200, 1.0),
    "iec62056-21-push": Device(pushing_meter, 9_600, 2.0),
    "nmea-gnss": Device(receiver, 9_600, 1.0),
    "nmea-wind": Device(wind, 4_800, 1.0),
    "pms5003": Device(dust, 9_600, 2.3),
    "pms5003-asked": Device(dust, 9_600, asked_by=_PASSIVE_READ),
    "iec62056-21": Device(readout, 300),
    "iec62056-21-heat": Device(readout, 300),
}
# the speed character of the identification: mode C 9,600 baud, and mode B 2,400
_SPEEDS = {"iec62056-21": ("5", 9_600), "iec62056-21-heat": ("C", 2_400)}


class Wire:
    """The device's end of a line: a pty whose other end is the path `link`."""

    def __init__(self, master: int) -> None:
        self._master = master

    def speed(self) -> int:
        """What the other end is set to, in baud."""
        code = termios.tcgetattr(self._master)[4]
        return next((n for n in _BAUDS if getattr(termios, f"B{n}") == code), 0)

    def send(self, data: bytes, baud: int) -> None:
        """Send at a speed; at another one the other end sees other bytes. None wait for it."""
        if self.speed() != baud:
            data = bytes(each >> 1 ^ 0xC3 for each in data)
        with suppress(BlockingIOError):
            os.write(self._master, data)

    async def receive(self) -> bytes:
        """What the other end sent, at least one byte."""
        loop = asyncio.get_running_loop()
        while True:
            with suppress(BlockingIOError):
                return os.read(self._master, 4_096)
            waiter: asyncio.Future[None] = loop.create_future()
            loop.add_reader(self._master, _wake, waiter)
            try:
                await waiter
            finally:
                loop.remove_reader(self._master)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


_BAUDS = (300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200)


@contextmanager
def plugged(link: Path) -> Iterator[Wire]:
    """An adapter that is there, under the path `link`; at the end it is unplugged."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(slave))
        yield Wire(master)
    finally:
        link.unlink(missing_ok=True)
        os.close(slave)
        os.close(master)


async def live(wire: Wire, name: str, clock: Clock, fault: str = "") -> None:
    """Be the device until cancelled."""
    device = DEVICES[name]
    if device.period_s:
        await _push(wire, device, clock, fault)
    elif device.asked_by:
        await _answer(wire, device, clock, fault)
    else:
        await _sign_on(wire, device, clock, fault, *_SPEEDS[name])


async def _push(wire: Wire, device: Device, clock: Clock, fault: str) -> None:
    chance = random.Random(1)
    began_ms = clock.utc_ms()
    while True:
        at_ms = began_ms if fault == "stale" else clock.utc_ms()
        if fault == "babble":
            wire.send(chance.randbytes(400), device.baud)
            await asyncio.sleep(0.02)
            continue
        wire.send(spoilt(device.telegram(at_ms), fault, chance), device.baud)
        await asyncio.sleep(device.period_s)


async def _answer(wire: Wire, device: Device, clock: Clock, fault: str) -> None:
    chance = random.Random(1)
    heard = b""
    while True:
        heard = (heard + await wire.receive())[-256:]
        if device.asked_by in heard and wire.speed() == device.baud:
            heard = b""
            wire.send(spoilt(device.telegram(clock.utc_ms()), fault, chance), device.baud)


async def _sign_on(
    wire: Wire, device: Device, clock: Clock, fault: str, letter: str, fast: int
) -> None:
    """IEC 62056-21, 6.4.2 and 6.4.3: identify at 300 baud; mode C waits for the acknowledgement."""
    chance = random.Random(1)
    heard = b""
    while True:
        heard = (heard + await wire.receive())[-256:]
        if even7(b"/?!\r\n") not in heard or wire.speed() != device.baud or fault == "silent":
            continue
        heard = b""
        await asyncio.sleep(HALF_S)
        wire.send(even7(f"/KRB{letter}SIM\r\n".encode()), device.baud)
        baud = fast
        if letter in "0123456":
            baud = await _acknowledged(wire, letter, fast)
        await asyncio.sleep(2 * HALF_S)
        wire.send(spoilt(readout(clock.utc_ms()), fault, chance), baud)


async def _acknowledged(wire: Wire, letter: str, fast: int) -> int:
    """The speed that the other end acknowledged; unasked the meter goes on as it began."""
    heard = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(2.2):
            while True:
                heard += await wire.receive()
                if even7(f"\x060{letter}0\r\n".encode()) in heard:
                    return fast
                if even7(b"\x06000\r\n") in heard:
                    return 300
    return 300


def spoilt(telegram: bytes, fault: str, chance: random.Random) -> bytes:
    """What a fault makes of a telegram."""
    if fault == "silent":
        return b""
    if fault == "half":
        return telegram[: len(telegram) // 2]
    if fault == "garbage":
        return chance.randbytes(40).translate(None, b"/$BM\x02\x03") + telegram
    if fault == "checksum":
        at = len(telegram) // 2
        return telegram[:at] + bytes([telegram[at] ^ 0x05]) + telegram[at + 1 :]
    return telegram


def even7(data: bytes) -> bytes:
    """7 data bits with even parity, as a line of 8 bits carries them."""
    return bytes(each | (each.bit_count() % 2) << 7 for each in data)


def _crc16(data: bytes) -> int:
    """Bit by bit, as the standard's text has it: x^16 + x^15 + x^2 + 1, lowest bit first."""
    register = 0
    for byte in data:
        register ^= byte
        for _ in range(8):
            carry = register & 1
            register >>= 1
            if carry:
                register ^= 0xA001
    return register


def _sentence(text: str) -> bytes:
    return f"${text}*{reduce(xor, text.encode()):02X}\r\n".encode("ascii")


def _local(utc_ms: int) -> str:
    """YYMMDDhhmmss and S or W, an hour or two before UTC."""
    month = datetime.fromtimestamp(utc_ms // ONE_SECOND_MS, UTC).month
    summer = month in SAVING_MONTHS
    zone = timezone(timedelta(hours=2 if summer else 1))
    moment = datetime.fromtimestamp(utc_ms // ONE_SECOND_MS, zone)
    return f"{moment:%y%m%d%H%M%S}{'S' if summer else 'W'}"


async def _main(arguments: argparse.Namespace) -> None:
    with plugged(arguments.pty) as wire:
        task = asyncio.create_task(live(wire, arguments.device, Clock(), arguments.fault))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        print(f"ready {arguments.pty}", flush=True)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


def main(words: Sequence[str] | None = None) -> None:
    """The command line of `python -m kerbline.sim.serial`."""
    parser = argparse.ArgumentParser(prog="kerbline.sim.serial", description=__doc__)
    parser.add_argument("device", choices=DEVICES, help="the profile that reads it")
    parser.add_argument("--pty", metavar="LINK", type=Path, required=True, help="path of the port")
    parser.add_argument("--fault", choices=FAULTS, default="", help="what is wrong with it")
    try:
        asyncio.run(_main(parser.parse_args(words)))
    except OSError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
