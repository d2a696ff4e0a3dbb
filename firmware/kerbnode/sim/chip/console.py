"""UART0 and the REPL at it: the raw one is that of docs/reference/repl.rst, with raw-paste mode."""

import sys
import termios

import micropython

LFLAG = 3
ISIG, NOFLSH, ICANON, ECHO = 1, 0x80, 2, 8
WINDOW = 128


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
