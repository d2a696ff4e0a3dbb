"""What main.py calls of whatever build runs: by this name, in all builds."""

import gc
import os
import sys

import slots
from kerbnode import board as wiring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

COLLECT_BYTES = 8192  # made since the last collection: what stays lies together, and low


def main() -> "Callable[[], None]":
    """Count a pulse and sleep on, or give what runs the node; this module is gone by then."""
    if sys.platform == "esp32":
        if hasattr(wiring, "SLEEP"):
            from kerbnode.hal.esp32_sleep import Chip
            from kerbnode.sleep import awake

            try:
                awake(Chip())  # a pulse is counted here, and the chip sleeps on
            except Exception as fault:  # noqa: BLE001 - the node starts without
                sys.print_exception(fault)
    if hasattr(gc, "threshold"):
        gc.threshold(COLLECT_BYTES)
    if sys.modules.pop("kerbnode.start", None):  # its memory is the node's
        delattr(sys.modules["kerbnode"], "start")
    go_on()
    from kerbnode import app

    return app.main


def go_on() -> None:
    """What an update left for this boot; whatever comes of that, the node starts."""
    try:
        os.stat(slots.home + "u/next")
    except OSError:
        return
    try:
        from kerbnode import resumed

        resumed.main()
    except Exception as fault:  # noqa: BLE001 - a chip that restarts for it would do so for ever
        sys.print_exception(fault)
