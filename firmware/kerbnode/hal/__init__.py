"""The border to the hardware: only these modules import `machine`, `esp32` and `network`.

`hal.esp32.Board` is the real thing, `hal.sim.Board` a street of numbers on a PC; both are what
hal.board describes.
"""


class Restart(SystemExit):
    """A simulated board's reset: the node begins anew in the same process."""
