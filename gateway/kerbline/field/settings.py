"""A node's settings file, S.toml: what a technician writes for one node."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from kerbline.boards import Board, LinkSettings, check_settings
from kerbline.boards.chips import Pin
from kerbline.config import document
from kerbline.config.faults import Complaint, ConfigFault, Path, shown
from kerbline.config.reader import Reader
from kerbline.config.rules import (
    KEY_BYTES,
    Between,
    DimmingProfile,
    OneOf,
    read_secret,
)
from kerbline.config.sections import DEFAULT_BAUD
from kerbline.config.terms import NodeId

KINDS = ("streetlight", "water_meter", "air_quality")
_HEX = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")


class FirstKey:
    """32 hex digits that look drawn by chance; no complaint tells what stands there."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge a text."""
        make = "draw one: python3 -c 'import secrets; print(secrets.token_hex(16))'"
        if not isinstance(value, str) or not _HEX.fullmatch(value):
            return Complaint("is no key", f"write exactly 32 hex digits; {make}")
        key = bytes.fromhex(value)
        steps = {(after - before) % 256 for before, after in itertools.pairwise(key)}
        halves = any(key == key[:size] * (KEY_BYTES // size) for size in (1, 2, 4, 8))
        if halves or len(steps) == 1:
            return Complaint("is a key that anybody may guess", make)
        return None


class LightOutput:
    """Steps of [the lamp's hours on, percent of its power] in rising order."""

    __slots__ = ()
    STEPS, HOURS = 16, 500_000
    LEAST = 30  # percent, as the node's checking.py has it

    def judge(self, value: object) -> Complaint | None:
        """Judge a tuple of tuples."""
        assert isinstance(value, tuple)
        hours = [step[0] for step in value if len(step) == 2 and self.LEAST <= step[1] <= 100]
        rising = all(a < b for a, b in itertools.pairwise([-1, *hours, self.HOURS + 1]))
        if 1 <= len(value) <= self.STEPS and len(hours) == len(value) and rising:
            return None
        step = f"[0 to {self.HOURS}, {self.LEAST} to 100]"
        form = f"write 1 to {self.STEPS} steps {step} in rising order"
        return Complaint("are no steps of constant light output", form)


class Address:
    """The gateway's "host:port"."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge a text."""
        assert isinstance(value, str)
        found = re.fullmatch(r"[A-Za-z0-9._-]{1,253}:([0-9]{1,5})", value)
        if found and 1 <= int(found[1]) <= 65_535:
            return None
        return Complaint(f"{shown(value)} is no address", 'write "host:port", port 1 to 65535')


@dataclass(frozen=True, slots=True)
class Octets:
    """A text of so many bytes in UTF-8, none of them zero; no complaint tells what stands there.

    The lengths are those of IEEE 802.11: an SSID (9.4.2.2) and a WPA passphrase (J.4.1).
    """

    low: int
    high: int
    or_empty: bool = False

    def judge(self, value: object) -> Complaint | None:
        """Judge a text."""
        assert isinstance(value, str)
        length = len(value.encode())
        if "\0" not in value and (
            self.low <= length <= self.high or (self.or_empty and not length)
        ):
            return None
        form = f"write {self.low} to {self.high} bytes"
        open_too = ', or "" for an open network' if self.or_empty else ""
        return Complaint(f"has {length} bytes or a zero byte", form + open_too)


@dataclass(frozen=True, slots=True)
class Wifi:
    """The network of a node on UDP."""

    ssid: Annotated[str, Octets(1, 32)]
    password: Annotated[str, Octets(8, 63, or_empty=True)] = field(default="", repr=False)


# Which links a key is for, where it is not for all.
LINKS_OF = {
    "uart": ("uart", "rs485"),
    "tx": ("uart", "rs485"),
    "rx": ("uart", "rs485"),
    "de": ("rs485",),
    "gateway": ("udp",),
    "wifi": ("udp",),
}


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The whole file; pins and UART override the board's."""

    node_id: NodeId
    key_hex: Annotated[str, FirstKey()] = field(repr=False)
    asset: Annotated[str, OneOf(*KINDS)]
    link: Annotated[str, OneOf("uart", "rs485", "udp")]
    uart: Annotated[int, Between(0, 9)] | None = None
    tx: Annotated[int, Between(0, 99)] | None = None
    rx: Annotated[int, Between(0, 99)] | None = None
    de: Annotated[int, Between(0, 99)] | None = None
    baud: Annotated[int, OneOf(9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)] = (
        DEFAULT_BAUD
    )
    gateway: Annotated[str, Address()] | None = None
    wifi: Wifi | None = None
    build: Annotated[str, OneOf("release", "debug")] = "release"
    report_s: Annotated[int, Between(1, 86_400)] | None = None
    position: tuple[float, ...] | None = None
    profile: Annotated[tuple[tuple[int, ...], ...], DimmingProfile()] | None = None
    clo: Annotated[tuple[tuple[int, ...], ...], LightOutput()] | None = None
    night_deg: Annotated[float, Between(-12, 6)] | None = None
    dusk_min: Annotated[int, Between(-720, 720)] | None = None
    dawn_min: Annotated[int, Between(-720, 720)] | None = None
    motion_pct: Annotated[int, Between(1, 100)] | None = None
    motion_hold_s: Annotated[int, Between(1, 3600)] | None = None

    @property
    def key(self) -> bytes:
        """The node's first key."""
        return bytes.fromhex(self.key_hex)


def load(path: pathlib.Path, board: Board) -> tuple[NodeSettings, Board]:
    """The checked settings, and the board with that asset and link alone.

    Raises ConfigFault with every fault, at file, line and key.
    """
    private = read_secret(path)
    reader, table = document.opened(path)
    if isinstance(private, Complaint):
        reader.complain((), private.problem, private.remedy)
    return checked(reader, table, board)


def checked(
    reader: Reader, table: Mapping[str, object], board: Board, at: Path = ()
) -> tuple[NodeSettings, Board]:
    """The same of a table that stands at `at` in the file that `reader` reads."""
    made = reader.section(NodeSettings, table, at)
    if not reader.faults:
        assert isinstance(made, NodeSettings)
        for name, links in LINKS_OF.items():
            if getattr(made, name) is not None and made.link not in links:
                problem = f"is nothing for link {made.link!r}"
                remedy = f"remove it, or write link = {' or '.join(map(repr, links))}"
                reader.complain((*at, name), problem, remedy)
        if made.link == "udp":
            if not made.gateway:
                reader.complain((*at, "gateway"), "is missing", 'write gateway = "host:port"')
            if made.wifi is None:
                problem, remedy = "is missing", 'write wifi = {ssid = "...", password = "..."}'
                reader.complain((*at, "wifi"), problem, remedy)
        if made.position is not None and not _on_earth(made.position):
            problem = "is no place"
            reader.complain((*at, "position"), problem, "write [latitude, longitude] in degrees")
    if reader.faults:
        raise ConfigFault(reader.faults)
    assert isinstance(made, NodeSettings)
    names: list[str] = ["uart", "tx", "rx", "de"]
    given: dict[str, Pin | None] = {name: getattr(made, name) for name in names}
    board = check_settings(board, LinkSettings(made.asset, made.link, **given), reader)
    return made, board


def _on_earth(position: tuple[float, ...]) -> bool:
    return len(position) == 2 and abs(position[0]) <= 90 and abs(position[1]) <= 180


def for_node(settings: NodeSettings, board: Board) -> dict[str, object]:
    """What the node keeps of it: what the file says but the secrets, and the link's own UART."""
    apart = {"key_hex", "wifi"}
    said = {
        each.name: value
        for each in dataclasses.fields(settings)
        if each.name not in apart
        and (value := getattr(settings, each.name)) not in (None, "", each.default)
    }
    said["baud"] = settings.baud
    line = board.links.uart or board.links.rs485
    if line is not None and line.uart is not None:
        said["uart"] = line.uart
    return said
