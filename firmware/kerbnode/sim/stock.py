"""A stock ESP32 image on MicroPython's Unix port: `machine`, `esp32`, `network`, littlefs, REPL.

micropython stock.py FLASH NVS CONTROL UART_PORT CHIP CAUSE MODE

FLASH and NVS are files, CONTROL a pipe's path on which the chip says what happens to it (reset,
watchdog, pins), UART_PORT the TCP port of its UART1, CAUSE why it was reset, MODE "boot", or
"friendly" or "raw" after a soft reset. UART0 is the standard input and output, a terminal. The
raw REPL is that of docs/reference/repl.rst, with raw-paste mode; main.py runs unchanged.

No board module is imported: what is here takes the place of the built-in ones.
"""

import io
import json
import os
import select
import socket
import sys
import termios
import time

import micropython
import vfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BLOCK = 4096
LFLAG = 3
ISIG, NOFLSH, ICANON, ECHO = 1, 0x80, 2, 8
WINDOW = 128
ENODEV = 19
NOT_FOUND = -0x1102  # ESP_ERR_NVS_NOT_FOUND
POLL = 3  # MP_STREAM_POLL
MODULES = {"esp32": "ESP32", "esp32s3": "ESP32S3", "esp32c3": "ESP32C3", "esp32c6": "ESP32C6"}


class Control:
    """The pipe to whoever holds the board."""

    def __init__(self, path: str):
        self._pipe = open(path, "wb", 0)

    def say(self, *what: object) -> None:
        """One line."""
        self._pipe.write((" ".join([str(word) for word in what]) + "\n").encode())

    def end(self, *what: object) -> None:
        """The last line: the power goes, nothing of ours runs on."""
        self.say(*what)
        while True:
            time.sleep(1)


class Flash:
    """A file as block device; the file system's partition."""

    def __init__(self, path: str):
        self._file = open(path, "r+b", 0)
        self._blocks = self._file.seek(0, 2) // BLOCK

    def readblocks(self, number: int, buffer: bytearray, offset: int = 0) -> None:
        self._file.seek(number * BLOCK + offset)
        self._file.readinto(buffer)

    def writeblocks(self, number: int, buffer: bytearray, offset: "int | None" = None) -> None:
        self._file.seek(number * BLOCK + (offset or 0))
        self._file.write(buffer)

    def ioctl(self, operation: int, argument: int) -> "int | None":
        if operation == 4:
            return self._blocks
        if operation == 5:
            return BLOCK
        if operation == 6:
            self._file.seek(argument * BLOCK)
            self._file.write(b"\xff" * BLOCK)
            return 0
        return None


class Nvs:
    """esp32.NVS: blobs of a namespace, kept in one file for all; a null there can't be read."""

    file: "Any" = None  # opened before the flash is mounted over the host's files

    def __init__(self, namespace: str):
        self._namespace = namespace
        Nvs.file.seek(0)
        text = Nvs.file.read()
        self._all = json.loads(text) if text.strip() else {}
        self._own = self._all.setdefault(namespace, {})

    def set_blob(self, name: str, blob: bytes) -> None:
        if not 0 < len(name) < 16:
            raise OSError(-0x1109, "ESP_ERR_NVS_KEY_TOO_LONG")
        self._own[name] = bytes(blob).hex()
        # The chip writes at once as well; commit() promises it.
        Nvs.file.seek(0)
        Nvs.file.write(json.dumps(self._all) + " " * 2000)
        Nvs.file.flush()

    def get_blob(self, name: str, buffer: bytearray) -> int:
        if name not in self._own:
            raise OSError(NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        if self._own[name] is None:
            raise OSError(-0x110B, "ESP_ERR_NVS_INVALID_STATE")
        blob = bytes.fromhex(self._own[name])
        if len(blob) > len(buffer):
            raise OSError(-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(blob)] = blob
        return len(blob)

    def erase_key(self, name: str) -> None:
        if name not in self._own:
            raise OSError(NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        del self._own[name]
        self.set_blob("_", b"")
        del self._own["_"]

    def commit(self) -> None:
        pass


class Pin:
    """machine.Pin: an input reads high where it is pulled up, else low."""

    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2
    WAKE_LOW, WAKE_HIGH = 4, 5
    control: "Any" = None

    def __init__(
        self,
        number: int,
        mode: int = -1,
        pull: "int | None" = None,
        value: "int | None" = None,
        **more: object,
    ):
        self.number = number
        self._pull = pull
        self._value = 1 if pull == Pin.PULL_UP else 0
        if value is not None:
            self.value(value)

    def init(self, mode: int = -1, pull: "int | None" = None, value: "int | None" = None) -> None:
        if value is not None:
            self.value(value)

    def value(self, value: "int | None" = None) -> "int | None":
        if value is None:
            return self._value
        if self._value != int(value):
            Pin.control.say("pin", self.number, int(value))
        self._value = int(value)
        return None

    __call__ = value

    def on(self) -> None:
        self.value(1)

    def off(self) -> None:
        self.value(0)

    def irq(self, handler: object = None, trigger: int = 3, **more: object) -> None:
        pass


class Pwm:
    """machine.PWM."""

    def __init__(self, pin: Pin, freq: int = 5000, duty_u16: int = 0, **more: object):
        self._pin = pin
        self._duty = -1
        self.duty_u16(duty_u16)

    def duty_u16(self, duty: "int | None" = None) -> "int | None":
        if duty is None:
            return self._duty
        if duty != self._duty:
            Pin.control.say("pwm", self._pin.number, duty)
        self._duty = duty
        return None

    def freq(self, hz: "int | None" = None) -> int:
        return hz or 5000

    def deinit(self) -> None:
        self._duty = -1


class Adc:
    """machine.ADC with nothing wired to it."""

    ATTN_0DB, ATTN_2_5DB, ATTN_6DB, ATTN_11DB = 0, 1, 2, 3

    def __init__(self, pin: object, atten: int = 0, **more: object):
        self._pin = pin

    def read_uv(self) -> int:
        return 0

    def read_u16(self) -> int:
        return 0


class I2c:
    """machine.I2C with nobody on the bus: no acknowledge."""

    def __init__(self, number: int = 0, **more: object):
        self._number = number

    def scan(self) -> "list[int]":
        return []

    def _nobody(self, *given: object, **more: object) -> None:
        raise OSError(ENODEV)

    writeto = readfrom = readfrom_into = readfrom_mem = readfrom_mem_into = writeto_mem = _nobody
    writevto = _nobody


class Uart(io.IOBase):
    """machine.UART: number 1 is a TCP connection, the others are wired to nothing."""

    INV_TX = INV_RX = 0
    port = 0

    def __init__(self, number: int, baudrate: int = 9600, **more: object):
        self._line: "Any" = None
        if number == 1 and Uart.port:
            self._line = socket.socket()
            self._line.connect(socket.getaddrinfo("127.0.0.1", Uart.port)[0][-1])
            self._line.setblocking(False)
            self._ready = select.poll()
            self._ready.register(self._line, select.POLLIN)

    def init(self, *given: object, **more: object) -> None:
        pass

    def any(self) -> int:
        return 1 if self._line and self._ready.poll(0) else 0

    def read(self, count: int = 256) -> "bytes | None":
        if not self.any():
            return None
        data: bytes = self._line.recv(count)
        return data

    def readinto(self, buffer: bytearray, count: "int | None" = None) -> "int | None":
        data = self.read(count or len(buffer))
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: bytes) -> int:
        if self._line:
            self._line.setblocking(True)
            self._line.send(data)
            self._line.setblocking(False)
        return len(data)

    def flush(self) -> None:
        pass

    def txdone(self) -> bool:
        return True

    def deinit(self) -> None:
        if self._line:
            self._line.close()
        self._line = None

    def ioctl(self, request: int, argument: int) -> int:
        if request != POLL:
            return -1
        ready = argument & select.POLLOUT
        if argument & select.POLLIN and self.any():
            ready |= select.POLLIN
        return ready


class Watchdog:
    """machine.WDT: whoever holds the board resets it when it is not fed."""

    control: "Any" = None

    def __init__(self, id: int = 0, timeout: int = 5000):  # noqa: A002 - the chip's name
        Watchdog.control.say("watchdog", timeout)

    def feed(self) -> None:
        Watchdog.control.say("feed")


class Timer:
    """machine.Timer: nothing here waits for an interrupt."""

    def __init__(self, id: int, **what: object):  # noqa: A002 - the chip's name
        if not 0 <= id < 4:
            raise ValueError("invalid Timer number")


class Memory:
    """machine.mem32 as far as a chip tells why it was reset: power-on, software, watchdog."""

    CAUSES = {1: 1, 2: 3, 3: 7, 4: 5, 5: 1}

    def __init__(self, cause: int):
        self._cause = cause

    def __getitem__(self, address: int) -> int:
        return self.CAUSES[self._cause]


class Rtc:
    """Memory that no power cut outlives; a process is one power-up."""

    _kept = b""

    def memory(self, blob: "bytes | None" = None) -> "bytes | None":
        if blob is None:
            return Rtc._kept
        if len(blob) > 2048:
            raise ValueError("buffer too long")
        Rtc._kept = bytes(blob)
        return None


class Machine:
    """The module machine."""

    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
    Pin, PWM, ADC, I2C, SoftI2C, UART, WDT = Pin, Pwm, Adc, I2c, I2c, Uart, Watchdog
    RTC = Rtc
    Timer = Timer

    def __init__(self, control: Control, cause: int):
        self._control = control
        self._cause = cause
        self.mem32 = Memory(cause)

    def reset_cause(self) -> int:
        return self._cause

    def reset(self) -> None:
        self._control.end("reset")

    def soft_reset(self) -> None:
        raise SystemExit

    def wake_reason(self) -> int:
        return 0

    def deepsleep(self, ms: int = 0) -> None:
        self._control.end("sleep", ms)

    def unique_id(self) -> bytes:
        return b"\x24\x0a\xc4\x00\x01\x10"

    def freq(self, hz: int = 0) -> int:
        return 160_000_000

    def disable_irq(self) -> int:
        return 0

    def enable_irq(self, state: int) -> None:
        pass


class Esp32:
    """The module esp32."""

    NVS = Nvs
    WAKEUP_ALL_LOW, WAKEUP_ANY_HIGH = 0, 1

    def wake_on_ext0(self, *given: object, **more: object) -> None:
        pass

    wake_on_ext1 = wake_on_ext0


class Wlan:
    """network.WLAN: at home in any Wi-Fi, whose network is the host's."""

    def __init__(self, interface: int = 0):
        self._on = False

    def active(self, on: "bool | None" = None) -> bool:
        self._on = self._on if on is None else bool(on)
        return self._on

    def connect(self, *given: object, **more: object) -> None:
        pass

    def disconnect(self) -> None:
        pass

    def isconnected(self) -> bool:
        return self._on

    def config(self, *given: object, **more: object) -> int:
        return 0

    def status(self, *given: object) -> int:
        return 1010


class Network:
    """The module network."""

    STA_IF, AP_IF = 0, 1
    WLAN = Wlan

    def hostname(self, *given: object) -> str:
        return "mpy-esp32"


class Implementation:
    """sys.implementation of the image."""

    def __init__(self, real: "Any", chip: str):  # noqa: ANN401 - a built-in module has no type
        self.name = "micropython"
        self.version = real.version
        self._machine = "Generic " + MODULES[chip] + " module with " + MODULES[chip]
        self._mpy = real._mpy


class System:
    """The module sys of the image: as the real one but for the platform."""

    platform = "esp32"

    def __init__(self, real: "Any", chip: str):  # noqa: ANN401
        self._real = real
        self.implementation = Implementation(real.implementation, chip)

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


class Interrupts:
    """The module micropython: kbd_intr decides whether Ctrl-C on UART0 interrupts."""

    def __init__(self, console: "Console"):
        self._console = console

    def kbd_intr(self, char: int) -> None:
        self._console.interrupts(char == 3)  # no jump before: the chip's is C

    def __getattr__(self, name: str) -> object:
        return getattr(micropython, name)


class Console:
    """UART0: bytes in and out; Ctrl-C interrupts while a program runs."""

    def __init__(self) -> None:
        self.failed = False  # did the last file end in an exception?
        micropython.kbd_intr(3)
        closed = termios.tcgetattr(0)
        closed[LFLAG] = (closed[LFLAG] | NOFLSH) & ~(ISIG | ICANON | ECHO)
        self._modes = {False: closed, True: list(closed)}
        self._modes[True][LFLAG] |= ISIG
        self.interrupts(False)

    def interrupts(self, on: bool) -> None:  # noqa: FBT001
        """May Ctrl-C raise KeyboardInterrupt?"""
        termios.tcsetattr(0, termios.TCSANOW, self._modes[on])

    def byte(self) -> int:
        """The next byte; whoever holds the board hung up: ends."""
        data = sys.stdin.buffer.read(1)
        if not data:
            raise SystemExit
        return data[0]

    def say(self, text: "str | bytes") -> None:
        """Out at once; a line feed leaves as CR LF."""
        sys.stdout.buffer.write(text if isinstance(text, bytes) else text.encode())

    def run(self, code: str, names: "dict[str, object]", raw: bool) -> bool:  # noqa: FBT001
        """Execute; False where the code left by SystemExit. In raw mode 0x04 ends each output.

        As shared/runtime/pyexec.c does: compiled first, Ctrl-C comes through while the code runs.
        """
        self.failed = False
        try:
            made = compile(code, "<stdin>", "exec")
            try:
                self.interrupts(True)
                exec(made, names)
            finally:
                self.interrupts(False)
            if raw:
                self.say(b"\x04")
        except SystemExit:
            return False
        except BaseException as error:  # noqa: BLE001 - as the image does
            self.failed = True
            if raw:
                self.say(b"\x04")
            sys.print_exception(error)  # type: ignore[attr-defined]
        if raw:
            self.say(b"\x04")
        return True


class Repl:
    """The friendly REPL as far as mpremote passes through it, and the raw one."""

    def __init__(self, console: Console, names: "dict[str, object]", banner: str):
        self._console = console
        self._names = names
        self._banner = banner

    def serve(self, raw: bool) -> bool:  # noqa: FBT001
        """Until a soft reset; whether that was asked for in the raw REPL."""
        while True:
            try:
                ended = self._raw() if raw else self._friendly()
            except KeyboardInterrupt:
                continue  # it came as the code ended
            if ended:
                return raw
            raw = not raw

    def _friendly(self) -> bool:
        """True: soft reset; False: to the raw REPL."""
        self._console.say(self._banner + '\nType "help()" for more information.\n>>> ')
        while True:
            byte = self._console.byte()
            if byte == 1:
                self._console.say("\n")
                return False
            if byte == 4:
                self._console.say("\n")
                return True
            if byte == 3 or byte == 13:
                self._console.say("\n>>> ")

    def _raw(self) -> bool:
        self._console.say("raw REPL; CTRL-B to exit\n")
        while True:
            self._console.say(">")
            code = self._line()
            if code is None:
                self._console.say("\n")
                return False
            if not code:
                self._console.say("\n")
                return True
            if not self._console.run(code, self._names, True):
                return True

    def _line(self) -> "str | None":
        """The code sent; "" for a soft reset, None for the friendly REPL."""
        code = bytearray()
        while True:
            byte = self._console.byte()
            if byte == 1:
                self._console.say("raw REPL; CTRL-B to exit\n>")
                code = bytearray()
            elif byte == 2:
                return None
            elif byte == 3:
                code = bytearray()
            elif byte == 4:
                if code:
                    self._console.say("OK")
                return bytes(code).decode()
            elif byte == 5 and not code:
                kind = self._console.byte(), self._console.byte()
                if kind == (65, 1):
                    return self._pasted()
            else:
                code.append(byte)

    def _pasted(self) -> str:
        self._console.say(b"R\x01" + bytes([WINDOW, 0]) + b"\x01")
        code = bytearray()
        left = WINDOW
        while True:
            byte = self._console.byte()
            if byte == 4:
                self._console.say(b"\x04")
                return bytes(code).decode() or "pass"
            if byte == 3:  # shared/runtime/pyexec.c: it ends the paste, and nothing of it runs
                self._console.say(b"\x04")
                return "raise KeyboardInterrupt"
            code.append(byte)
            left -= 1
            if not left:
                self._console.say(b"\x01")
                left = WINDOW


def main() -> None:
    """One life of the chip, from a reset to the next."""
    flash_path, nvs_path, control_path, uart, chip, cause, mode = sys.argv[1:8]
    control = Control(control_path)
    console = Console()
    Pin.control = Watchdog.control = control
    Uart.port = int(uart)
    Nvs.file = open(nvs_path, "r+")
    flash = Flash(flash_path)
    system = System(sys, chip)
    sys.path[:] = ["", ".frozen", "/lib"]
    sys.argv[:] = []
    for name, module in (
        ("machine", Machine(control, int(cause))),
        ("esp32", Esp32()),
        ("network", Network()),
        ("micropython", Interrupts(console)),
        ("sys", system),
    ):
        sys.modules[name] = module  # type: ignore[assignment]
    vfs.umount("/")
    try:
        vfs.mount(flash, "/")
    except OSError:
        console.say("Performing initial setup\n")
        vfs.VfsLfs2.mkfs(flash)
        vfs.mount(vfs.VfsLfs2(flash), "/")
        with open("/boot.py", "w") as file:
            file.write("# This file is executed on every boot\n")
    os.chdir("/")
    names: dict[str, object] = {"__name__": "__main__"}
    left = False
    for name in ("boot.py", "main.py"):
        # ports/esp32/main.c, 1.24: no main.py in raw mode, nor behind a boot.py that failed
        skipped = name == "main.py" and (mode == "raw" or console.failed)
        if skipped or left or name not in os.listdir("/"):
            continue
        with open(name) as file:
            left = not console.run(file.read(), names, False)
    if left:
        control.end("soft", "friendly")
    version = ".".join([str(number) for number in sys.implementation.version[:3]])
    banner = "MicroPython v" + version + "; " + system.implementation._machine
    raw = Repl(console, names, banner).serve(mode == "raw")
    console.say("MPY: soft reboot\n")
    control.end("soft", "raw" if raw else "friendly")


if __name__ == "__main__":
    main()
