"""One line of a benchmark: what was measured, beside what it must be."""

from typing import NamedTuple


class Figure(NamedTuple):
    """`target` is "<= 23", ">= 10_000" or "" for a figure that only informs.

    A `value` that is text says why nothing could be measured here: told, but no miss.
    """

    name: str
    value: float | str
    unit: str
    target: str = ""

    @property
    def met(self) -> bool | None:
        """Is the target met? None where nothing was asked or nothing measured."""
        if isinstance(self.value, str) or not self.target:
            return None
        sign, bound = self.target.split()
        if sign not in ("<=", ">="):
            raise ValueError(f"a target is '<= N' or '>= N', not {self.target!r}")
        return self.value <= float(bound) if sign == "<=" else self.value >= float(bound)


def shown(figure: Figure) -> str:
    """The figure as one line."""
    if isinstance(figure.value, str):
        return f"  --   {figure.name:52} not measured: {figure.value}"
    exact = figure.value % 1 == 0 or abs(figure.value) >= 1000  # infinity is neither
    value = f"{figure.value:,.0f}" if exact else f"{figure.value:,.2f}"
    verdict = {True: "ok", False: "MISS", None: ""}[figure.met]
    line = f"  {verdict:4} {figure.name:52} {value:>12} {figure.unit:14} {figure.target}"
    return line.rstrip()
