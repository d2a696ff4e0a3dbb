"""Runs first after a reset: Ctrl-C on the console interrupts nothing. main.py decides on it."""

try:
    import micropython

    micropython.kbd_intr(-1)
    for _ in range(2):
        pass  # a Ctrl-C that was quicker is raised here, and not behind
except (ImportError, KeyboardInterrupt):
    pass
