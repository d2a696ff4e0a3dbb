"""`kerbline shell`: MicroPython's prompt on a node, where it may be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kerbline.field.shell import Window

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("target", metavar="NODE|PORT")
@click.option("--config", type=_FILE, help="The gateway's config: it opens the console of NODE.")
@click.option("--port", default="", help="The cable to NODE's console; not needed if only one is.")
@click.option("--seconds", type=click.IntRange(10, 3600), default=600, show_default=True)
@click.option("--run", "code", default="", help="Run this line there, print what it says, leave.")
def shell(target: str, *, config: Path | None, port: str, seconds: int, code: str) -> int:
    """Open the prompt of a board at PORT, or of NODE through its gateway; the gateway logs it.

    The node stands still meanwhile, its lamp lit, and starts again at the end.
    """
    from kerbline.field import shell as shells

    def say(text: str) -> None:
        click.echo(text, err=True)

    if target.startswith("/") or "://" in target or target.upper().startswith("COM"):
        window, port = None, target
    else:
        window = _window(target, config, seconds)
        port = port or _only_port()
    if not code and not sys.stdin.isatty():
        raise click.UsageError("a prompt wants a terminal; give one line with --run CODE")
    return shells.visit(port, window, say, lambda at: _ran(at, code) if code else _typed(at))


def _ran(port: str, code: str) -> int:
    """One line, and what it prints."""
    from kerbline.boardtools import connected

    with connected(port) as repl:
        click.echo(repl.run(code), nl=False)
    return 0


def _typed(port: str) -> int:
    """mpremote's own prompt, until Ctrl-]; it takes the terminal."""
    words = ("connect", port, "resume", "exec", "pass", "repl")
    return subprocess.run([sys.executable, "-m", "mpremote", *words], check=False).returncode


def _window(node: str, config: Path | None, seconds: int) -> Window:
    from kerbline.config import load
    from kerbline.field.shell import Window
    from kerbline.local_socket import SOCKET_FILE

    if config is None:
        raise click.UsageError(f"{node} is no port: name its gateway, --config gateway.toml")
    return Window(load(config).gateway.state_dir / SOCKET_FILE, node, seconds)


def _only_port() -> str:
    from kerbline.boardtools import usb

    boards = [each.device for each in usb.sockets() if each.adapter]
    if len(boards) == 1:
        return boards[0]
    there = ", ".join(boards) or "none is to be seen"
    raise click.UsageError(f"name the cable to its console, --port; there are: {there}")
