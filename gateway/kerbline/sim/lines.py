"""Virtual serial lines: pseudo terminals joined by a pump that can lose, cut and count.

Both ends may be opened, closed and killed at will. We keep a descriptor of each open, so that an
end without a program is a silent line and not a hang-up; what nobody reads overruns, as it does
in a UART.
"""

from __future__ import annotations

import asyncio
import os
import pty
import random
import termios
import tty
from collections.abc import Sequence
from contextlib import suppress

CHUNK_BYTES = 4096


class Line:
    """One line between `gateway` and `node` (paths to open). Make it with `open_line`."""

    __slots__ = ("_chance", "_loss", "_masters", "_slaves", "gateway", "lost_bytes", "node", "on")

    def __init__(
        self, masters: tuple[int, int], slaves: tuple[int, int], chance: random.Random, loss: float
    ) -> None:
        self._masters = masters
        self._slaves = slaves
        self._chance = chance
        self._loss = loss
        self.gateway, self.node = (os.ttyname(slave) for slave in slaves)
        self.on = True
        self.lost_bytes = 0  # overrun, cut off or lost by chance

    def unplug(self) -> None:
        """From now on nothing arrives, in either direction."""
        self.on = False

    def plug(self) -> None:
        """Join the ends again; what was on its way is gone."""
        for slave in self._slaves:
            termios.tcflush(slave, termios.TCIOFLUSH)
        self.on = True

    def close(self) -> None:
        """Take the line away: both ends see a hang-up."""
        loop = asyncio.get_running_loop()
        for descriptor in self._masters:
            loop.remove_reader(descriptor)
        for descriptor in self._masters + self._slaves:
            os.close(descriptor)

    def pump(self, source: int, sink: int) -> None:
        """Carries what waits at the master `source` to the master `sink`."""
        with suppress(BlockingIOError):
            data = os.read(source, CHUNK_BYTES)
            if self._loss and self._chance.random() < self._loss:
                at = self._chance.randrange(len(data))
                data = data[:at] + data[at + 1 :]
                self.lost_bytes += 1
            self.lost_bytes += len(data)
            if self.on:
                self.lost_bytes -= os.write(sink, data)


def open_line(seed: int = 0, loss: float = 0.0) -> Line:
    """Opens a line in the running loop.

    `loss` is the chance that a chunk (what one side wrote at once, mostly a frame) loses a byte.
    """
    near, far = pty.openpty(), pty.openpty()
    for master, slave in (near, far):
        tty.setraw(slave)
        os.set_blocking(master, False)
    line = Line((near[0], far[0]), (near[1], far[1]), random.Random(seed), loss)
    loop = asyncio.get_running_loop()
    loop.add_reader(near[0], line.pump, near[0], far[0])
    loop.add_reader(far[0], line.pump, far[0], near[0])
    return line


class SharedLine:
    """One line with many ends, as of RS-485: what one writes, all the others read.

    Make it with `open_shared_line`; `ends` are the paths to open. It does not spoil what two
    write at the same time.
    """

    __slots__ = ("_masters", "_slaves", "ends")

    def __init__(self, masters: Sequence[int], slaves: Sequence[int]) -> None:
        self._masters = masters
        self._slaves = slaves
        self.ends = [os.ttyname(slave) for slave in slaves]

    def close(self) -> None:
        """Take the line away: all ends see a hang-up."""
        loop = asyncio.get_running_loop()
        for descriptor in self._masters:
            loop.remove_reader(descriptor)
        for descriptor in (*self._masters, *self._slaves):
            os.close(descriptor)

    def pump(self, source: int) -> None:
        """Carries what waits at one master to all others; an end that reads nothing overruns."""
        with suppress(BlockingIOError):
            data = os.read(source, CHUNK_BYTES)
            for master in self._masters:
                if master != source:
                    with suppress(BlockingIOError):
                        os.write(master, data)


def open_shared_line(count: int) -> SharedLine:
    """Opens a line with so many ends in the running loop."""
    pairs = [pty.openpty() for _ in range(count)]
    for master, slave in pairs:
        tty.setraw(slave)
        os.set_blocking(master, False)
    line = SharedLine([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    loop = asyncio.get_running_loop()
    for master, _ in pairs:
        loop.add_reader(master, line.pump, master)
    return line
