"""kerbnode.hal.esp32 itself, with a chip's modules in the image's place; for MicroPython alone."""

import asyncio
import sys

__test__ = sys.implementation.name == "micropython"  # pytest passes the whole module by

if __test__:
    from node import chip

    held = {}
    for name, module in (
        ("machine", chip.Machine()),
        ("esp32", chip.Esp32()),
        ("network", chip.Network()),
        ("micropython", chip.Micropython()),
    ):
        held[name] = sys.modules.get(name)
        sys.modules[name] = module
    from kerbnode import board as wiring
    from kerbnode.hal import esp32

    sys.modules["micropython"] = held["micropython"] or __import__("micropython")

BROWN_OUT = 6
SHORT = b"\x00" * 64  # 5.6 ms at 115,200 baud


def booted(cause: int = 1, raw: int = 1, kind: str = "esp32") -> "esp32.Board":
    chip.told[:] = []
    chip.levels.clear()
    chip.state["cause"], chip.state["mem"], chip.state["associated"] = cause, raw, 0
    wiring.CHIP = kind
    board = esp32.Board()
    board.open()
    return board


def since() -> "list[tuple[object, ...]]":
    """What the chip was told since this was asked last."""
    found = chip.told[:]
    chip.told[:] = []
    return found


def opened(board: "esp32.Board", gateway: object, pins: "tuple[object, ...]") -> "esp32.UartLine":
    return asyncio.run(board.open_line(gateway, 115_200, pins))


def refused(board: "esp32.Board") -> str:
    try:
        opened(board, ("127.0.0.1", 5683), (None, None, None, None))
    except OSError as error:
        return str(error)
    return ""


def test_a_supply_that_sagged_is_told_from_a_power_on() -> None:
    assert booted(1, 1).reset_cause() == 1
    assert booted(1, 15).reset_cause() == BROWN_OUT
    assert booted(1, 3).reset_cause() == BROWN_OUT  # by the detector's interrupt
    assert booted(2, 3).reset_cause() == 2  # machine.reset()
    assert booted(3, 7).reset_cause() == 3
    assert booted(1, 15, "host").reset_cause() == 1


def test_the_watchdog_runs_from_the_start_and_is_fed() -> None:
    board = booted()
    board.feed()
    board.leave(900)
    assert since() == [("watchdog", 30_000), ("feed",), ("watchdog", 900_000)]


def test_the_console_is_closed_and_opened() -> None:
    board = booted()
    since()
    board.console(is_open=True)
    board.console(is_open=False)
    assert since() == [("kbd_intr", 3), ("kbd_intr", -1)]


def test_a_lamp_stays_as_reset_left_it_until_it_is_told() -> None:
    board = booted()
    chip.levels[25] = 1  # a resistor holds it up: that is light
    board.pwm(25, 1000).duty_u16(0)
    board.pwm(26, 1000)
    assert since()[1:] == [("pwm", 25, 1000, 65_535), ("duty", 25, 0), ("pwm", 26, 1000, 0)]


def test_blobs_are_there_after_a_restart() -> None:
    board = booted()
    board.nvs.set("key", b"k" * 20)
    board.nvs.set("settings", b"s" * 400)
    again = booted()
    assert again.nvs.get("key") == b"k" * 20
    assert again.nvs.get("settings") == b"s" * 400
    assert again.nvs.get("nothing") is None


def test_a_blob_that_can_not_be_read_is_not_taken_for_none() -> None:
    board = booted()
    board.nvs.set("identity", b"i" * 20)
    chip.deaf["identity"] = 2
    assert board.nvs.get("identity") == b"i" * 20, "it is asked for again"
    chip.deaf["identity"] = chip.deaf["nothing"] = 99
    for name in ("identity", "nothing"):
        try:
            board.nvs.get(name)
            raise AssertionError("taken for none")
        except OSError as error:
            assert error.errno == -0x110B
    chip.deaf.clear()
    assert board.nvs.get("nothing") is None


def test_rs485_talks_only_while_it_sends() -> None:
    board = booted()
    line = opened(board, None, (2, 17, 16, 4))
    asyncio.run(line.write(SHORT))
    line.close()
    assert since()[1:] == [
        ("uart", 2, 115_200, 17, 16),
        ("pin", 4, 0),
        ("pin", 4, 1),
        ("write", SHORT),
        ("txdone",),  # and at once, with no other task between ...
        ("pin", 4, 0),
        ("uart off",),
    ]
    questions = len(SHORT) * 10_000_000 // 115_200 // chip.UART.QUESTION_US
    assert questions * chip.UART.QUESTION_US > 5000  # ... though it had to wait


def test_rs485_is_quiet_again_when_the_writer_is_stopped() -> None:
    board = booted()

    async def cut() -> None:
        line = await board.open_line(None, 9600, (1, 17, 16, 4))
        task = asyncio.create_task(line.write(SHORT))  # 66 ms
        await asyncio.sleep_ms(1)
        task.cancel()
        await asyncio.sleep_ms(1)

    asyncio.run(cut())
    assert since()[-1] == ("pin", 4, 0)


def test_a_line_of_its_own_needs_no_pin_and_waits_for_nothing() -> None:
    board = booted()
    line = opened(board, None, (1, 5, 6, None))
    assert line.write(SHORT) is None
    assert since()[1:] == [("uart", 1, 115_200, 5, 6), ("write", SHORT)]


def test_motion_ends_the_wait_for_the_next_tick() -> None:
    board = booted()
    latch = board.latch(34)

    async def next_tick() -> None:
        await board.tick_wait(600_000)

    async def ticks() -> bool:
        waiting = asyncio.create_task(next_tick())
        await asyncio.sleep_ms(0)
        chip.edge(34, chip.Pin.IRQ_FALLING)
        chip.edge(34, chip.Pin.IRQ_RISING)
        await waiting
        await board.tick_wait(1)  # the edge is used up: this one ends by time
        return latch.take() and not latch.take()

    assert asyncio.run(ticks())


def test_a_wait_below_the_systems_tick_has_a_timer() -> None:
    board = booted()
    since()

    async def ticks() -> None:
        for ms in (10, 2, 2, 20, 2):
            await board.tick_wait(ms)

    asyncio.run(ticks())
    assert since().count(("timer", 0, 0, 2)) >= 3


def test_pulses_are_counted_in_software_where_the_image_has_no_counter() -> None:
    board = booted()
    counter = board.counter(18)
    for _ in range(3):
        chip.edge(18, chip.Pin.IRQ_FALLING)
        chip.edge(18, chip.Pin.IRQ_RISING)
    assert counter.value() == 3


def test_the_strap_pin_is_pulled_up() -> None:
    board = booted()
    assert board.input(18).value() == 1
    chip.levels[18] = 0
    assert board.input(18).value() == 0


def test_wifi_is_asked_for_again_ever_later_and_nobody_waits_for_it() -> None:
    board = booted()
    board.nvs.set("wifi", b"street\x00secret")
    now = [0]
    board.monotonic_ms = lambda: now[0]
    board.random = lambda count: bytes([now[0] // 1000 & 255]) * count
    joins = []
    for _ in range(3600):
        assert refused(board) == "no Wi-Fi"
        if ("join", "street", "secret") in since():
            joins.append(now[0])
        now[0] += 1000
    waits = [late - early for early, late in zip(joins, joins[1:])]
    assert 17_000 < waits[0] <= 24_000
    assert max(waits) <= 15_000 + 180_000 and len(joins) < 60
    assert waits[-1] > 60_000
    chip.state["associated"] = 1
    assert refused(board) == ""


def test_a_name_that_nobody_knows_is_asked_for_ever_later() -> None:
    board = booted()
    chip.state["associated"] = 1
    now = [0]
    board.monotonic_ms = lambda: now[0]
    asked = []

    class Names:
        AF_INET = SOCK_DGRAM = 0

        def getaddrinfo(self, *what: object) -> None:
            asked.append(now[0])
            raise OSError(-2)

    assert refused(board) == ""
    from kerbnode.hal import esp32_wifi

    held, esp32_wifi.socket = esp32_wifi.socket, Names()
    board._wifi._found = None
    for _ in range(1200):
        assert refused(board) in ("-2", "no such host")
        now[0] += 1000
    esp32_wifi.socket = held
    assert 5 < len(asked) < 25
