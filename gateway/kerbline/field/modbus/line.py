"""A line as the only master on it, or through the gateway that has it; one request at a time."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from kerbline.config import ModbusBus, load
from kerbline.config.terms import HOST, PORT
from kerbline.errors import KerblineError
from kerbline.local_socket import SOCKET_FILE, ask
from kerbline.ports import SOCKET, Parity, Port, PortLost, open_port
from kerbline.south.modbus import line as lines
from kerbline.south.modbus.framing import (
    EXCEPTIONS,
    Garbled,
    NoAnswer,
    Refused,
    Request,
    Response,
    silence_library,
    wanted,
)
from kerbline.south.modbus.transaction import Job, Priority, Transaction
from kerbline.south.modbus.unit import Unit

MAX_SHOWN_BYTES = 32
IN_USE = "in use"  # what `ports` says of a line that another has


class Master(Protocol):
    """What asks units."""

    async def transact(self, request: Request, timeout_s: float) -> Response:
        """The answer; raises BusFault, PortLost, WrongRequest, or Busy."""


class Busy(KerblineError):
    """The gateway's bus had no turn for us, or its line is not there."""

    code = "busy"


class InUse(KerblineError):
    """Another program has the line; the text says which, `by` more where we may see it."""

    code = "in_use"

    def __init__(self, text: str, by: Holder | None) -> None:
        super().__init__(text)
        self.by = by


class Bench:
    """The only master on an open line."""

    def __init__(self, port: Port, config: ModbusBus) -> None:
        silence_library()
        self._port = port
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._line = self._begun()
        self._units: dict[int, Unit] = {}
        self.garbled = b""  # the last that came and was no answer

    @property
    def timeout_s(self) -> float:
        """The config's."""
        return self._config.timeout_s

    @property
    def strays(self) -> int:
        """Answers that came too late, or were nobody's, since the beginning."""
        return self._line.strays

    @property
    def echoes(self) -> bool:
        """Our own bytes come back."""
        return self._line.echo_found

    def close(self) -> None:
        """Give the line back."""
        self._port.close()

    async def transact(self, request: Request, timeout_s: float) -> Response:
        """The answer; raises BusFault, PortLost or WrongRequest.

        A request whose answer can't be told from one that may still come waits for that.
        """
        unit = self._units.setdefault(request.unit, Unit(request.unit, timeout_s))
        asked = wanted(request)
        transaction = Transaction(
            Job(unit, asked, Priority.COMMAND, math.inf), asked, Priority.COMMAND
        )
        transaction.timeout_s = timeout_s
        if self._config.framer == "rtu":
            await self._wait(unit.doubts.clear_s(asked, self._loop.time()))
        while (clear_s := self._line.clear_s(unit)) > self._loop.time():
            await self._wait(clear_s)
        transaction.refusals = not unit.doubts.refusals(asked, self._loop.time())
        self._port.write(self._line.send(transaction, self._loop.time()))
        heard = await self._answered()
        if transaction.fault is not None:
            if isinstance(transaction.fault, Garbled):
                self.garbled = heard[-MAX_SHOWN_BYTES:]
            if not transaction.answered:
                unit.doubts.add(asked, timeout_s, self._loop.time())
            if self._line.broken:
                await self._reopen()
            raise transaction.fault
        assert transaction.response is not None
        return transaction.response

    async def _answered(self) -> bytes:
        """Until the request under way is over; what came meanwhile."""
        heard = b""
        while True:
            try:
                async with asyncio.timeout_at(self._line.deadline_s):
                    data = await self._port.read()
            except TimeoutError:
                data = b""
            now_s = self._loop.time()
            heard += data
            if self._line.receive(data, now_s) or self._line.expire(now_s):
                return heard

    async def _wait(self, until_s: float) -> None:
        """What comes without being asked for is read away."""
        while until_s > self._loop.time():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until_s):
                    self._line.receive(await self._port.read(), self._loop.time())

    async def _reopen(self) -> None:
        """What comes over a connection is in no order any more."""
        self._port.close()
        self._port = await _opened(self._config)
        strays, self._line = self._line.strays, self._begun()
        self._line.strays = strays

    def _begun(self) -> lines.Line:
        config = self._config
        if config.framer == "tcp":
            return lines.TcpLine(1, config.timeout_s)
        pace = lines.Pace(config.baud, config.unit_switch_ms / 1_000)
        return lines.RtuLine(pace, self._loop.time(), echo=config.echo)


@asynccontextmanager
async def bench(config: ModbusBus) -> AsyncIterator[Bench]:
    """The line of a config, for us alone; raises PortLost, or InUse with who has it."""
    open_line = Bench(await _opened(config), config)
    try:
        yield open_line
    finally:
        open_line.close()


@asynccontextmanager
async def master(
    config: ModbusBus, say: Callable[[str], None], *, urgent: bool
) -> AsyncIterator[Master]:
    """A line at a port: for us alone, or through our gateway that has it, which is said."""
    try:
        open_line = Bench(await _opened(config), config)
    except InUse as error:
        through = _gateway(error.by, config.port, urgent=urgent)
        if through is None:
            raise
        say(f"{error}: through it")
        yield through
        return
    try:
        yield open_line
    finally:
        open_line.close()


async def _opened(config: ModbusBus) -> Port:
    try:
        return await open_port(
            config.port,
            config.baud,
            cast(Parity, config.parity),
            config.stop_bits,
            rs485=config.rs485,
        )
    except PortLost as error:
        if IN_USE in str(error):
            by = holder(config.port)
            who = f"only root can see which: `sudo fuser {config.port}`"
            if by is not None:
                who = f"it is {by.command} (process {by.pid})"
            raise InUse(f"{error}; {who}", by) from None
        raise PortLost(f"{error}{_remedy(config.port, str(error))}") from None


def _remedy(port: str, fault: str) -> str:
    """What to do about a line that can't be opened."""
    if port.startswith(SOCKET):
        return "; is the address right, and may nobody else be connected to it?"
    if os.strerror(errno.EACCES) in fault:
        return "; join its group (`sudo usermod -aG dialout $USER`) and log in again"
    if os.strerror(errno.ENOENT) in fault:
        if _ADDRESS.fullmatch(port):
            return f"; a connection is written {SOCKET}{port}"
        there = [str(path) for folder, name in _LINES for path in sorted(Path(folder).glob(name))]
        return f"; lines here: {', '.join(there) or 'none: is the adapter plugged in?'}"
    return ""


_ADDRESS = re.compile(rf"{HOST}:{PORT}")
_LINES = (("/dev/serial/by-id", "*"), ("/dev", "ttyUSB*"), ("/dev", "ttyACM*"), ("/dev", "ttyAMA*"))


class Through:
    """The units of a bus of a running gateway, at its socket."""

    def __init__(self, socket: Path, bus: ModbusBus, *, urgent: bool = True) -> None:
        """`urgent`: before the gateway's own polls, and to units that it takes for dead."""
        self._socket = socket
        self.bus = bus
        self._urgent = urgent

    async def transact(self, request: Request, timeout_s: float) -> Response:
        """The answer; the gateway's time-out holds. Raises BusFault, Busy, NotServing, Declined."""
        del timeout_s
        question = {
            "ask": "modbus-read",
            "bus": self.bus.name,
            "unit": request.unit,
            "function": int(request.function),
            "address": request.address,
            "count": request.count,
            "words": list(request.words),
            "urgent": self._urgent,
        }
        answer = await asyncio.to_thread(ask, self._socket, question)
        match answer:
            case {"fault": _, "exception": int(number)}:
                raise Refused(number)
            case {"fault": NoAnswer.code, "said": said}:
                raise NoAnswer(str(said))
            case {"fault": Garbled.code, "said": said}:
                raise Garbled(str(said))
            case {"fault": _, "said": said}:
                raise Busy(f"the gateway says of bus {self.bus.name}: {said}")
        objects = {int(key): each.encode("latin-1") for key, each in answer["objects"].items()}
        return Response(answer["words"], objects)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a line open."""

    pid: int
    command: str
    words: tuple[str, ...]

    @property
    def config(self) -> Path | None:
        """If it is a gateway of ours: the config that it runs."""
        words = self.words
        if "run" not in words[:-1] or not any("kerbline" in word for word in words):
            return None
        found = Path(words[words.index("run") + 1])
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/cwd").readlink() / found
        return None


def holder(port: str) -> Holder | None:
    """Who has a serial line open, as far as we may see; a gateway of ours before any other."""
    real = os.path.realpath(port)
    found = []
    for process in _processes():
        if any(target == real for target in _open_files(process)):
            words = _words(process)
            name = words[0].rpartition("/")[2] if words else "?"
            shown = " ".join([name, *words[1:]])
            found.append(Holder(int(process.name), shown[:120], words))
    return next((each for each in found if each.config is not None), next(iter(found), None))


def _processes() -> Iterator[Path]:
    mine = str(os.getpid())
    return (each for each in Path("/proc").glob("[0-9]*") if each.name != mine)


def _open_files(process: Path) -> Iterator[str]:
    with suppress(OSError):  # another user's, or gone
        for number in (process / "fd").iterdir():
            with suppress(OSError):
                yield str(number.readlink())


def _words(process: Path) -> tuple[str, ...]:
    with suppress(OSError):
        return tuple((process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:-1])
    return ()


def _gateway(by: Holder | None, port: str, *, urgent: bool) -> Through | None:
    """The way through a gateway that has a line; None where it is no gateway of ours."""
    try:
        config = load(by.config) if by is not None and by.config is not None else None
    except (KerblineError, OSError):
        return None
    real = os.path.realpath(port)
    for bus in config.buses if config is not None else ():
        if config is not None and os.path.realpath(bus.port) == real:
            return Through(config.gateway.state_dir / SOCKET_FILE, bus, urgent=urgent)
    return None


def remedies(config: ModbusBus, *, garbled: bytes = b"", echoes: bool = False) -> list[str]:
    """What to look at when nobody answers on a line, likeliest first."""
    if config.framer == "tcp" or config.port.startswith(SOCKET):
        found = ["is it the unit's number? A converter forwards it, a device may want 1 or 255"]
        other = "rtu" if config.framer == "tcp" else "tcp"
        found.append(f"the port is open, and perhaps speaks otherwise: --framer {other}")
        return found
    found = []
    if echoes:
        found.append("our own bytes come back: the adapter echoes, or TX and RX touch")
    if garbled:
        found.append(
            f"something came that is no Modbus at {config.baud} baud, parity {config.parity}: "
            f"{garbled.hex(' ')}; the device's baud or parity is another (--all-bauds)"
        )
    else:
        found.append("not a byte came: are A and B (D- and D+) swapped? Makers name them both ways")
        found.append(
            f"is the device set to {config.baud} baud, parity {config.parity}, {config.stop_bits} "
            "stop bits? --all-bauds tries the others"
        )
    found.append("is the unit's number right (--units 1-247), and the device powered?")
    found.append("120 ohm at both ends of the line and nowhere else; the grounds joined")
    return found


def explained(code: str) -> str:
    """What an exception of a unit means to whoever asked."""
    return _EXPLAINED.get(code, "")


_EXPLAINED = {
    EXCEPTIONS[1]: "the unit does not know this function",
    EXCEPTIONS[2]: "the unit has no such register",
    EXCEPTIONS[3]: "the unit does not take this value, or so many registers at once",
    EXCEPTIONS[4]: "the unit could not do it",
    EXCEPTIONS[5]: "the unit is still at it",
    EXCEPTIONS[6]: "the unit is busy: try again",
    EXCEPTIONS[10]: "the gateway before the unit has no way to it",
    NoAnswer.code: "nothing came in time",
    Garbled.code: "what came was no answer: baud, parity, wiring, or two units with one number",
}
