"""kerbnode: the firmware of one street asset, for MicroPython and, unchanged, CPython."""

VERSION = (0, 1, 0)
