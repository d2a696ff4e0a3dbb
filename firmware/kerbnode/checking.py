"""Whether settings and CONFIGs are what a node can live by, and how they are kept.

Loaded at the start and for a CONFIG (settings.py); what stays in memory is their result.
"""

import json

from kerbnode import nvs
from kerbnode.settings import Settings, SettingsError
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Nvs
    from kerbnode.settings import Own

NODE_ID_BYTES = 16
KINDS = ("streetlight", "water_meter", "air_quality")
LINKS = ("uart", "rs485", "udp")
BAUDS = (9600, 921_600)
BUILDS = ("release", "debug")
PINS = (0, 54)
REPORT_S = (1, 86_400)
PROFILE_STEPS = 16
MINUTES = (-720, 720)
CLO_HOURS = (0, 500_000)
CLO_LEAST = 30  # no lamp is made so much too bright
NIGHT_DEG = (-12, 6)  # beyond -12 a street is dark long before, above 6 it is day
SHIFT_MIN = (-720, 720)
MOTION_PCT = (1, 100)
MOTION_S = (1, 3600)
# Minutes from the middle of the night, and the level from then on: full light in the evening,
# 30 % from two hours before the middle of the night until five hours after it.
PROFILE = ((-720, 100), (-120, 30), (300, 100))
MADE: "Own" = (900, PROFILE, (-2.5, 0, 0), (100, 20), ())  # what a node has by itself
KEYS = (
    "asset",
    "baud",
    "build",
    "clo",
    "dawn_min",
    "de",
    "dusk_min",
    "gateway",
    "link",
    "motion_hold_s",
    "motion_pct",
    "night_deg",
    "node_id",
    "position",
    "profile",
    "report_s",
    "rx",
    "tx",
    "uart",
)
# A CONFIG's key, its name in settings, and in how many parts it travels.
NUMBERS = (
    (m.CONFIG_REPORT_S, "report_s", 1),
    (m.CONFIG_NIGHT_CDEG, "night_deg", 100),
    (m.CONFIG_DUSK_MIN, "dusk_min", 1),
    (m.CONFIG_DAWN_MIN, "dawn_min", 1),
    (m.CONFIG_MOTION_PCT, "motion_pct", 1),
    (m.CONFIG_MOTION_S, "motion_hold_s", 1),
)


def fill(wanted: Settings, given: "dict[str, object]") -> None:
    """All values from the settings' JSON; SettingsError names the key that is wrong."""
    for name in given:
        if name not in KEYS:
            raise SettingsError(name)
    node_id = given.get("node_id")
    if not isinstance(node_id, str) or not 1 <= len(node_id.encode()) <= NODE_ID_BYTES:
        raise SettingsError("node_id")
    wanted.node_id = node_id
    wanted.asset = _one_of(given, "asset", KINDS)
    wanted.link = _one_of(given, "link", LINKS)
    wanted.baud = _within(given.get("baud", 115200), BAUDS, "baud")
    wanted.build = _one_of(given, "build", BUILDS)
    wanted.uart = _uart(given.get("uart"))
    wanted.tx = _pin(given, "tx")
    wanted.rx = _pin(given, "rx")
    wanted.de = _pin(given, "de")
    wanted.gateway = _address(given.get("gateway", "")) if wanted.link == "udp" else None
    wanted.own = _changes(MADE, given)  # without a CONFIG
    wanted.report_s, wanted.profile, wanted.night, wanted.motion, wanted.clo = wanted.own
    wanted.position = _position(given.get("position"))
    wanted.config_version = 0  # of the gateway's CONFIG over it
    wanted.restored = ""  # "settings", "config", of which a last good copy is in use, or "unread"


def load(store: "Nvs") -> Settings:
    """The node's settings, else their last good copy; SettingsError of the first without one.

    OSError where NVS does not answer.
    """
    try:
        wanted = _read(store, "settings")
    except (OSError, SettingsError) as error:
        try:
            wanted = _read(store, "settings_was")
        except SettingsError:
            raise error
        wanted.restored = "settings" if isinstance(error, SettingsError) else "unread"
    from kerbnode import identity

    try:
        known = identity.known(store, wanted)
        if not known:
            identity.leave(store, wanted)
    except OSError:
        known = False  # unread or worn out: kerbnode.assembly decides
    for name in ("config", "config_was") if known else ():
        try:
            config = _kept_config(store, wanted, name)
            missing = store.get(name) in (None, identity.NOTHING)
        except OSError:
            config, missing = None, False
        if config is not None:
            _overlay(wanted, config)
            break
        if not wanted.restored and not missing:
            wanted.restored = "config"
    return wanted


def _read(store: "Nvs", name: str) -> Settings:
    body = nvs.get_checked(store, name)
    if body is None:
        raise SettingsError("missing" if store.get(name) is None else "damaged")
    try:
        given = json.loads(body)
    except ValueError:
        raise SettingsError("damaged")
    if not isinstance(given, dict):
        raise SettingsError("damaged")
    return Settings(given)


def configure(
    store: "Nvs", wanted: Settings, version: int, values: "dict[int, int | bytes]"
) -> int:
    """Take a CONFIG whole, durably, or nothing of it; a result's code."""
    if version <= wanted.config_version:
        return m.OK if version == wanted.config_version else m.REPLAYED
    config: dict[str, object] = {"version": version}
    left = len(values)
    for key, name, parts in NUMBERS:
        if key in values:
            value = values[key]
            config[name] = value / parts if parts > 1 and isinstance(value, int) else value
            left -= 1
    for key, name, width, zero in (
        (m.CONFIG_PROFILE, "profile", 3, -720),
        (m.CONFIG_CLO, "clo", 4, 0),
    ):
        if key in values:
            config[name] = _steps(values[key], width, zero)
            left -= 1
    if left:
        return m.UNSUPPORTED
    try:
        _checked(wanted, config)
    except SettingsError:
        return m.OUT_OF_RANGE
    try:
        # A damaged one is nobody's last good one.
        if _kept_config(store, wanted, "config") is not None:
            store.set("config_was", store.get("config") or b"")
        nvs.set_checked(store, "config", json.dumps(config).encode())
    except OSError:
        return m.FAILED
    _overlay(wanted, config)
    return m.OK


def _kept_config(store: "Nvs", wanted: Settings, name: str) -> "dict[str, object] | None":
    """The CONFIG of that name, None where it can't be used."""
    body = nvs.get_checked(store, name)
    if body is None:
        return None
    try:
        config = json.loads(body)
        _checked(wanted, config)
    except (ValueError, SettingsError):
        return None
    found: dict[str, object] = config
    return found


def _checked(wanted: Settings, config: object) -> None:
    """SettingsError unless it is a CONFIG whose values are all in range."""
    if not isinstance(config, dict):
        raise SettingsError("config")
    _within(config.get("version"), (1, 0xFFFF_FFFF), "version")
    _changes(wanted.own, config)


def _overlay(wanted: Settings, config: "dict[str, object]") -> None:
    """A checked CONFIG over the node's own settings, which hold for all that it does not name."""
    wanted.config_version = _within(config["version"], (1, 0xFFFF_FFFF), "version")
    changed = _changes(wanted.own, config)
    wanted.report_s, wanted.profile, wanted.night, wanted.motion, wanted.clo = changed


def _changes(own: "Own", given: "dict[str, object]") -> "Own":
    """The settings that a CONFIG may change: `own`, but for those that are given."""
    report_s, profile, (night_deg, dusk_min, dawn_min), (pct, hold_s), clo = own
    if given.get("profile") or "version" in given:
        profile = _profile(given.get("profile", profile))
    if "clo" in given:
        clo = _profile(given["clo"], "clo", CLO_HOURS, CLO_LEAST) if given["clo"] else ()
    deg = given.get("night_deg", night_deg)
    if not isinstance(deg, (int, float)) or not NIGHT_DEG[0] <= deg <= NIGHT_DEG[1]:
        raise SettingsError("night_deg")
    return (
        _within(given.get("report_s", report_s), REPORT_S, "report_s"),
        profile,
        (
            deg,
            _within(given.get("dusk_min", dusk_min), SHIFT_MIN, "dusk_min"),
            _within(given.get("dawn_min", dawn_min), SHIFT_MIN, "dawn_min"),
        ),
        (
            _within(given.get("motion_pct", pct), MOTION_PCT, "motion_pct"),
            _within(given.get("motion_hold_s", hold_s), MOTION_S, "motion_hold_s"),
        ),
        clo,
    )


def _steps(packed: "int | bytes", width: int, zero: int) -> "list[list[int]] | int":
    """Steps of `width` bytes each, the last a percentage, of what counts from `zero`; 1 if none."""
    if isinstance(packed, int) or len(packed) % width:
        return 1
    return [
        [int.from_bytes(packed[at : at + width - 1], "big") + zero, packed[at + width - 1]]
        for at in range(0, len(packed), width)
    ]


def _one_of(given: "dict[str, object]", name: str, choices: "tuple[str, ...]") -> str:
    value = given.get(name, choices[0])
    if value not in choices:
        raise SettingsError(name)
    return str(value)


def _within(value: object, bounds: "tuple[int, int]", name: str) -> int:
    if not isinstance(value, int) or not bounds[0] <= value <= bounds[1]:
        raise SettingsError(name)
    return value


def _uart(value: object) -> "int | str | None":
    """A UART's number, or the path of a pty; None for the board's."""
    if value is not None and not isinstance(value, (int, str)):
        raise SettingsError("uart")
    return value


def _pin(given: "dict[str, object]", name: str) -> "int | None":
    """A GPIO's number; None for the board's."""
    value = given.get(name)
    return None if value is None else _within(value, PINS, name)


def _address(value: object) -> "tuple[str, int]":
    host, _, port = str(value).rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError("gateway")
    return host, int(port)


def _profile(
    steps: object, name: str = "profile", starts: "tuple[int, int]" = MINUTES, least: int = 0
) -> "tuple[tuple[int, int], ...]":
    """Steps (start, percent) in rising order of their starts, so that a look-up is one walk."""
    if not isinstance(steps, (list, tuple)) or not 0 < len(steps) <= PROFILE_STEPS:
        raise SettingsError(name)
    checked: list[tuple[int, int]] = []
    for step in steps:
        if not isinstance(step, (list, tuple)) or len(step) != 2:
            raise SettingsError(name)
        start = _within(step[0], starts, name)
        if checked and start <= checked[-1][0]:
            raise SettingsError(name)
        checked.append((start, _within(step[1], (least, 100), name)))
    return tuple(checked)


def _position(value: object) -> "tuple[float, float] | None":
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise SettingsError("position")
    try:
        latitude, longitude = float(value[0]), float(value[1])
    except (TypeError, ValueError):
        raise SettingsError("position")
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise SettingsError("position")
    return latitude, longitude
