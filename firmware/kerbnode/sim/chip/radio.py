"""The module network."""

from kerbnode.sim.chip.pins import Pin


class Wlan:
    """network.WLAN: at home in any Wi-Fi, or as the wiring has it; its network is the host's."""

    PM_NONE = 0

    def __init__(self, interface: int = 0):
        self._on = False

    def active(self, on: "bool | None" = None) -> bool:
        self._on = self._on if on is None else bool(on)
        return self._on

    def connect(self, *given: object, **more: object) -> None:
        pass

    def disconnect(self) -> None:
        pass

    def isconnected(self) -> bool:
        return self._on and (not Pin.wired or Pin.wired.rssi() < 0)

    def config(self, *given: object, **more: object) -> int:
        return 0

    def status(self, *given: object) -> int:
        if given == ("rssi",):
            return Pin.wired.rssi() if Pin.wired else -60
        return 1010


class Network:
    """The module network."""

    STA_IF, AP_IF = 0, 1
    WLAN = Wlan

    def hostname(self, *given: object) -> str:
        return "mpy-esp32"
