"""The command `kerbline`: a thin shell that says expected failures in one line and an exit status.

Each command is imported when it is asked for, and imports what it needs when it runs: the agent
starts without the demo's parts.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NoReturn

import click

from kerbline.errors import KerblineError

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell says it

_FILE = click.Path(path_type=Path)
# Each command's module here, and what it is called there.
_ELSEWHERE = {
    **{
        name: (name, "group")
        for name in (
            *("air", "assets", "boards", "city", "claims", "commission", "control", "firmware"),
            *("leaks", "light", "modbus", "node", "serial", "sim", "store", "update"),
        )
    },
    **{
        name: (name, name)
        for name in ("doctor", "flash", "permit", "replace", "shell", "status", "sun", "why")
    },
    "gateway": ("gateway_key", "group"),
    "unbrick": ("flash", "unbrick"),
}


def main() -> NoReturn:
    """Run the command line of this process; ends it."""
    sys.excepthook = _say_bug
    try:
        status = app(standalone_mode=False)
    except KerblineError as error:
        click.echo(error, err=True)
        status = error.exit_status
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = EXIT_INTERRUPTED
    except BrokenPipeError:  # `kerbline ... | head`
        sys.stderr.close()
        status = 1
    except OSError as error:  # no permission, no space, a folder that is a file
        where = f": {error.filename}" if error.filename else ""
        click.echo(f"kerbline: {error.strerror or error}{where}", err=True)
        status = 1
    sys.exit(status)


class _Commands(click.Group):
    """Those of this module, and those elsewhere, imported when one is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        """All."""
        return sorted({*super().list_commands(context), *_ELSEWHERE})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The one of that name."""
        if name in _ELSEWHERE:
            module, called = _ELSEWHERE[name]
            found = getattr(import_module(f"{__name__}.{module}"), called)
            assert isinstance(found, click.Command)
            return found
        return super().get_command(context, name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kerbline", message="kerbline %(version)s")
@click.option("--debug", is_flag=True, help="Show tracebacks and debug messages.")
def app(*, debug: bool) -> None:
    """The open edge of a smart city: serve street assets from here."""
    if debug:
        sys.excepthook = sys.__excepthook__


@app.command()
@click.argument("config", type=_FILE)
def check(config: Path) -> int:
    """Tell every fault in a config file; exit status 2 if there is one."""
    from datetime import UTC, datetime

    from kerbline.cli import assets, claims
    from kerbline.config import doubts, load

    loaded = load(config)
    for doubt in doubts(config, datetime.now(UTC)):
        click.echo(f"warning: {doubt}", err=True)
    for line in assets.doubts(loaded):
        click.echo(f"warning: {config}: {line}", err=True)
    for line in claims.doubts(loaded):
        click.echo(f"warning: {config}: {line}", err=True)
    units = sum(len(bus.devices) for bus in loaded.buses)
    click.echo(
        f"{config}: good; {len(loaded.nodes)} nodes, {len(loaded.buses)} Modbus buses with {units} "
        f"units, {len(loaded.serials)} serial devices, {len(loaded.corridors)} corridors, "
        f"{len(loaded.leaks)} leak rules, {len(loaded.brokers)} NGSI-LD brokers, "
        f"{len(loaded.agents)} IoT Agents"
    )
    return 0


@app.command()
@click.argument("config", type=_FILE)
@click.pass_context
def run(context: click.Context, config: Path) -> int:
    """Run the gateway until SIGTERM or Ctrl-C."""
    from kerbline.cli import service
    from kerbline.config import load

    parent = context.find_root().params
    return service.run(load(config), verbose=bool(parent["debug"]))


@app.command()
@click.option("--headless", is_flag=True, help="For a machine: no live view, a report at the end.")
@click.option("--seconds", type=click.FloatRange(15, 3600), default=60, show_default=True)
@click.option("--json", "report", type=_FILE, help="Write the report to this file, too.")
@click.option("--broker", type=click.Choice(["nats", "mosquitto"]), default="nats")
@click.option("--keep", type=_FILE, help="Keep all files of the run in this folder.")
@click.option("--record", type=_FILE, help="Draw what was to be seen as an SVG.")
def demo(**options: Any) -> int:  # noqa: ANN401 - each is typed above
    """Simulate a street, serve it, and count at the end whether anything was lost."""
    from kerbline.demo import main as tell

    return tell(**options)


@app.group()
def wire() -> None:
    """Look at the protocol's bytes."""


@wire.command()
@click.argument("stream", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="For a machine: one JSON object.")
def measure(stream: Path, *, as_json: bool) -> int:
    """Send a stream of readings through both engines and tell its bytes on the wire."""
    import json

    from kerbline import wirebench

    report = wirebench.measure(stream)
    click.echo(json.dumps(report) if as_json else wirebench.told(report))
    return 0


@wire.command()
@click.argument("capture", type=click.File("rb"))
@click.option("--keys", type=_FILE, help="Lines `NODE-ID 32-HEX-DIGITS`: each node's first key.")
def decode(capture: BinaryIO, *, keys: Path | None) -> int:
    """Tell a captured stream, or frames as lines of hex, as a readable line for each frame."""
    from kerbline import wiredump

    known = wiredump.read_keys(keys) if keys else {}
    for line in wiredump.told(capture.read(), known):
        click.echo(line)
    return 0


def _say_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What an unexpected exception says: one line, and where to look."""
    import traceback

    while isinstance(error, BaseExceptionGroup):  # what a task met, not the group of tasks
        error = error.exceptions[0]
        kind, trace = type(error), error.__traceback__
    frames = traceback.extract_tb(trace)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    what = str(error).splitlines()
    click.echo(
        f"kerbline: a fault of ours: {kind.__name__}: {what[0] if what else ''}{where}; "
        "run `kerbline --debug ...` for the whole trace",
        err=True,
    )
