"""A folder that goes away with all that is in it, on both interpreters."""

import os


def folder() -> str:
    """A new, empty one."""
    place = "/tmp/kerbnode-test-" + "".join(["{:02x}".format(byte) for byte in os.urandom(6)])
    os.mkdir(place)
    return place


def remove(place: str) -> None:
    """Delete a folder, or a file."""
    try:
        names = os.listdir(place)
    except OSError:  # no folder
        os.remove(place)
        return
    for name in names:
        remove(place + "/" + name)
    os.rmdir(place)
