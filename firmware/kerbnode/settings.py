"""Who this node is and how it reports: one checked blob, and the link key beside it."""

import json
from struct import pack, unpack

from kerbnode import nvs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbnode.hal.board import Nvs

KEY_BYTES = 16
NODE_ID_BYTES = 16
KINDS = ("streetlight", "water_meter", "air_quality")
LINKS = ("uart", "udp")
BAUDS = (9600, 921_600)
REPORT_S = (1, 86_400)
PROFILE_STEPS = 16
# Minutes from the middle of the night, and the level from then on: full light in the evening,
# 30 % from two hours before the middle of the night until five hours after it.
PROFILE = ((-720, 100), (-120, 30), (300, 100))


class SettingsError(Exception):
    """The settings can't be used; `code` is missing, damaged, or the name of the bad key."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Settings:
    """Every setting, checked; `position` is (latitude, longitude) in degrees, or None."""

    __slots__ = (
        "asset",
        "baud",
        "gateway",
        "link",
        "node_id",
        "position",
        "profile",
        "report_s",
        "uart",
    )

    def __init__(self, given: "dict[str, object]"):
        for name in given:
            if name not in self.__slots__:
                raise SettingsError(name)
        node_id = given.get("node_id")
        if not isinstance(node_id, str) or not 1 <= len(node_id.encode()) <= NODE_ID_BYTES:
            raise SettingsError("node_id")
        self.node_id = node_id
        self.asset = _one_of(given, "asset", KINDS)
        self.link = _one_of(given, "link", LINKS)
        self.baud = _within(given.get("baud", 115200), BAUDS, "baud")
        self.uart = _uart(given.get("uart", 1))
        self.gateway = _address(given.get("gateway", "")) if self.link == "udp" else None
        self.report_s = _within(given.get("report_s", 900), REPORT_S, "report_s")
        self.profile = _profile(given.get("profile") or PROFILE)
        self.position = _position(given.get("position"))


def load(store: "Nvs") -> Settings:
    """The node's settings; SettingsError when they can't be used."""
    body = nvs.get_checked(store, "settings")
    if body is None:
        raise SettingsError("missing" if store.get("settings") is None else "damaged")
    try:
        given = json.loads(body)
    except ValueError:
        raise SettingsError("damaged")
    if not isinstance(given, dict):
        raise SettingsError("damaged")
    return Settings(given)


def load_key(store: "Nvs") -> "tuple[int, bytes]":
    """(generation, key) of the link; SettingsError("key") without one."""
    blob = store.get("key")
    if blob is None or len(blob) != 4 + KEY_BYTES:
        raise SettingsError("key")
    return unpack(">I", blob[:4])[0], bytes(blob[4:])


def store_key(store: "Nvs", generation: int, key: bytes) -> None:
    """Keep both in one blob, which has no last-good copy: an old key never comes back."""
    store.set("key", pack(">I", generation) + key)


def _one_of(given: "dict[str, object]", name: str, choices: "tuple[str, ...]") -> str:
    value = given.get(name, choices[0])
    if value not in choices:
        raise SettingsError(name)
    return str(value)


def _within(value: object, bounds: "tuple[int, int]", name: str) -> int:
    if not isinstance(value, int) or not bounds[0] <= value <= bounds[1]:
        raise SettingsError(name)
    return value


def _uart(value: object) -> "int | str":
    """A UART's number, or the path of a pty."""
    if not isinstance(value, (int, str)):
        raise SettingsError("uart")
    return value


def _address(value: object) -> "tuple[str, int]":
    host, _, port = str(value).rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError("gateway")
    return host, int(port)


def _profile(steps: object) -> "tuple[tuple[int, int], ...]":
    """Steps in rising order of minutes, so that a look-up is one walk."""
    if not isinstance(steps, (list, tuple)) or not 0 < len(steps) <= PROFILE_STEPS:
        raise SettingsError("profile")
    checked: list[tuple[int, int]] = []
    for step in steps:
        if not isinstance(step, (list, tuple)) or len(step) != 2:
            raise SettingsError("profile")
        minute = _within(step[0], (-720, 720), "profile")
        if checked and minute <= checked[-1][0]:
            raise SettingsError("profile")
        checked.append((minute, _within(step[1], (0, 100), "profile")))
    return tuple(checked)


def _position(value: object) -> "tuple[float, float] | None":
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise SettingsError("position")
    latitude, longitude = float(value[0]), float(value[1])
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise SettingsError("position")
    return latitude, longitude


def next_boot_id(store: "Nvs", random: "Callable[[int], bytes]") -> int:
    """A number for this boot: counted on, from a random start so that lost NVS repeats none."""
    blob = store.get("boot")
    last = unpack(">I", blob)[0] if blob and len(blob) == 4 else unpack(">H", random(2))[0]
    boot_id: int = last % 0xFFFF_FFFF + 1
    store.set("boot", pack(">I", boot_id))
    return boot_id
