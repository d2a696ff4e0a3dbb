"""Runs a built node where the image's modules are: a chip whose time is what the node has waited.

micropython whole_probe.py BALLAST_KIB IN OUT FLASH [apps]   (MICROPYPATH: .frozen)

`machine`, `esp32`, `time` and `select` are of this file; what is beyond the pins is asked of
tests/budgets/whole.py over two pipes. What this file allocates is told apart. With `apps` there
are two app partitions.
"""

import gc
import os
import select as _select  # noqa: F401 - loaded before anything is counted
import sys
from struct import pack_into, unpack_from

import utime
import vfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PERIOD = 1 << 30  # of ticks_ms
AHEAD_MS = 600_000  # of the machine's own clock, which the scheduler in C asks too
ROOM = 1200
BLOCK = 4096
BLOCKS = 512
LOOK_MS = 500  # behind a report: it is kept by now, and what it needed is gone again
COLLECT_EACH = 16  # frames between two looks at what is free
POLLIN = 1
IDLE, CAME, LEFT, BEGUN = 0, 1, 2, 3


class Chip:
    """The time, the streams and what the heap was seen to be."""

    def __init__(self) -> None:
        self.ticks = (utime.ticks_ms() + AHEAD_MS) % PERIOD
        self.waited_ms = 0
        self._own_before = 0
        self.own = 0  # bytes that this file has taken from the heap
        self.due_ms = -1  # when the line has bytes, in `waited_ms`
        self.metering = False
        self.watching = False
        self.tightest = 1 << 30
        self.bare = 0
        self.free = 1 << 30
        self.frames = 0
        # Garbage and count of the instants in which a frame left, one came, and none did; and of
        # the one that was under way when measuring began.
        self.made = [0] * 8
        self._look_ms = -1  # when to look at what is held, -1: not now
        self._taken = 0  # in this instant: all work between two moves of the clock
        self._at = 0
        self._had = IDLE
        self._in = open(sys.argv[2], "rb", 0)
        self._out = open(sys.argv[3], "wb", 0)
        self._head = bytearray(8)
        self._room = bytearray(ROOM)
        self._view = memoryview(self._room)

    def ask(self, op: int, a: int = 0, data: "bytes | bytearray" = b"") -> "memoryview":
        """One question to the world."""
        before = gc.mem_alloc() if self.metering else 0
        pack_into("<BHIB", self._head, 0, op, len(data), self.waited_ms, a)
        self._out.write(self._head)
        if data:
            self._out.write(data)
        if self._in.readinto(self._head) != len(self._head):
            raise SystemExit("no world")
        flag, length, due, _ = unpack_from("<BHiB", self._head)
        self.due_ms = due
        if length:
            self._in.readinto(self._view[:length])
        found = self._view[:length]
        if self.metering:
            self.own += gc.mem_alloc() - before
        if flag == 1:
            raise SystemExit
        if flag == 2:
            self._look_ms = self.waited_ms + LOOK_MS
        if flag == 3:
            self.meter()
        if flag == 4:
            raise OSError(19)
        if flag == 5:
            self.watching = True
        return found

    def begin(self) -> int:
        """From here on the heap's bytes are taken by this file ..."""
        self._own_before = self.own
        return gc.mem_alloc() if self.metering else 0

    def end(self, before: int) -> None:
        """... up to here."""
        if self.metering:
            self.own = self._own_before + gc.mem_alloc() - before

    def came(self) -> None:
        """A frame has come; an instant in which one leaves too is that one's."""
        self._had = max(self._had, CAME)

    def sent(self) -> None:
        """A frame has left."""
        self._had = max(self._had, LEFT)
        self.frames += 1
        if not self.metering and self.frames % COLLECT_EACH == 0:
            self.look(deep=False)

    def look(self, *, deep: bool) -> None:
        """What is free now, and what is held where this asks for it."""
        gc.collect()
        self.free = min(self.free, gc.mem_free())
        if deep:
            tell("retained", gc.mem_alloc() - self.bare)
            tell("modules", *sorted([n for n in sys.modules if n not in MINE]))

    def meter(self) -> None:
        """From here on the collector is off, or on again with the result told."""
        self.metering = not self.metering
        if self.metering:
            gc.collect()
            gc.disable()
            self.own = self._taken = 0
            self.made = [0] * 8
            self._had = BEGUN
            self._at = gc.mem_alloc()
            return
        gc.enable()
        tell("garbage", *self.made[:6])

    def wait(self, ms: int) -> bool:
        """Time goes on by as much, or until the line has bytes: has it?"""
        if self.metering:
            self._taken += gc.mem_alloc() - self._at - self.own
            self.own = 0
        if 0 <= self._look_ms <= self.waited_ms:
            self._look_ms = -1
            self.look(deep=True)
        left = self.due_ms - self.waited_ms
        ready = self.due_ms >= 0 and (ms < 0 or left <= ms)
        if ready:
            ms = max(0, left)
        self.waited_ms += ms
        self.ticks = (self.ticks + ms) % PERIOD
        if self.metering:
            if ms:
                self.made[2 * self._had] += self._taken
                self.made[2 * self._had + 1] += 1
                self._had = IDLE
                self._taken = 0
            self._at = gc.mem_alloc()
        return ready


def tell(*what: object) -> None:
    """To who measures."""
    print(*what)


class Time:
    """`time`, as the node has waited."""

    ticks_diff = utime.ticks_diff
    ticks_add = utime.ticks_add

    @staticmethod
    def ticks_ms() -> int:
        return chip.ticks

    @staticmethod
    def time() -> int:
        return chip.waited_ms // 1000


class Poller:
    """`select.poll()`: the one line, by itself always ready to be written."""

    def __init__(self) -> None:
        self._line: Any = None
        self._found: Any = ()  # given again and again, as the image does

    def register(self, line: "Any", events: int) -> None:
        if self._found == () or self._found[0][0] is not line:
            before = chip.begin()
            self._found = ((line, POLLIN),)
            chip.end(before)
        self._line = line

    modify = register

    def unregister(self, line: "Any") -> None:
        self._line = None

    def ipoll(self, ms: int) -> "Any":
        if chip.wait(ms) and self._line is not None:
            return self._found
        return ()


class Select:
    POLLIN = POLLIN
    POLLOUT = 4
    POLLERR = 8
    POLLHUP = 16
    poll = Poller


class Pin:
    """A pin; an input is as the world has it when it is asked."""

    IN, OUT, PULL_UP, IRQ_RISING, IRQ_FALLING = 1, 3, 2, 1, 2

    def __init__(self, number: int, *given: int, value: int = 0):
        self._number = number
        self._level = value
        self._output = bool(given) and given[0] == 3

    def value(self, level: "int | None" = None) -> "int | None":
        if level is None:
            return self._level if self._output else int(self._number == 18)  # nobody straps it
        self._level = level
        return None

    def irq(self, handler: "Any", trigger: int = 3) -> None:
        self._handler = handler


class Pwm:
    def __init__(self, pin: Pin, freq: int, duty_u16: int):
        self._duty = duty_u16

    def duty_u16(self, duty: int) -> None:
        self._duty = duty


class Adc:
    ATTN_11DB = 3

    def __init__(self, pin: Pin, atten: int):
        self._pin = pin

    def read_uv(self) -> int:
        return 1_700_000 if chip else 0


class I2c:
    """A bus whose chips are asked of the world, in the bytes of their datasheets."""

    def __init__(self, number: int, scl: Pin, sda: Pin, freq: int):
        self._number = number

    def writeto(self, address: int, data: bytes) -> int:
        chip.ask(ord("i"), address, data)
        return len(data)

    def readfrom_into(self, address: int, buffer: bytearray) -> None:
        before = chip.begin()
        buffer[:] = chip.ask(ord("j"), address, bytes((len(buffer),)))
        chip.end(before)

    def writeto_mem(self, address: int, register: int, data: bytes) -> None:
        before = chip.begin()
        chip.ask(ord("i"), address, bytes((register,)) + data)
        chip.end(before)

    def readfrom_mem_into(self, address: int, register: int, buffer: bytearray) -> None:
        self.writeto_mem(address, register, b"")
        self.readfrom_into(address, buffer)


class Uart:
    """UART1 is the link's; behind the others there are chips."""

    def __init__(self, number: int, baud: int, **given: int):
        self._number = number
        self._most = bytearray(2)

    def read(self) -> "bytes | None":
        data = chip.ask(ord("r"), self._number)
        return bytes(data) if len(data) else None

    def readinto(self, buffer: bytearray) -> "int | None":
        pack_into("<H", self._most, 0, len(buffer))  # what is more waits, as in a chip's buffer
        data = chip.ask(ord("r"), self._number, self._most)
        before = chip.begin()
        buffer[: len(data)] = data
        chip.end(before)
        if len(data):
            chip.came()
        return len(data) or None

    def write(self, data: bytes) -> int:
        chip.ask(ord("w"), self._number, data)
        if self._number == 1:
            chip.sent()
        return len(data)

    def txdone(self) -> bool:
        return True

    def deinit(self) -> None:
        pass


class Watchdog:
    def __init__(self, *given: int, **more: object):
        self.fed = 0

    def feed(self) -> None:
        self.fed += 1


class Memory:
    def __getitem__(self, address: int) -> int:
        return 1  # a true power-on


class Rtc:
    """Memory that outlives everything but a power cut."""

    blob = b""

    def memory(self, blob: "bytes | None" = None) -> bytes:
        if blob is not None:
            Rtc.blob = blob
        return Rtc.blob


class Machine:
    ADC, I2C, PWM, UART, WDT = Adc, I2c, Pwm, Uart, Watchdog
    Timer = Watchdog  # its time does not come
    DEEPSLEEP_RESET = 4
    RTC = Rtc
    mem32 = Memory()

    @staticmethod
    def reset_cause() -> int:
        return 1

    @staticmethod
    def reset() -> None:
        raise SystemExit("restarts")


Machine.Pin = Pin


class Nvs:
    """NVS is no part of a chip's heap: its blobs are the world's."""

    def __init__(self, name: str):
        self._name = name

    def get_blob(self, name: str, room: bytearray) -> int:
        before = chip.begin()
        try:
            found = chip.ask(ord("g"), 0, name.encode())
        except OSError:
            raise OSError(-0x1102)  # ESP_ERR_NVS_NOT_FOUND
        if len(found) > len(room):
            raise OSError(-0x110C)  # ESP_ERR_NVS_INVALID_LENGTH
        room[: len(found)] = found
        chip.end(before)
        return len(found)

    def set_blob(self, name: str, blob: bytes) -> None:
        before = chip.begin()
        chip.ask(ord("s"), len(name), name.encode() + blob)
        chip.end(before)

    def commit(self) -> None:
        pass


class Esp32:
    NVS = Nvs


class Flash:
    """The file system's partition, a file; as on a chip, reading leaves nothing in the heap."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "r+b", 0)

    def readblocks(self, block: int, room: bytearray, at: int = 0) -> None:
        self._file.seek(block * BLOCK + at)
        self._file.readinto(room)

    def writeblocks(self, block: int, data: bytearray, at: int = 0) -> None:
        if chip.watching:  # all else that is taken while an update comes is taken beside this
            gc.collect()
            chip.tightest = min(chip.tightest, gc.mem_free())
        self._file.seek(block * BLOCK + at)
        self._file.write(data)

    def ioctl(self, op: int, block: int) -> int:
        if op == 4:
            return BLOCKS
        return BLOCK if op == 5 else 0


MINE = ("time", "select", "machine", "esp32")
chip = Chip()


def main() -> None:
    """Starts the board's main.py; ends when the world says so."""
    for name, module in zip(MINE, (Time, Select, Machine, Esp32)):
        sys.modules[name] = module
    if len(sys.argv) > 5:
        import apps_probe

        Esp32.Partition = apps_probe.partition(chip)
    flash = Flash(sys.argv[4])
    vfs.umount("/")
    vfs.mount(vfs.VfsLfs2(flash), "/")
    os.chdir("/")
    sys.path.insert(0, "")  # as the image has it
    ballast = [bytearray(1008) for _ in range(int(sys.argv[1]))]
    chip.ask(ord("m"))
    gc.collect()
    chip.bare = gc.mem_alloc()
    tell("fakes", chip.bare - 1024 * len(ballast))
    import main as started

    started.start()


if __name__ == "__main__":
    try:
        main()
    except SystemExit as reason:
        if reason.args:
            tell("ended", *reason.args)
    tell("free", chip.free)
    tell("tightest", chip.tightest)
