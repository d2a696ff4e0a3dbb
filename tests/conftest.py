"""What every test on CPython may ask for: programs that may be absent, and hypothesis's seed."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
def mosquitto() -> Path:
    """Debian's mosquitto broker."""
    return _program("mosquitto", "sudo apt-get install mosquitto")


@pytest.fixture(scope="session")
def nats_server() -> Path:
    """The broker of the demo."""
    return _program("nats-server", "make venv")
