"""The sections of a gateway's config file: one dataclass each, with what each key may hold.

A new section is a dataclass here and a field in `Config`; references between sections are checked
in `crossings`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from kerbline.config.air import Air
from kerbline.config.district import District
from kerbline.config.enrolment import EnrolmentLine
from kerbline.config.firmware import Firmware
from kerbline.config.iota import Iota
from kerbline.config.light import (
    Calendar,
    ControlProgram,
    LampGroup,
    Light,
    LightingClass,
    PowerCap,
)
from kerbline.config.light_rules import Rule
from kerbline.config.modbus import ModbusBus
from kerbline.config.ngsi_ld import NgsiLd
from kerbline.config.reader import Key
from kerbline.config.rules import (
    Between,
    ClockTable,
    DimmingProfile,
    Filled,
    Folder,
    KeyFile,
    Matching,
    OneOf,
    SecretFile,
)
from kerbline.config.serial import SerialDevice
from kerbline.config.terms import DEFAULT_BAUD as DEFAULT_BAUD
from kerbline.config.terms import (
    HOST,
    PORT,
    Baud,
    Host,
    Name,
    NodeId,
    Percent,
    Personal,
    TcpPort,
)
from kerbline.config.tls import Tls
from kerbline.operations import OPERATIONS

UDP = "udp"


@dataclass(frozen=True, slots=True)
class Gateway:
    """Who this gateway is and where it keeps what must survive a restart."""

    id: Name
    state_dir: Annotated[Path, Folder()]
    profiles: Annotated[Path, Folder()] | None = None  # of Modbus devices, before the shipped ones


@dataclass(frozen=True, slots=True)
class City:
    """Whose entities these are: with this section the gateway keeps a registry of assets."""

    id: Annotated[str, Matching(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}", "1 to 32 letters, digits and -")]
    owner: Annotated[
        str, Matching(r"[^\x00-\x1f\x7f]{0,200}", "one line of up to 200 characters")
    ] = ""
    min_households: Annotated[int, Between(3, 10_000)] = 5  # in a sum of water, or it stays
    zone_wait_h: Annotated[int, Between(1, 168)] = 30  # for meters that report late


@dataclass(frozen=True, slots=True)
class Simulation:
    """Only in a simulation: street time runs by this table."""

    clock_table: Annotated[Path, ClockTable()]


@dataclass(frozen=True, slots=True)
class Store:
    """When the durable log commits and how large it may grow."""

    commit_readings: Annotated[int, Between(1, 10_000)] = 100
    commit_interval_s: Annotated[float, Between(0.01, 600)] = 10.0
    max_bytes: Annotated[int, Between(1_000_000, 1_000_000_000_000)] = 2_000_000_000
    keep_days: Annotated[int, Between(1, 3_650)] = 90


@dataclass(frozen=True, slots=True)
class Mqtt:
    """The broker that gets every reading and gives the commands."""

    host: Host
    port: TcpPort = 1883
    prefix: Annotated[
        str,
        Matching(
            r"[A-Za-z0-9_-]{1,32}(/[A-Za-z0-9_-]{1,32}){0,2}",
            "up to 3 levels of letters, digits, - and _, parted by /",
        ),
    ] = "kerbline"
    username: str = ""
    password_file: Annotated[Path, SecretFile()] | None = None
    tls: Tls | None = None
    backoff_max_s: Annotated[float, Between(0.1, 3_600)] = 300.0
    payload: Annotated[str, OneOf("json", "cbor")] = "json"
    ack: Annotated[str, OneOf("broker", "application")] = "broker"
    operations: tuple[Annotated[str, OneOf(*OPERATIONS)], ...] = tuple(OPERATIONS)
    priority: Annotated[str, OneOf("control", "operator", "safety")] = "operator"
    personal: Personal = "zones"


@dataclass(frozen=True, slots=True)
class File:
    """Files that get every reading, a JSON object a line."""

    name: Name
    folder: Annotated[Path, Folder()]
    max_bytes: Annotated[int, Between(100_000, 1_000_000_000_000)] = 10_000_000
    max_age_s: Annotated[float, Between(1, 366 * 86_400)] = 86_400.0
    keep_files: Annotated[int, Between(2, 100_000)] = 30
    personal: Personal = "zones"


@dataclass(frozen=True, slots=True)
class Udp:
    """Where nodes reach us by datagram; without this section no port is open."""

    listen: Annotated[str, Matching(rf"{HOST}:{PORT}", '"host:port"')]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True)
class Node:
    """A node of ours, the asset it serves and the line it hangs on (`port` "udp": any datagram).

    `bus`: an RS-485 line, which all nodes with that port share.
    """

    id: NodeId
    asset: Name
    kind: Annotated[str, OneOf("streetlight", "water_meter", "air_quality")]
    key_file: Annotated[Path, KeyFile()]
    port: Annotated[
        str,
        Matching(
            rf"/[^\x00-\x20]{{1,250}}|socket://{HOST}:{PORT}|{UDP}",
            '"/dev/...", "socket://host:port" or "udp"',
        ),
    ]
    baud: Baud = DEFAULT_BAUD
    bus: bool = False
    report_s: Annotated[int, Between(1, 86_400)] | None = None
    profile: Annotated[tuple[tuple[int, ...], ...], DimmingProfile()] = ()


@dataclass(frozen=True, slots=True)
class Dimming:
    """A corridor of lamps, in their order along the street, that are full where people may be.

    Metres along the street: `spacing_m` from each lamp to the next, or `positions_m` of each.
    """

    lamps: Annotated[tuple[Name, ...], Filled()]
    sensor_range_m: Annotated[float, Between(1, 100)]
    spacing_m: Annotated[float, Between(1, 500)] | None = None
    positions_m: tuple[Annotated[float, Between(-100_000, 100_000)], ...] = ()
    reach_m: Annotated[float, Between(1, 1_000)] = 60.0
    full_pct: Percent = 100
    hold_s: Annotated[int, Between(2, 3_600)] = 30
    sensor_misses: Annotated[int, Between(0, 2)] = 1  # in a row that somebody may pass unseen
    speed_change_pct: Annotated[float, Between(0, 90)] = 30.0  # from one sensor to the next
    slowest_mps: Annotated[float, Between(0.1, 5)] = 0.7
    fastest_mps: Annotated[float, Between(6, 100)] = 40.0
    busy_s: Annotated[int, Between(10, 86_400)] = 3_600  # seeing for longer: not believed

    @property
    def places_m(self) -> tuple[float, ...]:
        """Where each lamp stands."""
        spacing_m = self.spacing_m or 0.0
        return self.positions_m or tuple(spacing_m * lamp for lamp in range(len(self.lamps)))


@dataclass(frozen=True, slots=True)
class Leak:
    """A flow at `meter` that never rests for so long is a leak (street time)."""

    meter: Name
    continuous_flow_h: Annotated[float, Between(0.1, 168)] = 6.0


@dataclass(frozen=True, slots=True)
class Config:
    """A whole config file, every rule kept; paths are absolute."""

    gateway: Gateway
    city: City | None = None
    simulation: Simulation | None = None
    store: Store = field(default_factory=Store)
    firmware: Firmware | None = None
    mqtt: Mqtt | None = None
    files: Annotated[tuple[File, ...], Key("file")] = ()
    brokers: Annotated[tuple[NgsiLd, ...], Key("ngsi_ld")] = ()
    agents: Annotated[tuple[Iota, ...], Key("iota")] = ()
    udp: Udp | None = None
    nodes: Annotated[tuple[Node, ...], Key("node")] = ()
    enrolments: Annotated[tuple[EnrolmentLine, ...], Key("enrolment")] = ()
    buses: Annotated[tuple[ModbusBus, ...], Key("modbus")] = ()
    serials: Annotated[tuple[SerialDevice, ...], Key("serial")] = ()
    corridors: Annotated[tuple[Dimming, ...], Key("dimming")] = ()
    leaks: Annotated[tuple[Leak, ...], Key("leak")] = ()
    districts: Annotated[tuple[District, ...], Key("district")] = ()
    air: Air | None = None
    light: Light | None = None
    calendars: Annotated[tuple[Calendar, ...], Key("calendar")] = ()
    programs: Annotated[tuple[ControlProgram, ...], Key("control_program")] = ()
    lamp_groups: Annotated[tuple[LampGroup, ...], Key("lamp_group")] = ()
    lighting_classes: Annotated[tuple[LightingClass, ...], Key("lighting_class")] = ()
    power_caps: Annotated[tuple[PowerCap, ...], Key("power_cap")] = ()
    rules: Annotated[tuple[Rule, ...], Key("rule")] = ()
