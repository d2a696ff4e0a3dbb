"""A stock ESP32 image on MicroPython's Unix port: `machine`, `esp32`, `network`, littlefs, REPL.

micropython -m kerbnode.sim.stock FLASH APPS RUNS NVS CONTROL UART_PORT CHIP MAC CAUSE MODE [WIRED]

FLASH is the file of the file system's partition, APPS that of the flash before it (partition
table, otadata, apps), RUNS the app that runs on after a soft reset; NVS is a file, CONTROL a
pipe's path on which the chip says what happens to it (the image that starts, reset, panic,
watchdog, pins), UART_PORT the TCP port of its UART1, MAC its address in hex, CAUSE why it was
reset, MODE "boot", or "friendly" or "raw" after a soft reset; WIRED is the file of wired.py, and
without one nothing is wired to the chip. UART0 is the standard input and output, a terminal. At a
boot the bootloader chooses an app; what runs is this, under that app's version, unless the app is
one that does not come up. main.py runs unchanged.

What is here takes the place of the built-in modules; nothing of ours stays loaded.
"""

import os
import sys
import time

import vfs

from kerbnode.sim import app_image
from kerbnode.sim.chip.buses import Uart
from kerbnode.sim.chip.console import Console, Repl
from kerbnode.sim.chip.control import Control
from kerbnode.sim.chip.esp32 import Esp32, Partition
from kerbnode.sim.chip.flash import Apps, Flash, Nvs
from kerbnode.sim.chip.interpreter import Interrupts, System
from kerbnode.sim.chip.machine import Machine
from kerbnode.sim.chip.pins import Pin
from kerbnode.sim.chip.radio import Network
from kerbnode.sim.chip.timers import Watchdog
from kerbnode.sim.partitions import Chip, table
from kerbnode.sim.wired import Wired

PANIC_S = 0.2  # a stack trace at 115,200 Bd


class Esp(Chip):
    """The chip that runs."""

    control: "Control"

    def panic(self) -> None:
        self.control.end("panic")


def started(apps: str, kind: str, control: Control, runs: str) -> str:
    """The bootloader: the version of what it starts; an image that does not come up ends here.

    With a label in `runs` that app runs on: a soft reset is none of the chip's.
    """
    flash = Apps(apps)
    Partition.chip = chip = Esp(flash, table(flash), kind)
    chip.control = control
    if runs:
        chip.running = next(index for index in chip.apps if chip.apps[index].label == runs)
        return chip.describes(chip.running)[0]
    try:
        chip.boot()
    except OSError:
        control.end("dark")
    version, project = chip.describes(chip.running)
    control.say("image", chip.apps[chip.running].label, version)
    if project == app_image.PANICS:
        time.sleep(PANIC_S)
        control.end("panic")
    if project == app_image.HANGS:
        control.end("hangs")
    return version


def main() -> None:
    """One life of the chip, from a reset to the next."""
    flash_path, apps, runs, nvs_path, control_path, uart, chip, mac, cause, mode = sys.argv[1:11]
    if len(sys.argv) > 11:
        Pin.wired = Wired(sys.argv[11])
    for name in [name for name in sys.modules if name.startswith("kerbnode")]:
        del sys.modules[name]  # it must not stand in the node's way
    control = Control(control_path)
    version = started(apps, chip, control, runs)
    console = Console()
    Pin.control = Watchdog.control = control
    Uart.port = int(uart)
    Nvs.file = open(nvs_path, "r+")
    flash = Flash(flash_path)
    system = System(sys, chip, version)
    sys.path[:] = ["", ".frozen", "/lib"]
    sys.argv[:] = []
    for name, module in (
        ("machine", Machine(control, int(cause), bytes.fromhex(mac))),
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
    version = ".".join([str(number) for number in system.implementation.version[:3]])
    banner = "MicroPython v" + version + "; " + system.implementation._machine
    raw = Repl(console, names, banner).serve(mode == "raw")
    console.say("MPY: soft reboot\n")
    control.end("soft", "raw" if raw else "friendly")


if __name__ == "__main__":
    main()
