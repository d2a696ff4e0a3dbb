"""Boots are counted: each has its number, and those that end too soon are seen as failed."""

from struct import pack, unpack

from kerbnode.app import SAFE_AFTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbnode.hal.board import Nvs
    from kerbnode.settings import Settings


def counted(store: "Nvs") -> "tuple[int, bool]":
    """`failed_boots`, and whether that is known."""
    try:
        return failed_boots(store), True
    except OSError:
        return SAFE_AFTER, False


def failed_boots(store: "Nvs") -> int:
    """Boots in a row, the last ones, that did not get as far as `boot_went_well`."""
    blob = store.get("boot")
    return blob[4] if blob and len(blob) == 5 else 0


def next_boot_id(store: "Nvs", random: "Callable[[int], bytes]", failed: int = 0) -> int:
    """A number for this boot: counted on, from a random start so that lost NVS repeats none.

    `failed` is kept beside it: how many boots have failed in a row should this one fail too.
    """
    try:
        blob = store.get("boot")
        last = unpack(">I", blob[:4])[0] if blob and len(blob) >= 4 else unpack(">H", random(2))[0]
        boot_id: int = last % 0xFFFF_FFFF + 1
        store.set("boot", pack(">IB", boot_id, min(failed, 255)))
    except OSError:  # unread or worn out: no number twice, and the street is lit
        boot_id = unpack(">I", random(4))[0] | 1
    return boot_id


def boot_went_well(store: "Nvs") -> None:
    """The boots counted as failed are none."""
    try:
        blob = store.get("boot")
        if blob and len(blob) == 5 and blob[4]:
            store.set("boot", blob[:4] + b"\x00")
    except OSError:
        pass  # unread or worn out: the boot is a good one all the same


def keep_good(store: "Nvs", wanted: "Settings") -> None:
    """A boot went well: what it used is the last good copy, and takes a damaged one's place."""
    if wanted.restored == "unread":
        return  # what can't be read may be sound, and newer
    new, old = "settings", "settings_was"
    if wanted.restored == new:
        new, old = old, new
    try:
        blob = store.get(new)
        if blob is not None and blob != store.get(old):
            store.set(old, blob)
    except OSError:
        pass
