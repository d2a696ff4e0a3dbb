"""CONFIG's and DIAG's bodies: pairs of key and value. A node loads this when a CONFIG comes."""

from kerbwire import report
from kerbwire.errors import RemoteError
from kerbwire.limits import CONFIG_KEYS


def decode(items: "list[int | bytes]") -> "tuple[int, dict[int, int | bytes]]":
    """(version, values by key) of a CONFIG."""
    version = items[1] if len(items) > 1 else 0
    if not isinstance(version, int) or not 0 < version < 1 << 32:
        raise RemoteError("value")
    return version, pairs(items, 2)


def pairs(items: "list[int | bytes]", at: int) -> "dict[int, int | bytes]":
    """The values by key from items[at] on, whose keys rise."""
    values: dict[int, int | bytes] = {}
    before = 0
    if len(items) > at + 2 * CONFIG_KEYS or (len(items) - at) % 2:
        raise RemoteError("value")
    for place in range(at, len(items), 2):
        key, value = items[place], items[place + 1]
        if not isinstance(key, int) or not before < key < 256:
            raise RemoteError("value")
        if isinstance(value, int):
            report.integers([value], 1)
        values[key] = value
        before = key
    return values
