"""`python -m kerbline.sim.modbus [PROFILE]`: a simulated bus as a process of its own.

    python -m kerbline.sim.modbus --tcp 127.0.0.1:1502
    python -m kerbline.sim.modbus --pty /tmp/cabinet --clock-table clock.json
    python -m kerbline.sim.modbus meter.toml --units 50 --pty /tmp/bus --baud 19200

Without a profile it is the demo's lighting cabinet. `kerbline sim modbus` has the same options.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from kerbline.errors import KerblineError
from kerbline.sim.modbus import faults, serving


def main(words: Sequence[str] | None = None) -> None:
    """The command line of `python -m kerbline.sim.modbus`."""
    parser = argparse.ArgumentParser(prog="kerbline.sim.modbus", description=__doc__)
    parser.add_argument(
        "profile", nargs="?", default=serving.CABINET, help="a profile's name or file"
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--tcp", metavar="[HOST:]PORT", help="serve Modbus TCP")
    where.add_argument("--rtu-tcp", metavar="[HOST:]PORT", help="serve RTU over TCP")
    where.add_argument("--pty", metavar="LINK", type=Path, help="serve RTU on a pty of this name")
    parser.add_argument("--unit", type=int, action="append", help="a unit on the bus; repeatable")
    parser.add_argument("--units", help="how many units, or which: 50, 3,7 or 10-19")
    parser.add_argument("--clock-table", type=Path, help="street time (JSON rows)")
    parser.add_argument("--fault", action="append", default=[], help="NAME=UNITS[:...]; repeatable")
    parser.add_argument("--chaos", metavar="SEED[:SHARE]", help="faults by a seeded schedule")
    parser.add_argument("--seed", type=int, default=0, help="of the chances of faults")
    parser.add_argument("--baud", type=int, default=0, help="bytes take their time on the line")
    parser.add_argument("--turn-round-ms", type=float, default=0.0, help="from request to answer")
    parser.add_argument("--holes", action="store_true", help="gaps are illegal addresses")
    parser.add_argument("--report", type=Path, help="what the bus carried: JSON, each second")
    given = parser.parse_args(words)
    try:
        chosen = frozenset(given.unit or [1])
        if given.units:
            chosen = serving.units_of(given.units)
        bus = serving.Bus(
            profile=given.profile,
            units=chosen,
            where=given.pty or given.tcp or given.rtu_tcp,
            framing="tcp" if given.tcp else "rtu",
            trouble=serving.trouble_of(
                faults.parse(given.fault),
                given.chaos,
                given.seed,
                given.baud,
                given.turn_round_ms,
            ),
            holes=given.holes,
            clock_table=given.clock_table,
            report=given.report,
        )
        serving.run(bus)
    except (KerblineError, RuntimeError, OSError, ValueError) as error:
        parser.error(str(error))  # an address in use, a bad table


if __name__ == "__main__":
    main()
