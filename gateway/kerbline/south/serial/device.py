"""One serial device: opens its line, listens or asks, and finds the line again when it is lost."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from kerbline.clock import Clock
from kerbline.config import SerialDevice
from kerbline.config.telegram import Profile, Request
from kerbline.counters import Counters
from kerbline.ports import FIRST_RETRY_S, LAST_RETRY_S, Parity, Port, PortLost, open_port
from kerbline.south.measured import Measured
from kerbline.south.serial import iec62056
from kerbline.south.serial.listener import Heard, Listener, from_line, to_line

QUEUE_BOUND = 256  # then the oldest go: whoever takes them has been away for minutes
GATHER_S = 0.02  # a telegram comes in dozens of pieces, and each costs a wake-up
LONGEST_ANSWER_S = 120.0  # 4 KiB at 300 baud; a babbling line is none

log = logging.getLogger("kerbline.serial")


@dataclass(frozen=True, slots=True)
class DeviceState:
    """How a device is: its line, what came since the start, and its trouble ("" is none)."""

    name: str
    port: str
    up: bool
    trouble: str
    received_bytes: int
    telegrams: int
    broken_telegrams: int
    readings: int


class Device:
    """Serves one device; `run` does it until cancelled, `next` gives what was found."""

    def __init__(
        self, config: SerialDevice, profile: Profile, clock: Clock, counters: Counters
    ) -> None:
        line = profile.line
        self._config = config
        self._request = profile.request
        self._clock = clock
        self._counters = counters
        self._baud = config.baud or line.baud
        self._parity = config.parity or line.parity
        self._period_s = (config.poll_s if profile.request else None) or line.period_s
        # whoever is asked is asked for what is wanted
        report_s = 0.0 if profile.request else config.report_s
        own = {each.name: config.asset for each in profile.readings if each.channel is None}
        self._listener = Listener(
            profile, own | config.assets, self._parity, self._period_s, report_s, counters
        )
        self._found: deque[Measured] = deque()
        self._more = asyncio.Event()
        self._lost = False
        self._up = False
        self._said_silent = False

    @property
    def heard(self) -> Heard:
        """What has come so far."""
        return self._listener.heard

    @property
    def lost(self) -> bool:
        """True while the line can't be opened."""
        return self._lost

    @property
    def talks(self) -> bool:
        """Is the line open, and do telegrams come that give readings?"""
        heard = self._listener
        return self._up and heard.heard.readings > 0 and not heard.silent

    def state(self) -> DeviceState:
        """What `kerbline status` tells."""
        heard, config = self.heard, self._config
        trouble = "port_lost" if self._lost else ""
        if self._listener.silent and not self._lost:
            trouble = self._listener.trouble()
        return DeviceState(
            config.name,
            config.port,
            self._up,
            trouble,
            heard.received,
            heard.telegrams,
            sum(heard.broken.values()),
            heard.readings,
        )

    async def next(self) -> list[Measured]:
        """Everything that was found and not taken yet; waits for something."""
        while not self._found:
            self._more.clear()
            await self._more.wait()
        found = list(self._found)
        self._found.clear()
        return found

    async def run(self) -> None:
        """Open the line, serve the device, and open it again when it is lost; never ends."""
        config = self._config
        # parity of 7 bits is checked by us: 8 bits without parity are as long
        parity = cast(Parity, "none" if self._parity == "even7" else self._parity)
        pause_s = FIRST_RETRY_S
        while True:
            try:
                port = await open_port(config.port, self._baud, parity)
                self._up = True
                try:
                    await self._serve(port)
                finally:
                    self._up = False
                    port.close()
            except PortLost as error:
                pause_s = min(2 * pause_s, LAST_RETRY_S) if self._lost else FIRST_RETRY_S
                self._say_lost(error)
            await asyncio.sleep(pause_s)

    async def _serve(self, port: Port) -> None:
        self._listener.opened(self._clock.monotonic_ms())
        if self._lost:
            self._lost = False
            log.info("serial %s: the line is back", self._config.name)
        if self._request is None:
            while True:
                await self._hear(port, self._until_silence_s())
        while True:
            await self._ask(port, self._request)
            self._tell(self._listener.tick(*self._now()))
            await self._next_turn(port)

    async def _hear(self, port: Port, within_s: float | None) -> bool:
        """Take what comes within a time; False when nothing came."""
        try:
            async with asyncio.timeout(within_s):
                data = await port.read()
        except TimeoutError:
            data = port.take()  # what is late may be we
        if not data:
            self._tell(self._listener.tick(*self._now()))
            return False
        self._tell(self._listener.receive(data, *self._now()))
        self._tell(self._listener.tick(*self._now()))  # a babbling line never lets a time-out be
        await asyncio.sleep(GATHER_S)
        return True

    async def _ask(self, port: Port, request: Request) -> None:
        """Ask once and listen until a telegram has come whole, or the device has had its time."""
        port.discard()  # a late answer is no answer to this
        self._listener.forget_half()
        before = self.heard.readings
        changed = False
        try:
            if request.send:
                port.write(to_line(request.send.encode("latin-1"), self._parity))
            else:
                changed = await iec62056.sign_on(
                    port,
                    request,
                    self._baud,
                    lambda data: from_line(data, self._parity),
                    lambda data: to_line(data, self._parity),
                )
            async with asyncio.timeout(LONGEST_ANSWER_S):
                while self.heard.readings == before:
                    if not await self._hear(port, request.timeout_s):
                        break
        except iec62056.NotIdentified:
            self._counters.count("serial.not_identified")
        except TimeoutError:
            self._counters.count("serial.too_long")
        finally:
            if changed:
                port.set_baud(self._baud)

    async def _next_turn(self, port: Port) -> None:
        """Wait for the next whole multiple of the period; a line that is lost is noticed."""
        now_s = asyncio.get_running_loop().time()
        due_s = (math.floor(now_s / self._period_s) + 1) * self._period_s
        with suppress(TimeoutError):
            async with asyncio.timeout(due_s - now_s):
                while True:
                    await port.read()  # nobody asked for it
                    await asyncio.sleep(GATHER_S)

    def _until_silence_s(self) -> float | None:
        until_ms = self._listener.silence_ms()
        return None if until_ms is None else max(until_ms - self._clock.monotonic_ms(), 0) / 1_000

    def _now(self) -> tuple[int, int]:
        return self._clock.monotonic_ms(), self._clock.utc_ms()

    def _tell(self, found: list[Measured]) -> None:
        """Keep what was found for `next`; what is too much is counted."""
        if not found:
            return
        name = self._config.name
        flags = {flag for each in found for flag in each.quality}
        if self._listener.silent and not self._said_silent:
            self._said_silent = True
            log.warning("serial %s: %s: nothing new from the device", name, ", ".join(flags))
        elif self._said_silent and not self._listener.silent:
            self._said_silent = False
            log.info("serial %s: telegrams come again", name)
        self._found += found
        while len(self._found) > QUEUE_BOUND:
            self._found.popleft()
            self._counters.count("serial.dropped")
        self._more.set()

    def _say_lost(self, error: PortLost) -> None:
        """Once an outage: count it, log it, and tell each asset."""
        if self._lost:
            return
        self._counters.count("serial.port_lost")
        self._lost = True
        log.warning("serial %s: %s", self._config.name, error)
        at_ms = self._clock.utc_ms()
        self._tell(
            [
                Measured(asset, {}, at_ms, (PortLost.code,), "serial")
                for asset in self._listener.assets
            ]
        )
