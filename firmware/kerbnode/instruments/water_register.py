"""The water meter with its drivers: pulses forward and backward, and the cell."""

from kerbnode.assets import water_meter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.drivers.battery import Battery
    from kerbnode.drivers.pulses import PulseMeter
    from kerbnode.instruments import Events
    from kerbnode.settings import Settings


class WaterRegister:
    """The pulse outputs of a meter's register, and its cell."""

    def __init__(self, forward: "PulseMeter", backward: "PulseMeter", battery: "Battery"):
        self._forward = forward
        self._backward = backward
        self._battery = battery
        self._inputs = water_meter.Inputs()

    def begin(self, wanted: "Settings", totals: "tuple[int, ...] | None") -> None:
        """Make the asset; its totals go on."""
        self.asset = water_meter.WaterMeter(totals or (0, 0))

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "Events":
        """One tick at `uptime_ms`."""
        inputs = self._inputs
        inputs.forward_l = self._forward.litres()
        inputs.backward_l = self._backward.litres()
        inputs.battery_mv = self._battery.millivolts()
        return self.asset.step(uptime_ms, inputs)

    def configure(self, wanted: "Settings") -> None:
        """A meter has nothing to configure but its reports."""
