"""Starts the node. What ends it otherwise than by order ends in a restart, not at a prompt.

The image lets Ctrl-C through before the first line of this file, and raises it at the next jump.
So nothing jumps before the console is closed, but in a `try`; behind it no Ctrl-C is left.
"""

try:
    import sys

    if sys.platform == "esp32":
        import micropython

        micropython.kbd_intr(-1)
        for _ in range(2):
            pass  # one that was quicker is raised here
except:  # noqa: E722 - to match a class would be a jump
    import micropython

    micropython.kbd_intr(-1)
    try:
        for _ in range(2):
            pass
    except:  # noqa: E722, S110
        pass

WAIT_S = 10  # before a restart that nobody ordered: the lamp stays as reset left it, lit
NOT_FOUND = -0x1102  # ESP_ERR_NVS_NOT_FOUND


def locked() -> bool:
    """Is there a key to protect, and no debug build? Else the prompt is for who installs it."""
    import esp32

    room = bytearray(1024)
    try:
        nvs = esp32.NVS("kerbnode")
        nvs.get_blob("key", room)
    except OSError as error:
        return error.errno != NOT_FOUND
    try:
        length = nvs.get_blob("settings", room)
    except OSError:
        return True
    return b'"build": "debug"' not in room[:length]


def start() -> None:
    """Run the node; the console of a chip is closed by now."""
    if sys.platform == "esp32":
        if not locked():
            micropython.kbd_intr(3)
        import choice

        choice.main()
        del choice  # its memory is the node's
    from kerbnode.start import main

    run = main()
    del main  # and with it the memory of what came before
    run()


def restart(error: BaseException) -> None:
    """Tell what happened and start again; an unlocked chip stays at its prompt."""
    micropython.kbd_intr(-1)
    sys.print_exception(error)
    if locked():
        import time

        import machine

        try:
            import choice

            choice.doubt()
        except Exception as fault:  # noqa: BLE001 - the next start may go better all the same
            sys.print_exception(fault)
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
