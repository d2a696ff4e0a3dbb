"""Modules in memory: what is needed now and then goes again on a node."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def forget(package: str, modules: "Sequence[str]") -> None:
    """Give their memory back; they load again when something imports them."""
    if sys.implementation.name != "micropython":
        return  # there is room, and a second copy would be another
    for name in modules:
        if sys.modules.pop(package + "." + name, None):
            delattr(sys.modules[package], name)
