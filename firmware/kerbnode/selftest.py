"""What a node finds on its own board: heap, flash, sensors, lamp, inputs, link. For the REPL alone.

Who holds the cable imports it, asks for one check at a time by `main` and judges the JSON line that
comes: limits are no business of the node. The drivers are the node's own, found on its instruments
by what they can do, so that no name is kept for this. A node in service never loads it.
"""

import asyncio
import gc
import json
import os
import sys
import time
from binascii import hexlify
from hashlib import sha256

from kerbnode import board as wiring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Told = dict[str, Any]

DRAFT = "/selftest.new"
PIECES = 16  # of 256 bytes: a block
LOOK_MS = 220  # a light sensor has no new value sooner
SLOW_LOOKS = 3  # a chip that tells its number takes 0.5 s for its first step
FRESH_MS = 500  # a power meter's registers are that old
QUICK_MS = 50
HEARD_MS = 300
PROBE = b"\x00kerbline self-test\x00"

board_parts: "list[Any]" = []  # the board and its instruments, once they are made


def main(what: str, *given: "Any") -> None:  # noqa: ANN401 - JSON
    """One check; prints its line."""
    print(json.dumps(CHECKS[what](*given)))


def heap() -> "Told":
    """Bytes that are free, and the longest piece of them."""
    gc.collect()
    free = gc.mem_free()
    low, high = 0, free
    while high - low > 256:
        middle = (low + high) // 2
        try:
            bytearray(middle)
            low = middle
        except MemoryError:
            high = middle
        gc.collect()
    return {"free": free, "largest": low}


def flash() -> "Told":
    """A block is written, read back and removed; blocks that are free then, and all."""
    fault = ""
    piece = os.urandom(256)
    try:
        with open(DRAFT, "wb") as file:
            for _ in range(PIECES):
                file.write(piece)
        with open(DRAFT, "rb") as file:
            for _ in range(PIECES):
                if file.read(256) != piece:
                    fault = "differs"
        os.remove(DRAFT)
    except OSError as error:
        fault = str(error)
    whole = os.statvfs("/")
    # littlefs counts a block twice that two files share: of a full one it has less than none.
    return {"fault": fault, "free": whole[3] if whole[3] <= whole[2] else 0, "blocks": whole[2]}


def files() -> "Told":
    """How many files have a known hash, and the names of those that don't match theirs."""
    bad: list[str] = []
    count = 0
    try:
        names = os.listdir("/o")
    except OSError:
        names = []
    for name in names:  # an object is called by its hash
        count += 1
        if _hash("/o/" + name)[: len(name)] != name:
            bad.append("/o/" + name)
    for place in sys.path:
        try:
            with open(place + "/build.json") as file:
                known = json.load(file)["files"]
        except (OSError, ValueError, KeyError):
            continue
        for name in known:
            if name not in ("main.py", "boot.py"):  # they stand elsewhere, and main.py with a place
                count += 1
                if _hash(place + "/" + name) != known[name]:
                    bad.append(place + "/" + name)
    return {"files": count, "bad": bad}


def _hash(path: str) -> str:
    digest = sha256()
    room = memoryview(bytearray(512))
    try:
        with open(path, "rb") as file:
            while True:
                count = file.readinto(room)
                if not count:
                    return hexlify(digest.digest()).decode()
                digest.update(room[:count])
    except OSError:
        return ""


def clock() -> "Told":
    """The chip's ticks in ms, now."""
    return {"ticks": time.ticks_ms()}


def make(asset: str) -> "Told":
    """Make the board's instruments of that asset; a lamp is lit by it."""
    if sys.platform == "esp32":
        from kerbnode.hal.esp32 import Board
    else:
        from kerbnode.hal.sim import Board
    board_parts.clear()
    gc.collect()
    wire = getattr(wiring, asset, None)
    if wire is None:
        return {"fault": "asset"}
    board = Board()
    board_parts.append(board)
    board_parts.append(wire(board))
    return {"fault": "", "parts": [type(each).__name__ for each in _drivers()]}


def _drivers() -> "list[Any]":
    """What the instruments hold, each once: what they hold in a tuple has an order."""
    found: list[Any] = []
    held = list(board_parts[1].__dict__.values())
    for several in [each for each in held if isinstance(each, tuple)] + [held]:
        for each in several:
            if _part(each) and each not in found:
                found.append(each)
    return found


def _part(driver: "Any") -> str:  # noqa: ANN401 - whatever is held
    """What a driver is, by what it can do; "" for what is none."""
    for method in ("show", "switch", "lux", "celsius", "millivolts", "broken"):
        if hasattr(driver, method):
            return method
    if hasattr(driver, "sample"):
        return "air" if hasattr(driver, "raw") else "power"
    if hasattr(driver, "take"):
        return (
            "meter" if hasattr(driver, "weight") else "motion" if hasattr(driver, "fault") else ""
        )
    return ""


def sensors(most_ms: int) -> "Told":
    """Each sensor is looked at until it has a value, or for so long: value, fault."""
    waiting = [each for each in _drivers() if _part(each) not in ("", "show", "switch", "meter")]
    told = [{"kind": type(each).__name__, "value": None, "fault": ""} for each in waiting]
    begun = time.ticks_ms()
    looks = 0
    left = len(told)
    while left and time.ticks_diff(time.ticks_ms(), begun) < most_ms:
        time.sleep_ms(LOOK_MS)
        for place, sensor in enumerate(waiting):
            slow = hasattr(sensor, "serial")
            if told[place]["value"] is None and not (slow and looks % SLOW_LOOKS):
                value = _value(sensor)
                told[place]["fault"] = getattr(sensor, "fault", "")
                if value is not None and value != ():
                    told[place]["value"] = value
                    left -= 1
        looks += 1
    return {"sensors": told}


def _value(sensor: "Any") -> "Any":  # noqa: ANN401 - as its kind has it
    """One look; of a chip that tells its number that is what counts: its first value takes 30 s."""
    part = _part(sensor)
    if part == "lux":
        return sensor.lux()
    if part == "celsius":
        return sensor.celsius()
    if part == "millivolts":
        return sensor.millivolts(0)
    if part == "broken":
        return sensor.broken(0)
    if part == "motion":
        return sensor.take(0)
    value = sensor.sample()
    if hasattr(sensor, "serial"):
        return sensor.serial or None
    return value


def lamp(level: int, on: int, low_dw: int, high_dw: int, most_ms: int) -> "Told":
    """Light in 1/1000 and the relay; then the power, once it lies in bounds twice or time is up."""
    power = None
    switched = False
    for each in _drivers():
        part = _part(each)
        if part == "switch":
            each.switch(on=bool(on))
            switched = True
        elif part == "show":
            each.show(level)
        elif part == "power":
            power = each
    begun = time.ticks_ms()
    sample = None
    passed_ms = good = 0
    while passed_ms < (most_ms if power else FRESH_MS) and good < 2:
        time.sleep_ms(QUICK_MS)
        passed_ms = time.ticks_diff(time.ticks_ms(), begun)
        if power:
            sample = power.sample()
            if passed_ms >= FRESH_MS:
                good = good + 1 if sample and low_dw <= sample[0] <= high_dw else 0
    fault = power.fault if power else ""
    return {"relay": switched, "meter": bool(power), "ms": passed_ms, "is": sample, "fault": fault}


def lit() -> "Told":
    """The lamp is as a node at rest leaves it: full light."""
    light = getattr(board_parts[1], "lit", None) if board_parts else None
    if light is not None:
        light()
    return {"lit": light is not None}


def pulses(ms: int) -> "Told":
    """Pulses of each input within that time."""
    inputs = [each for each in _drivers() if _part(each) == "meter"]
    for each in inputs:
        each.take()
    counts = [0] * len(inputs)
    begun = time.ticks_ms()
    while time.ticks_diff(time.ticks_ms(), begun) < ms:
        time.sleep_ms(QUICK_MS)
        for place, each in enumerate(inputs):
            counts[place] += each.take()
    return {"counts": counts, "kinds": [type(each).__name__ for each in inputs]}


def link(gateway: "tuple[str, int] | None", baud: int, pins: "tuple[Any, ...]", ms: int) -> "Told":
    """The line to the gateway is opened; a UART says what comes back, "echo" where that is ours."""
    asyncio.new_event_loop()  # what an interrupted node left waiting must not run on
    told: Told = asyncio.run(_heard(gateway, baud, pins, ms))
    return told


async def _heard(
    gateway: "tuple[str, int] | None", baud: int, pins: "tuple[Any, ...]", ms: int
) -> "Told":
    board = board_parts[0]
    begun = time.ticks_ms()
    while True:
        try:
            line = await board.open_line(gateway, baud, pins)
            break
        except OSError as error:
            if time.ticks_diff(time.ticks_ms(), begun) >= ms:
                return {"fault": str(error)}
            await asyncio.sleep_ms(LOOK_MS)
    heard = b""
    fault = ""
    try:
        sent = line.write(PROBE)
        if sent:
            await sent
        while len(heard) < 256:
            heard += await asyncio.wait_for_ms(line.read(), HEARD_MS)
    except asyncio.TimeoutError:
        pass
    except OSError as error:
        fault = str(error)
    line.close()
    passed_ms = time.ticks_diff(time.ticks_ms(), begun)
    return {"fault": fault, "heard": len(heard), "echo": PROBE in heard, "ms": passed_ms}


CHECKS: "dict[str, Any]" = {
    "heap": heap,
    "flash": flash,
    "files": files,
    "clock": clock,
    "make": make,
    "sensors": sensors,
    "lamp": lamp,
    "lit": lit,
    "pulses": pulses,
    "link": link,
}
