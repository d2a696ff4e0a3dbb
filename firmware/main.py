"""Starts the node. What ends it otherwise than by order ends in a restart, not at a prompt."""

import sys

WAIT_S = 10  # before a restart that nobody ordered: the lamp stays as reset left it, lit


def locked() -> bool:
    """Is this a node in service, and no debug build? Else the prompt is for who installs it."""
    import esp32

    nvs = esp32.NVS("kerbnode")
    room = bytearray(1024)
    try:
        nvs.get_blob("key", room)
        length = nvs.get_blob("settings", room)
    except OSError:
        return False  # there is no key to protect
    return b'"build": "debug"' not in room[:length]


def start() -> None:
    """Run the node; on a chip close the console first."""
    if sys.platform == "esp32":
        import micropython

        micropython.kbd_intr(-1)
        if not locked():
            micropython.kbd_intr(3)
        from kerbnode import board as wiring

        if hasattr(wiring, "SLEEP"):
            from kerbnode.hal.esp32_sleep import Chip
            from kerbnode.sleep import awake

            try:
                awake(Chip())  # a pulse is counted here, and the chip sleeps on
            except Exception as fault:  # noqa: BLE001 - the node starts without
                sys.print_exception(fault)
    from kerbnode import app

    app.main()


def restart(error: BaseException) -> None:
    """Tell what happened and start again; an unlocked chip stays at its prompt."""
    sys.print_exception(error)
    if locked():
        import time

        import machine

        time.sleep(WAIT_S)
        machine.reset()


if __name__ == "__main__":
    if sys.platform != "esp32":
        start()
    else:
        try:
            start()
        except BaseException as fault:  # noqa: BLE001 - all there is
            restart(fault)
