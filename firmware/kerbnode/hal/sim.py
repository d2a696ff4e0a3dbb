"""A node's board on a PC: its folder is the flash, `world.json` in it the street around it.

What the sensors feel comes from kerbnode.sim.world at the street's time. Each record made and each
change of the lamp goes to an append-only witness log, which the node itself never reads.
"""

import asyncio
import json
import os
import time

from kerbnode.hal import Restart
from kerbnode.nvs import get_checked
from kerbnode.sim import ads1115, b4_cell, bh1750, bl0942, bme280, dimming, pms5003, scd41
from kerbnode.sim import world as sim_world
from kerbnode.sim.i2c import Bus
from kerbnode.sim.line import MICROPYTHON, PtyLine, UdpLine
from kerbnode.sim.noise import Noise
from kerbnode.sim.sleeper import Sleeper, rtc_of
from kerbnode.wake import Wake
from kerbwire.limits import BUS, DATAGRAM, STREAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbnode.app import Node
    from kerbnode.blocks import Record
    from kerbnode.hal.board import Line, Pin
    from kerbnode.rest import Rest

ENOENT = 2
POWER_ON = 1  # reset causes as the ESP32's machine.reset_cause() has them
DEEP_SLEEP = 4
SOFT_RESET = 5
STANDBY_DW = 5
MAINS_V = 230
POWER_FACTOR = 0.95
BATTERY_UV = 1_800_000  # half of a fresh cell's 3.6 V

__all__ = ("Board", "Restart")


class Nvs:
    """One file a blob; a new one takes the old one's place at once."""

    def __init__(self, path: str):
        self._path = path

    def get(self, name: str) -> "bytes | None":
        """The blob, or None where there is none; OSError where it can't be read."""
        try:
            with open(self._path + "/" + name, "rb") as file:
                return file.read()
        except OSError as error:
            if error.errno != ENOENT:
                raise
            return None

    def set(self, name: str, blob: bytes) -> None:
        """Write it, durable on return."""
        place = self._path + "/" + name
        new = self._path + "/." + name
        with open(new, "wb") as file:
            if not MICROPYTHON:
                os.chmod(new, 0o600)
            file.write(blob)
            file.flush()  # fsync under MicroPython
            if not MICROPYTHON:
                os.fsync(file.fileno())
        os.rename(new, place)


class Board:
    """The simulated board; `open` reads its world."""

    def __init__(self, place: "str | None" = None):
        place = place or os.getenv("KERBNODE_DIR") or "."
        self._place = place
        self.nvs = Nvs(place + "/nvs")
        self.flash_path = place + "/flash"
        self._duty = 0
        self._level_pct = -1
        self._coil = 0
        self._noise = Noise()
        self._tick = Wake()
        self.rtc = rtc_of(place)
        self.counts: list[int] = []  # what the meter's counter gave first, and last

    def open(self) -> None:
        """Power on."""
        with open(self._place + "/world.json") as file:
            self._world = json.load(file)
        self._node = json.loads(get_checked(self.nvs, "settings") or b"{}").get("node_id")
        self._time = sim_world.StreetTime(self._world.get("clock", []))
        self._stop_ms: int = self._world.get("stop_real_ms", 0)
        witness = self._world.get("witness")
        self._witness = open(witness, "ab", 0) if witness else None
        self._boot_ms = self._felt_ms = self.street_now()
        water = self._world.get("water", {})
        self._water = sim_world.Water(
            water.get("seed", 1),
            water.get("leak_from_street_ms", 0),
            water.get("leak_lph", 0),
            self._boot_ms,
        )
        if water.get("sleeps"):  # the meter's register turns on while the node does not look
            self._water = self.rtc.water = self.rtc.water or self._water

    def framing(self, link: str) -> int:
        """How frames travel on that link."""
        return {"udp": DATAGRAM, "rs485": BUS}.get(link, STREAM)

    def monotonic_ms(self) -> int:
        """Real time for timers."""
        return time.ticks_ms() if MICROPYTHON else time.monotonic_ns() // 1_000_000  # type: ignore[attr-defined]

    def uptime_ms(self) -> int:
        """Street time since power-on."""
        return self.street_now() - self._boot_ms

    def street_ms(self, utc_ms: int) -> int:
        """The street's time of a real UTC instant."""
        return self._time.street_ms(utc_ms)

    def random(self, count: int) -> bytes:
        """From the system's generator."""
        return os.urandom(count)

    def reset_cause(self) -> int:
        """Why the node started; asked once."""
        if self.rtc.woke is not None:
            return DEEP_SLEEP
        cause = self.nvs.get("restart")
        if cause != b"\x01":
            return POWER_ON
        self.nvs.set("restart", b"\x00")
        return SOFT_RESET

    def rest(self, node: "Node", pins: "tuple[str, ...]") -> "Rest | None":
        """For a meter that `world.json` lets sleep."""
        if not self._world.get("water", {}).get("sleeps"):
            return None
        from kerbnode.rest import Rest

        return Rest(node, (0, 1), Sleeper(self))

    async def tick_wait(self, ms: int) -> None:
        """Return when the time is over, or at the next car."""
        world = self._world
        near_ms = sim_world.next_car_ms(
            world.get("cars", []),
            world.get("position_m", 0),
            world.get("sensor_range_m", 10),
            self._felt_ms,
        )
        if near_ms is not None:
            ms = min(ms, max(1, near_ms - self.street_now()))
        await self._tick.wait(ms)

    def wake(self) -> None:
        """The next tick comes at once."""
        self._tick.set()

    def feed(self) -> None:
        """No watchdog bites here: whoever started the process sees it hang."""

    def reset(self) -> None:
        """Restart the node."""
        self.nvs.set("restart", b"\x01")
        self.rtc.woke = None
        self.restart()

    def restart(self) -> None:
        """End this boot."""
        if MICROPYTHON:
            asyncio.new_event_loop()  # drops the tasks of this boot
        raise Restart

    def quiet(self) -> bool:
        """Have the sources of the simulation stopped?"""
        return self._stop_ms > 0 and _real_now() >= self._stop_ms

    def booted(self, boot_id: int, epoch: int) -> None:
        """Tell the witness."""
        self._tell({"t": "boot", "boot_id": boot_id, "epoch": epoch})

    def made(self, kind: str, record: "Record", epoch: int) -> None:
        """Tell the witness of a record as soon as it has its number."""
        number, _, _, uptime_s, values = record
        self._tell(
            {
                "t": "made",
                "epoch": epoch,
                "rseq": number,
                "kind": kind,
                "uptime_s": uptime_s,
                "values": list(values),
            }
        )

    async def open_line(
        self, gateway: "tuple[str, int] | None", baud: int, pins: "tuple[Pin, ...]"
    ) -> "Line":
        """A socket to that gateway, or the pty that is named as UART; it knows no baud rate."""
        return UdpLine(gateway[0], gateway[1]) if gateway else PtyLine(str(pins[0]))

    def console(self, *, is_open: bool) -> None:
        """Whoever started the process has its console anyway."""

    def leave(self, prompt_s: int) -> None:
        """The process ends."""

    def pwm(self, name: str, hz: int) -> dimming.LedDriver:
        """The lamp's LED driver."""
        return dimming.LedDriver(hz, told=self.light_up)

    def adc(self, name: str) -> "_Adc":
        """An analogue sensor by its name."""
        return _Adc(getattr(self, "feel_" + name))

    def output(self, name: str, level: int) -> "_Coil":
        """The coil of a relay whose contact is closed without current."""
        self.draw(level)
        return _Coil(self)

    def input(self, name: str) -> "_Open":
        """Nobody has tied it to ground."""
        return _Open()

    def latch(self, name: str) -> "_Latch":
        """The motion sensor."""
        return _Latch(self)

    def counter(self, name: str) -> "_Counter":
        """The meter's pulses; nothing ever flows backward here."""
        return _Counter(self.count if name == "forward" else _nothing)

    def i2c(self, number: int, scl: str, sda: str, hz: int) -> Bus:
        """One bus with all chips: light, and those of the air station."""
        cell = b4_cell.B4Cell(self.feel_gases, noise=self._noise)
        return Bus(
            {
                0x23: bh1750.Bh1750(self.feel_lux),
                0x48: ads1115.Ads1115(lambda number: cell.microvolts(number) if number < 2 else 0),
                0x62: scd41.Scd41(self.feel_carbon),
                0x76: bme280.Bme280(self.feel_climate),
            }
        )

    def serial(self, name: str, tx: str, rx: str, baud: int) -> "bl0942.Bl0942 | pms5003.Pms5003":
        """The power meter's line, or the particle sensor's."""
        if name == "power":
            return bl0942.Bl0942(self.feel_mains, baud)
        return pms5003.Pms5003(self.feel_air)

    def feel_lux(self) -> int:
        """Light on the sensor."""
        world = self._world
        place = world.get("latitude", 52.37), world.get("longitude", 4.9)
        return sim_world.lux(self.street_now(), place[0], place[1])

    def feel_mains(self) -> "tuple[float, float, float]":
        """Watts, volts and amperes of the lamp and its electronics."""
        lamp_dw: int = self._world.get("lamp_w", 60) * 10 * self._duty // dimming.FULL
        watts = (STANDBY_DW + (0 if self._coil else lamp_dw)) / 10
        return watts, MAINS_V, watts / MAINS_V / POWER_FACTOR

    def feel_temperature(self) -> int:
        """Microvolts of the thermometer: the night's air, and the lamp's own heat."""
        tenth_c = self.feel_air()[5] + 150 * self._duty // dimming.FULL
        return 500_000 + 1000 * tenth_c

    def feel_battery(self) -> int:
        """Microvolts behind the divider."""
        return BATTERY_UV

    def feel_gases(self) -> "tuple[float, float, float]":
        """NO2 and ozone in ppb, degrees Celsius; the one gas eats the other."""
        air = self.feel_air()
        return air[4] / 10, max(2.0, 45 - air[4] / 10), air[5] / 10

    def feel_carbon(self) -> "tuple[int, int, int]":
        """ppm, 0.1 Celsius, 0.1 % humidity."""
        air = self.feel_air()
        return air[3], air[5], air[6]

    def feel_climate(self) -> "tuple[float, float, float]":
        """Celsius, % humidity, hPa, with a sensor's noise."""
        air = self.feel_air()
        stir = self._noise.below(41) - 20
        return (air[5] + stir / 100) / 10, (air[6] + stir / 50) / 10, (air[7] - stir / 100) / 10

    def feel_motion(self) -> bool:
        """Was a car there since this was asked last?"""
        world = self._world
        since_ms, self._felt_ms = self._felt_ms, self.street_now()
        return sim_world.car_is_near(
            world.get("cars", []),
            world.get("position_m", 0),
            world.get("sensor_range_m", 10),
            since_ms,
            self._felt_ms,
        )

    def count(self) -> int:
        """What the meter's counter gives."""
        self.counts = self.counts[:1] + [self.feel_litres()]
        return self.counts[-1]

    def feel_litres(self) -> int:
        """Pulses of the meter, one a litre."""
        return self._water.millilitres(self.street_now()) // 1000

    def feel_air(self) -> "tuple[int, ...]":
        """The air, as sim_world.air has it."""
        return sim_world.air(self.street_now(), self._world.get("air", {}).get("seed", 1))

    def light_up(self, duty: int) -> None:
        """The LED driver is asked for another level."""
        self._duty = duty
        self._look()

    def draw(self, coil: int) -> None:
        """The relay's coil has current, or none: then the lamp has mains."""
        self._coil = coil
        self._look()

    def _look(self) -> None:
        pct = 0 if self._coil else (self._duty * 100 + 32_767) // dimming.FULL
        if pct != self._level_pct:
            self._level_pct = pct
            self._tell({"t": "level", "pct": pct})

    def street_now(self) -> int:
        return self._time.street_ms(_real_now())

    def _tell(self, what: "dict[str, object]") -> None:
        if self._witness is not None:
            what["node"] = self._node
            what["real_ms"] = _real_now()
            self._witness.write((json.dumps(what) + "\n").encode())


class _Coil:
    def __init__(self, board: Board):
        self._board = board

    def value(self, level: int) -> None:
        self._board.draw(level)


class _Open:
    def value(self) -> int:
        return 1


class _Adc:
    def __init__(self, feel: "Callable[[], int]"):
        self._feel = feel

    def read_uv(self) -> int:
        return self._feel()


class _Latch:
    def __init__(self, board: Board):
        self._board = board

    def take(self) -> bool:
        return self._board.feel_motion()


class _Counter:
    def __init__(self, feel: "Callable[[], int]"):
        self._feel = feel

    def value(self) -> int:
        return self._feel()


def _real_now() -> int:
    return time.time_ns() // 1_000_000


def _nothing() -> int:
    return 0
