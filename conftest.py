"""What every test may ask for: programs that may be absent, a seed, a node to drive.

The options stand here, at the root, so that pytest knows them whatever folder it is given.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tools import peers, runtime32

settings.register_profile(
    "daily",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("nightly", settings.get_profile("daily"), max_examples=2000)
settings.load_profile("nightly" if os.environ.get("KERBLINE_NIGHTLY") else "daily")


def _program(name: str, remedy: str) -> Path:
    beside = Path(sys.executable).parent / name
    found = shutil.which(beside) or shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        pytest.skip(f"no {name}: {remedy}")
    return Path(found)


@pytest.fixture(scope="session")
def micropython() -> Path:
    """The MicroPython Unix port."""
    return _program("micropython", "its package has wheels for x86-64 Linux alone")


@pytest.fixture(scope="session")
def micropython32() -> Path:
    """A MicroPython whose pointers are as wide as an ESP32's: heap figures count on it alone."""
    if not runtime32.PROGRAM.exists():
        pytest.skip("no 32-bit MicroPython: `make build/micropython32` says why")
    return runtime32.PROGRAM


def _peer(name: str) -> Path:
    python = peers.interpreter(name)
    if python is None:
        pytest.skip(f"no {name}: `make build/peers/.made` says why")
    return python


@pytest.fixture(scope="session")
def filip() -> Path:
    """An interpreter that has FiLiP, FIWARE's own library for Python."""
    return _peer("filip")


@pytest.fixture(scope="session")
def cose() -> Path:
    """An interpreter that has two libraries for COSE."""
    return _peer("cose")


@pytest.fixture(scope="session")
def mosquitto() -> Path:
    """Debian's mosquitto broker."""
    return _program("mosquitto", "sudo apt-get install mosquitto")


@pytest.fixture(scope="session")
def nats_server() -> Path:
    """The broker of the demo."""
    return _program("nats-server", "make venv")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hil", "the node that hil_tests/ drive")
    group.addoption("--simulated", action="store_true", help="a node in a process of its own")
    group.addoption("--port", help="a node there: /dev/ttyUSB0, a pty, socket://host:port")
    group.addoption("--baud", type=int, default=115_200, help="of a serial port")
    group.addoption("--node-id", help="the node's id, as it was commissioned")
    group.addoption("--key-file", type=Path, help="its first key: 32 hex digits, mode 0600")
    group.addoption(
        "--key-folder",
        type=Path,
        default=Path("build/hil-keys"),
        help="where the key's later generations are kept",
    )
    group.addoption(
        "--patience", type=float, default=60.0, help="seconds to wait for the next reading"
    )


def _is_system(node_id: str) -> bool:
    return bool({"scenarios", "hil_tests"} & set(node_id.partition("::")[0].split("/")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole systems come first: they take longest, and one worker runs them all."""
    items.sort(key=lambda item: not _is_system(item.nodeid))


@pytest.hookimpl(optionalhook=True)  # there may be no xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # noqa: ANN401 - xdist's
    """A file's tests share their set-up, so they go to one worker.

    Whole systems run one at a time: they have deadlines, and a dozen processes each.
    """
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    class Shares(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "systems" if _is_system(nodeid) else super()._split_scope(nodeid)

    return Shares(config, log) if config.getvalue("dist") == "loadfile" else None
