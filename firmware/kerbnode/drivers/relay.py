"""A relay or contactor in the lamp's mains; how long it rests between is the asset's matter."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Output


class Relay:
    """`normally_closed`: without current in the coil, so in reset too, the lamp has mains."""

    def __init__(self, output: "Output", normally_closed: int = 1):
        self._output = output
        self._closed = normally_closed
        self.on: bool | None = None  # not yet switched

    def switch(self, *, on: bool) -> None:
        """Mains to the lamp, or none; the same again costs nothing."""
        if on != self.on:
            self.on = on
            self._output.value(int(on != bool(self._closed)))
