"""Whose log, totals and orders a board holds: marks beside them name the node and its asset.

What was made under another mark, or under none, is gone before it appears under this node's name,
whoever changed the settings. What can't be read says nothing. Loaded at a boot alone.
"""

from kerbnode.flash import Flash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Nvs
    from kerbnode.settings import Settings

MARK = "identity"
MARKS = ("identity_was", MARK)  # one is enough, lest a log ends with a blob
OF_ONE_NODE = ("totals", "config", "config_was", "command", "rate")
NOTHING = b"\x00"  # no such blob is so short


def known(store: "Nvs", wanted: "Settings") -> bool:
    """Is what the board holds this node's? A new key alone makes no other node of it.

    OSError where that can't be told.
    """
    mark = _mark(wanted)
    found: list[bytes | None] = []
    fault = None
    for name in MARKS:
        try:
            found.append(store.get(name))
        except OSError as error:
            fault = error
            found.append(None)
    if mark not in found:
        if fault is not None and found == [None, None]:
            raise fault
        return False
    for name in [name for name, at in zip(MARKS, found) if at != mark]:
        try:
            store.set(name, mark)
        except OSError:
            pass  # worn out
    return True


def leave(store: "Nvs", wanted: "Settings") -> None:
    """Nothing is left in NVS of the node that was here before."""
    names = OF_ONE_NODE if wanted.restored else OF_ONE_NODE + ("settings_was",)
    for name in names:
        try:
            gone = store.get(name) in (None, NOTHING)
        except OSError:
            gone = False
        if not gone:
            store.set(name, NOTHING)


def settle(store: "Nvs", wanted: "Settings", flash_path: str) -> None:
    """Nothing is left of its log either; the marks come last, so that a cut begins this anew."""
    leave(store, wanted)
    flash = Flash(flash_path)
    for name in flash.names():  # the newest last: a cut must not revive an older one
        flash.remove(name)
    for name in MARKS:
        store.set(name, _mark(wanted))


def _mark(wanted: "Settings") -> bytes:
    return (wanted.node_id + "\0" + wanted.asset).encode()
