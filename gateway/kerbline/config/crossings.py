"""What sections say of each other: names given once, and references that lead somewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

from kerbline.config import air, district, faults, iota, ngsi_ld
from kerbline.config.awaited import joinable
from kerbline.config.reader import Reader
from kerbline.config.sections import DEFAULT_BAUD, UDP
from kerbwire.limits import BUS_NODES

Found = tuple[faults.Path, object]


def check(reader: Reader) -> None:
    """Keep a fault for each name given twice and each reference to nothing."""
    devices = ("modbus", "*", "device", "*")
    lamps = list(reader.select("dimming", "*", "lamps", "*"))
    meters = list(reader.select("leak", "*", "meter"))
    node_lines = _bus(reader)
    once(reader, reader.select("file", "*", "name"))
    once(reader, reader.select("ngsi_ld", "*", "name"))
    once(reader, reader.select("iota", "*", "name"))
    _folders(reader)
    own = list(reader.select("gateway", "id"))  # what it says of itself is known by that
    once(reader, [*own, *reader.select("node", "*", "id")])
    once(reader, [*own, *_assets(reader)])
    once(
        reader,
        [
            *node_lines,
            *reader.select("enrolment", "*", "port"),
            *reader.select("modbus", "*", "port"),
            *reader.select("serial", "*", "port"),
        ],
    )
    once(reader, reader.select("serial", "*", "name"))
    once(reader, reader.select("modbus", "*", "name"))
    once(reader, reader.select(*devices, "unit"), within=2)
    once(reader, lamps)
    once(reader, meters)
    once(reader, reader.select("district", "*", "zone"))
    once(reader, reader.select("district", "*", "inflow", "*"))
    once(reader, reader.select("district", "*", "outflow", "*"))
    once(reader, reader.select("district", "*", "meters", "*"))
    once(reader, reader.select("air", "stations", "*"))
    once(reader, reader.select("air", "together", "*"))
    once(reader, reader.select("air", "threshold", "*", "name"))
    may_join = joinable(reader)
    refer(reader, lamps, "streetlight", may_join)
    _along(reader)
    refer(reader, meters, "water_meter", may_join)
    _udp(reader)
    _framer(reader)
    _tls(reader)
    _personal(reader)
    ngsi_ld.check(reader)
    iota.check(reader)
    district.check(reader, may_join)
    air.check(reader, may_join)


def _assets(reader: Reader) -> Iterable[Found]:
    """Whom anything measures."""
    yield from reader.select("node", "*", "asset")
    yield from reader.select("modbus", "*", "device", "*", "asset")
    yield from reader.select("serial", "*", "asset")
    yield from reader.select("serial", "*", "assets", "*")


def _folders(reader: Reader) -> None:
    """Each folder of files is its own: apart from the other ones, and from the store's."""
    others = list(reader.select("gateway", "state_dir"))
    for path, folder in reader.select("file", "*", "folder"):
        assert isinstance(folder, Path)
        here = folder.resolve()
        for before, other in others:
            assert isinstance(other, Path)
            there = other.resolve()
            if here.is_relative_to(there) or there.is_relative_to(here):
                where = f"{faults.spelled(before)}, line {reader.line(before)}"
                problem = f"{faults.shown(folder)} overlaps {where}"
                reader.complain(path, problem, "write a folder apart")
                break
        others.append((path, folder))


def _along(reader: Reader) -> None:
    """Each corridor says where its lamps stand, once, and in their order."""
    for path, lamps in reader.select("dimming", "*", "lamps"):
        assert isinstance(lamps, tuple)
        places, spacing = (*path[:-1], "positions_m"), (*path[:-1], "spacing_m")
        if reader.has(places) and reader.has(spacing):
            reader.complain(spacing, "positions_m says where the lamps stand", "leave one out")
        elif reader.has(places):
            found = [value for _, value in reader.select(*places, "*") if isinstance(value, float)]
            if len(found) != len(lamps):
                problem = f"{len(found)} positions of {len(lamps)} lamps"
                reader.complain(places, problem, "write one for each lamp, in their order")
            elif any(a >= b for a, b in pairwise(found)):
                remedy = "name the lamps in their order along the street"
                reader.complain(places, "positions do not rise", remedy)
        elif not reader.has(spacing):
            problem = "nothing says where the lamps stand"
            remedy = "add spacing_m, or positions_m with a place for each"
            reader.complain(path[:-1], problem, remedy)


def _bus(reader: Reader) -> list[Found]:
    """The lines that nodes have to themselves, and each bus once; its nodes agree on the baud."""
    shared = {path[:-1] for path, value in reader.select("node", "*", "bus") if value is True}
    bauds = dict(reader.select("node", "*", "baud"))
    lines: list[Found] = []
    buses: dict[object, list[faults.Path]] = {}
    for path, port in reader.select("node", "*", "port"):
        node = path[:-1]
        if port == UDP and node in shared:
            reader.complain((*node, "bus"), "datagrams have no bus", "leave it out")
        elif port != UDP and not (node in shared and port in buses):
            lines.append((path, port))
        if node in shared:
            buses.setdefault(port, []).append(node)
    for nodes in buses.values():
        speed = bauds.get((*nodes[0], "baud"), DEFAULT_BAUD)
        for node in nodes[1:]:
            baud = bauds.get((*node, "baud"), DEFAULT_BAUD)
            if baud != speed:
                where = f"the bus has {speed} by {faults.spelled(nodes[0])}"
                reader.complain((*node, "baud"), f"{where}, not {baud}", f"write {speed}")
        if len(nodes) > BUS_NODES:
            problem = f"a bus has room for {BUS_NODES} nodes"
            reader.complain((*nodes[BUS_NODES], "port"), problem, "hang it on another one")
    return lines


def once(reader: Reader, found: Iterable[Found], within: int = 0) -> None:
    """A value may stand once among all whose paths begin with the same `within` parts."""
    first: dict[object, faults.Path] = {}
    for path, value in found:
        before = first.setdefault((path[:within], value), path)
        if before != path:
            where = f"{faults.spelled(before)}, line {reader.line(before)}"
            problem = f"{faults.shown(value)} stands at {where} already"
            reader.complain(path, problem, "write another one")


def refer(
    reader: Reader, found: Iterable[Found], kind: str, may_join: Callable[[object], bool]
) -> None:
    """Each value is the asset of a node of that kind, or of one that may join."""
    kinds = dict(reader.select("node", "*", "kind"))
    assets = {
        asset: kinds.get((*path[:-1], "kind"))
        for path, asset in reader.select("node", "*", "asset")
    }
    fitting = [str(asset) for asset, its_kind in assets.items() if its_kind == kind]
    for path, asset in found:
        if assets[asset] in (kind, None) if asset in assets else may_join(asset):
            continue
        problem = f"is a {assets[asset]}" if asset in assets else "is no node's asset"
        reader.complain(path, f"{faults.shown(asset)} {problem}", _offer(kind, fitting))


def _offer(kind: str, fitting: list[str]) -> str:
    if not fitting:
        return f"add a [[node]] of kind {kind}"
    more = ", ..." if len(fitting) > 8 else ""
    return f"write a {kind}: {', '.join(sorted(fitting)[:8])}{more}"


def _udp(reader: Reader) -> None:
    if any(reader.select("udp", "listen")):
        return
    for path, value in reader.select("node", "*", "port"):
        if value == UDP:
            reader.complain(
                path, "no [udp] section opens a port for it", 'add [udp] with listen = "host:port"'
            )
            return


def _framer(reader: Reader) -> None:
    """Modbus TCP frames travel over a connection; RTU ones over either."""
    ports = dict(reader.select("modbus", "*", "port"))
    for path, framer in reader.select("modbus", "*", "framer"):
        port = ports.get((*path[:-1], "port"))
        if framer == "tcp" and port is not None and not str(port).startswith("socket://"):
            problem = f"tcp does not go over the serial line {faults.shown(port)}"
            reader.complain(path, problem, 'write "rtu", or a port "socket://host:port"')


def _personal(reader: Reader) -> None:
    """Without a city nobody knows what is personal: all of it would leave, whatever stands here."""
    if any(reader.select("city", "id")):
        return
    for path, _ in (*reader.select("mqtt", "personal"), *reader.select("file", "*", "personal")):
        problem = "there is no [city], so everything leaves by this sink"
        reader.complain(path, problem, 'add [city] with id = "...", or leave this out')


def _tls(reader: Reader) -> None:
    """A certificate and its key belong together."""
    certs = _tls_files(reader, "cert")
    keys = _tls_files(reader, "key")
    for path in keys:
        if not reader.has((*path[:-1], "cert")):
            reader.complain(path, "there is no certificate to it", 'add cert = "..."')
    for path, cert in certs.items():
        beside = (*path[:-1], "key")
        key = keys.get(beside)
        if reader.has(beside) and key is None:
            continue  # told already
        from kerbline.config.certificates import mismatch  # only for a config with TLS

        assert isinstance(cert, Path) and (key is None or isinstance(key, Path))
        complaint = mismatch(cert, key)
        if complaint is not None:
            reader.complain(beside if key else path, complaint.problem, complaint.remedy)


def _tls_files(reader: Reader, key: str) -> dict[faults.Path, object]:
    """However deep the section stands."""
    found = reader.accepted.items()
    return {path: each for path, each in found if path[-2:] == ("tls", key)}
