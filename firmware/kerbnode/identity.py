"""Whose log, totals and orders a board holds: a mark beside them names the node and its asset.

What was made under another mark, or under none, is gone before it appears under this node's name,
whoever changed the settings. Loaded at a boot alone.
"""

from kerbnode.flash import Flash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Nvs
    from kerbnode.settings import Settings

MARK = "identity"
OF_ONE_NODE = ("totals", "config", "config_was", "command", "rate")
NOTHING = b"\x00"  # no such blob is so short


def known(store: "Nvs", wanted: "Settings") -> bool:
    """Is what the board holds this node's? A new key alone makes no other node of it."""
    return store.get(MARK) == _mark(wanted)


def leave(store: "Nvs", wanted: "Settings") -> None:
    """Nothing is left in NVS of the node that was here before."""
    names = OF_ONE_NODE if wanted.restored else OF_ONE_NODE + ("settings_was",)
    for name in names:
        if store.get(name) not in (None, NOTHING):
            store.set(name, NOTHING)


def settle(store: "Nvs", wanted: "Settings", flash_path: str) -> None:
    """Nothing is left of its log either; the mark comes last, so that a cut begins this anew."""
    flash = Flash(flash_path)
    for name in flash.names():  # the newest last: a cut must not revive an older one
        flash.remove(name)
    store.set(MARK, _mark(wanted))


def _mark(wanted: "Settings") -> bytes:
    return (wanted.node_id + "\0" + wanted.asset).encode()
