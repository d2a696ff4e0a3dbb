"""What a chip, its module and the street demand of a wiring: pins, numbers, reset, wake-up."""

from __future__ import annotations

from collections.abc import Iterable

from kerbline.boards.chips import Chip, Pin
from kerbline.boards.uses import Place, Uart, Use, Wiring
from kerbline.config.faults import shown

CONSOLE_UART = 0
OFFERED = 8  # free pins that a remedy names


def pins(
    chip: Chip,
    module: str,
    uses: Iterable[Use | Uart],
    *,
    wifi: bool,
    beside: Iterable[Use | Uart] = (),
) -> None:
    """Each pin must be there and fit its use; complains at the pin's key.

    What is `beside` them was judged before, and its pins are not offered.
    """
    wired = [use for use in uses if isinstance(use, Use)]
    taken = {use.pin for use in (*wired, *beside) if isinstance(use, Use)}
    for use in wired:
        problem = _unfit(chip, module, use, wifi=wifi)
        if problem:
            offered = [
                pin
                for pin in sorted(chip.gpios - taken)
                if not _unfit(chip, module, Use(pin, use.bus, use.user, use.place), wifi=wifi)
            ]
            use.place.complain(problem, _offer(chip, offered))


def _offer(chip: Chip, free: list[int]) -> str:
    if not chip.real:
        return 'write a name: "lamp"'
    if not free:
        return "no free pin will do: leave this role or link out"
    return f"write a free pin: {', '.join(map(str, free[:OFFERED]))}"


def _unfit(chip: Chip, module: str, use: Use, *, wifi: bool) -> str:
    """Why this pin can't be used so, or ""."""
    pin = use.pin
    if not chip.real:
        return "" if isinstance(pin, str) else f"{pin} is a number, this chip's pins have names"
    if not isinstance(pin, int):
        return f"{shown(pin)} is a name, this chip's pins have numbers"
    if pin not in chip.gpios:
        return f"{chip.name} has no GPIO{pin}"
    if pin in chip.flash:
        return f"GPIO{pin} leads to the flash"
    if pin not in chip.modules.get(module, chip.gpios):
        return f"{module} does not lead GPIO{pin} out"
    if pin in chip.console:
        return f"GPIO{pin} is the console's: UART0 has the REPL"
    if pin in chip.usb:
        return f"GPIO{pin} is the USB port's: it has the REPL and JTAG"
    if pin in chip.strapping:
        return f"GPIO{pin} is a strapping pin: {chip.strapping[pin]}"
    if use.driven and pin in chip.input_only:
        return f"GPIO{pin} is an input only"
    return _no_adc(chip, pin, wifi=wifi) if use.bus == "adc" else ""


def _no_adc(chip: Chip, pin: int, *, wifi: bool) -> str:
    if pin in chip.adc1:
        return ""
    if pin not in chip.adc2:
        return f"GPIO{pin} has no ADC"
    channel = f"GPIO{pin} is channel {chip.adc2[pin]} of ADC2"
    if chip.adc2_broken:
        return f"{channel}, which this chip's errata rule out"
    return f"{channel}, which does not work beside Wi-Fi (links.udp)" if wifi else ""


def beside_no_wifi(chip: Chip, uses: Iterable[Use | Uart]) -> list[Use]:
    """Analogue inputs that Wi-Fi would stop."""
    return [
        use for use in uses if isinstance(use, Use) and use.bus == "adc" and use.pin in chip.adc2
    ]


def conflicts(wiring: Wiring) -> None:
    """A pin and a UART have one user; links share, since a node has one. At the second's key."""
    taken: dict[tuple[str, Pin], Place] = {}
    _claim(taken, wiring.fixed)
    for link in wiring.links.values():
        _claim(dict(taken), link)


def _claim(taken: dict[tuple[str, Pin], Place], uses: Iterable[Use | Uart]) -> None:
    for use in uses:
        it = _named(use.pin) if isinstance(use, Use) else f"UART {use.number}"
        key = ("pin", use.pin) if isinstance(use, Use) else ("uart", use.number)
        first = taken.setdefault(key, use.place)
        if first is not use.place:
            use.place.complain(f"{it} is taken by {first}", "write another one")


def _named(pin: Pin) -> str:
    return f"GPIO{pin}" if isinstance(pin, int) else shown(pin)


def uarts(chip: Chip, uses: Iterable[Use | Uart]) -> None:
    """Numbers that the chip has, and not the console's."""
    if not chip.real:
        return
    last = chip.uarts - 1
    remedy = f"write 1 to {last}" if last > 1 else "write 1"
    for use in uses:
        if not isinstance(use, Uart):
            continue
        if use.number == CONSOLE_UART:
            use.place.complain("UART 0 is the console's: it has the REPL", remedy)
        elif not isinstance(use.number, int) or use.number > last:
            use.place.complain(f"{chip.name} has no UART {use.number}", remedy)


def reset(chip: Chip, pin: Pin, pull: str, lit_by: str, place: Place) -> None:
    """While the chip is in reset, resistors alone must hold the output at what lights the lamp."""
    if not chip.real or not isinstance(pin, int):
        return
    own = chip.pulls.get(pin, "none")
    whose = "the board's resistor" if pull != "none" else "the chip's own resistor"
    held = {"up": "high", "down": "low", "none": ""}[pull if pull != "none" else own]
    needed = "up" if lit_by == "high" else "down"
    if not held:
        problem = f"in reset nothing holds GPIO{pin}: the lamp may be dark"
    elif held != lit_by:
        problem = f"in reset {whose} holds GPIO{pin} {held}, and the lamp is lit by {lit_by}"
    else:
        return
    place.complain(problem, f'fit a resistor and write pull = "{needed}"')


def wake(chip: Chip, module: str, pin: Pin, place: Place) -> None:
    """A pin that ends a deep sleep must be one that stays powered in it."""
    if chip.real and pin not in chip.wake:
        there = chip.wake & chip.modules.get(module, chip.gpios) - chip.strapping.keys()
        known = ", ".join(map(str, sorted(there)))
        place.complain(f"GPIO{pin} does not end a deep sleep", f"move it to one of {known}")
