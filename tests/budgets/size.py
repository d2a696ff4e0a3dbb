"""Bytes of the wire's code on a node."""

from pathlib import Path

from tests.budgets import heap

TOTAL_BYTES = 24 * 1024  # of the stack: all that a session and its objects may load
RESIDENT_BYTES = 14 * 1024
UPDATE_BYTES = 5 * 1024  # beside it, of what only an update loads, and lets go of again
UPDATE = frozenset({"manifest", "parts", "release"})
BUS = frozenset({"polled"})  # what a node on a line of its own never loads


def resident(runtime: Path, into: Path) -> dict[str, int]:
    """What is still loaded of them when a session is up and reports flow."""
    sizes = heap.compiled(into / "mpy")
    told = heap.played(runtime, into / "mpy", heap.recorded(into))
    names = [name.split(".")[-1] for name in told["resident"].split()]
    return {name: sizes[name] for name in names if name in sizes}


def stack(sizes: dict[str, int]) -> int:
    """Bytes of all that speaks on the line."""
    return sum(count for name, count in sizes.items() if name not in UPDATE)


def own_line(sizes: dict[str, int]) -> int:
    """Bytes of all that a node on a line of its own may load."""
    return sum(count for name, count in sizes.items() if name not in BUS | UPDATE)


def told(sizes: dict[str, int]) -> str:
    """One line a module, the largest first."""
    lines = [f"{count:6,}  {name}" for name, count in sorted(sizes.items(), key=lambda i: -i[1])]
    return "\n".join([*lines, f"{sum(sizes.values()):6,}  in all"])
