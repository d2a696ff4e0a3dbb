"""CONFIG's body on a node, which loads this when one comes."""

from kerbwire.errors import RemoteError
from kerbwire.limits import CONFIG_KEYS


def decode(items: "list[int | bytes]") -> "tuple[int, dict[int, int | bytes]]":
    """(version, values by key) of a CONFIG, whose keys rise."""
    values: dict[int, int | bytes] = {}
    before = 0
    if len(items) < 2 or len(items) > 2 + 2 * CONFIG_KEYS or len(items) % 2:
        raise RemoteError("value")
    for at in range(2, len(items), 2):
        key, value = items[at], items[at + 1]
        if not isinstance(key, int) or not before < key < 256:
            raise RemoteError("value")
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise RemoteError("value")
        values[key] = value
        before = key
    version = items[1]
    if not isinstance(version, int) or not 0 < version < 1 << 32:
        raise RemoteError("value")
    return version, values
