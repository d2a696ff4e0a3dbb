"""`kerbline sim`: devices that are not there, to try a config, a profile or a rig against."""

from __future__ import annotations

from pathlib import Path

import click

_FILE = click.Path(path_type=Path)


@click.group(name="sim")
def group() -> None:
    """Simulate what stands in cabinets and pits."""


@group.command()
@click.argument("profile", default="lighting-cabinet")
@click.option("--units", default="1", show_default=True, help="How many, or 3,7 or 10-19.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Modbus TCP here; 0: any port.")
@click.option("--tcp", metavar="HOST:PORT", help="Modbus TCP at this address.")
@click.option("--rtu-tcp", metavar="HOST:PORT", help="RTU over TCP at this address.")
@click.option("--pty", metavar="LINK", type=_FILE, help="RTU on a pty of this name.")
@click.option("--profiles", "folder", type=_FILE, help="A folder of your own profiles.")
@click.option("--fault", "orders", multiple=True, help="dead=3,7 slow=2:0.4 echo ...")
@click.option("--chaos", metavar="SEED[:SHARE]", help="Faults by a schedule drawn from a seed.")
@click.option("--seed", default=0, help="Of the chances of faults.")
@click.option("--baud", default=0, help="Let bytes take their time on the line.")
@click.option("--turn-round-ms", default=0.0, help="From a request to its answer, with --baud.")
@click.option("--holes", is_flag=True, help="Gaps between registers are illegal addresses.")
@click.option("--clock-table", type=_FILE, help="Street time (JSON rows).")
@click.option("--report", type=_FILE, help="Write what the bus carried here, each second: JSON.")
def modbus(
    profile: str,
    units: str,
    port: int | None,
    tcp: str | None,
    rtu_tcp: str | None,
    pty: Path | None,
    folder: Path | None,
    orders: tuple[str, ...],
    chaos: str | None,
    seed: int,
    baud: int,
    turn_round_ms: float,
    *,
    holes: bool,
    clock_table: Path | None,
    report: Path | None,
) -> int:
    """Serve Modbus units of a device PROFILE, by name or file; without one, a cabinet.

    Values move with time, writable registers take writes, faults come as ordered.
    """
    from kerbline.sim.modbus import faults, serving

    if port is not None:
        tcp = tcp or f"127.0.0.1:{port}"
    ways = [way for way in (tcp, rtu_tcp, pty) if way is not None]
    if len(ways) != 1:
        raise click.UsageError("where? Give one of --port, --tcp, --rtu-tcp and --pty.")
    serving.run(
        serving.Bus(
            where=ways[0],
            framing="tcp" if tcp else "rtu",
            units=serving.units_of(units),
            profile=profile,
            folder=folder,
            trouble=serving.trouble_of(faults.parse(orders), chaos, seed, baud, turn_round_ms),
            holes=holes,
            clock_table=clock_table,
            report=report,
        )
    )
    return 0


@group.command(name="ngsi-ld")
@click.option("--port", default=1026, show_default=True, type=click.IntRange(0, 65_535))
@click.option("--host", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option("--chaos", metavar="SEED[:SHARE]", help="Faults drawn from a seed; share 0.1.")
@click.option("--token", default="", help="Who comes without it is answered 401.")
def ngsi_ld(port: int, host: str, chaos: str | None, token: str) -> int:
    """Serve a strict NGSI-LD broker in memory, and tell each request in a line.

    Look into it with GET /ngsi-ld/v1/entities and /ngsi-ld/v1/temporal/entities/ID.
    """
    from kerbline.sim import ngsi_ld_serving

    ngsi_ld_serving.run(host, port, ngsi_ld_serving.chaos_of(chaos), token)
    return 0
