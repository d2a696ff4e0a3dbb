"""Runs first after a reset: Ctrl-C on the console interrupts nothing. main.py decides on it.

A boot.py that fails is followed by the prompt, not by main.py: why it is built so stands there.
"""

try:
    import micropython

    micropython.kbd_intr(-1)
    for _ in range(2):
        pass
except:  # noqa: E722
    import micropython

    micropython.kbd_intr(-1)
    try:
        for _ in range(2):
            pass
    except:  # noqa: E722, S110
        pass
