"""The rig: one node, simulated or at an address, that all tests of this folder drive."""

import asyncio
from collections.abc import Iterator

import pytest

from hil_tests.rig import Rig, attached, simulated


@pytest.fixture(scope="session")
def rig(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    option = pytestconfig.getoption
    if option("--simulated"):
        way = simulated(tmp_path_factory.mktemp("hil") / "street")
    elif not option("--port"):
        pytest.skip("no --port given (nor --simulated)")
    elif not (option("--node-id") and option("--key-file")):
        pytest.fail("--port needs --node-id and --key-file")
    else:
        names = ("--port", "--baud", "--node-id", "--key-file", "--key-folder")
        way = attached(*(option(name) for name in names))
    with asyncio.Runner() as runner:
        node = runner.run(way.__aenter__())
        try:
            yield Rig(node, option("--patience"), runner)
        finally:
            runner.run(way.__aexit__(None, None, None))
