"""Small blobs that must outlive everything: settings, the key, the highest command."""

from binascii import crc32
from struct import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Nvs

CRC_BYTES = 4


def get_checked(nvs: "Nvs", name: str) -> "bytes | None":
    """The blob `name` without its CRC, None where it is missing or damaged; OSError if unread."""
    blob = nvs.get(name)
    if blob is None or len(blob) < CRC_BYTES:
        return None
    body, check = blob[:-CRC_BYTES], blob[-CRC_BYTES:]
    return body if unpack("<I", check)[0] == crc32(body) else None


def set_checked(nvs: "Nvs", name: str, body: bytes) -> None:
    """Write `body` and its CRC as the blob `name`, durable on return."""
    nvs.set(name, body + pack("<I", crc32(body)))
