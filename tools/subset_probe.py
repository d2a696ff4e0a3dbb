"""Runs inside MicroPython and prints, as JSON, which names it has: the ground of tools/subset.py.

.venv/bin/micropython tools/subset_probe.py > tools/subset_names.json
"""

import builtins
import json

MODULES = (
    "_thread array asyncio binascii collections cryptolib deflate errno gc hashlib heapq io json "
    "math micropython os platform random re select socket ssl struct sys termios time uctypes vfs"
)
TYPES = (str, bytes, bytearray, memoryview, int, float, list, tuple, dict, set, frozenset, object)


def names(module_name: str) -> "list[str]":
    module = __import__(module_name)
    lazy = getattr(module, "_attrs", {})  # asyncio loads its parts on demand
    return sorted(set(dir(module)) | set(lazy))


def rows(label: str, pairs: "list[tuple[str, list[str]]]") -> None:
    print('  "%s": {' % label)
    print(",\n".join('    "%s": %s' % (key, json.dumps(value)) for key, value in pairs))
    print("  },")


print("{")
rows("modules", [(name, names(name)) for name in MODULES.split()])
print('  "builtins": %s,' % json.dumps(sorted(dir(builtins))))
print('  "methods": %s' % json.dumps(sorted({name for kind in TYPES for name in dir(kind)})))
print("}")
