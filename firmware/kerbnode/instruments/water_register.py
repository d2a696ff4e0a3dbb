"""The water meter with its drivers: pulses forward and backward, the cell, the seal."""

from kerbnode.assets import water_meter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.drivers.battery import Battery
    from kerbnode.drivers.pulses import PulseMeter
    from kerbnode.drivers.quadrature import Quadrature
    from kerbnode.drivers.tamper import Tamper
    from kerbnode.instruments import Events
    from kerbnode.settings import Settings


class WaterRegister:
    """What a meter's register gives, and what may stand beside it."""

    def __init__(
        self,
        forward: "PulseMeter | Quadrature",
        backward: "PulseMeter | None" = None,
        battery: "Battery | None" = None,
        tamper: "Tamper | None" = None,
    ):
        self._forward = forward
        self._backward = backward or getattr(forward, "back", None)
        self._battery = battery
        self._tamper = tamper
        self._inputs = water_meter.Inputs()
        if battery is not None:
            self._inputs.low_mv = battery.low_mv

    def begin(self, wanted: "Settings", totals: "tuple[int, ...] | None") -> None:
        """Make the asset; its totals go on."""
        self.asset = water_meter.WaterMeter(totals or (), self._forward.weight)

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "Events":
        """One tick at `uptime_ms`."""
        inputs = self._inputs
        inputs.forward, inputs.backward = self.take()
        if self._battery is not None:
            inputs.battery_mv = self._battery.millivolts(uptime_ms)
        if self._tamper is not None:
            inputs.tampered = self._tamper.broken(uptime_ms)
        return self.asset.step(uptime_ms, inputs, street_ms)

    def take(self) -> "tuple[int, int]":
        """New pulses, forward and backward."""
        backward = self._backward
        return self._forward.take(), 0 if backward is None else backward.take()

    def configure(self, wanted: "Settings") -> None:
        """A meter has nothing to configure but its reports."""
