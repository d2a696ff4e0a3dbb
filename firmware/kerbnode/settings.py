"""Who this node is and how it reports: one checked blob, and the link key beside it.

Reading and judging all that is the business of `checking`, which is loaded for it and goes again.
"""

from struct import pack, unpack

from kerbnode import loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Nvs

    Steps = tuple[tuple[int, int], ...]
    # What a CONFIG may change: report_s, profile, night, motion, clo.
    Own = tuple[int, Steps, tuple[float, int, int], tuple[int, int], Steps]

KEY_BYTES = 16


class SettingsError(Exception):
    """The settings can't be used; `code` is missing, damaged, or the name of the bad key."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Settings:
    """Every setting, checked; `position` is (latitude, longitude) in degrees, or None.

    `clo` is constant light output: percent of the lamp's power from so many of its hours on.
    `night` is the sun's height in degrees at dusk and dawn, and by how many minutes they are later;
    `motion` the percent that a motion asks for, and for how many seconds.
    `uart`, `tx`, `rx` and `de` are None where the board's own hold.
    """

    __slots__ = (
        "asset",
        "baud",
        "build",
        "clo",
        "config_version",
        "de",
        "gateway",
        "link",
        "motion",
        "night",
        "node_id",
        "own",
        "position",
        "profile",
        "report_s",
        "restored",
        "rx",
        "tx",
        "uart",
    )

    if TYPE_CHECKING:
        asset: str
        baud: int
        build: str
        clo: "tuple[tuple[int, int], ...]"
        config_version: int  # of the gateway's CONFIG over it
        de: "int | None"
        gateway: "tuple[str, int] | None"
        link: str
        motion: "tuple[int, int]"
        night: "tuple[float, int, int]"
        node_id: str
        own: Own  # without a CONFIG
        position: "tuple[float, float] | None"
        profile: "tuple[tuple[int, int], ...]"
        report_s: int
        restored: str  # "settings", "config", of which a last good copy is in use, or "unread"
        rx: "int | None"
        tx: "int | None"
        uart: "int | str | None"

    def __init__(self, given: "dict[str, object]"):
        from kerbnode import checking

        checking.fill(self, given)


def load(store: "Nvs") -> Settings:
    """The node's settings, else their last good copy; SettingsError of the first without one.

    OSError where NVS does not answer.
    """
    from kerbnode import checking

    wanted = checking.load(store)
    loaded.forget("kerbnode", ("checking",))
    return wanted


def configure(
    store: "Nvs", wanted: Settings, version: int, values: "dict[int, int | bytes]"
) -> int:
    """Take a CONFIG whole, durably, or nothing of it; a result's code."""
    from kerbnode import checking

    code = checking.configure(store, wanted, version, values)
    loaded.forget("kerbnode", ("checking",))
    return code


def load_key(store: "Nvs") -> "tuple[int, bytes]":
    """(generation, key) of the link; SettingsError("key") without one, OSError if it is unread."""
    blob = store.get("key")
    if blob is None or len(blob) != 4 + KEY_BYTES:
        raise SettingsError("key")
    return unpack(">I", blob[:4])[0], bytes(blob[4:])


def store_key(store: "Nvs", generation: int, key: bytes) -> None:
    """Keep both in one blob, which has no last-good copy: an old key never comes back."""
    store.set("key", pack(">I", generation) + key)
