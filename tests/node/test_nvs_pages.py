"""The model of NVS against Espressif's own tool, and its repairs against its words."""

from binascii import hexlify
from hashlib import sha256

from node import nvs_pages
from node.nvs_pages import Nvs
from node.ram_flash import BLOCK_BYTES, TEARS, RamFlash, replay, tear

# Of the partition that esp-idf-nvs-partition-gen 0.3.0 makes of `CONTENT` (`generate`, 0x6000).
TOOLS_SHA256 = "91884d940c85055164d419bf034288c3cc14ab47c26f663b65415c5c604a1b0a"
CONTENT = (
    ("phy", "cal_data", 1904, 7),
    ("kerbnode", "settings", 300, 3),
    ("kerbnode", "slots", 14, 0),
    ("kerbnode", "key", 36, 5),
    ("kerbnode", "root", 60, 11),
    ("kerbnode", "long", 4500, 13),  # over two pages
)


def blob(size: int, step: int) -> bytes:
    if not step:
        return bytes((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x10, 0x11, 0x12, 0x13))
    return bytes([index * step + size & 255 for index in range(size)])


def erased() -> RamFlash:
    return RamFlash(bytearray(b"\xff" * (nvs_pages.PAGES * BLOCK_BYTES)))


def test_what_it_writes_is_what_espressifs_tool_makes() -> None:
    flash = erased()
    for namespace, name, size, step in CONTENT:
        Nvs(flash, 0, namespace).set(name, blob(size, step))
    assert hexlify(sha256(flash.image).digest()).decode() == TOOLS_SHA256
    for namespace, name, size, step in CONTENT:
        assert Nvs(flash, 0, namespace).get(name) == blob(size, step)


def test_the_same_again_writes_nothing() -> None:
    flash = erased()
    store = Nvs(flash)
    store.set("a", b"one")
    flash.note = lambda: None
    store.set("a", b"one")
    assert not flash.log
    store.set("a", b"two")
    # Data: head and bits, the rest and bits; index and bits; the old index, the old data.
    assert [len(entry[2]) for entry in flash.log] == [32, 4, 32, 4, 32, 4, 4, 4]


def test_a_blob_of_many_pieces_is_old_or_new_at_every_cut() -> None:
    """Over two pages, with a page turned and another one moved and erased within one write."""
    flash = erased()
    store = Nvs(flash)
    store.set("other", b"another")
    old, new = blob(4500, 3), blob(4500, 5)
    for number in range(3):
        store.set("long", blob(4500, 7 + number))
    store.set("long", old)
    before = bytes(flash.image)
    flash.note = lambda: None
    store.set("long", new)
    assert [entry for entry in flash.log if not entry[2]], "no page was erased"
    image, left = bytearray(before), erased()
    for entry in flash.log:
        for how in TEARS:
            left.image[:] = image
            tear(left.image, entry, how)
            for _ in range(2):  # what was repaired is sound
                again = Nvs(left)
                assert again.get("long") in (old, new) and again.get("other") == b"another"
            again.set("long", b"short")
            assert Nvs(left).get("long") == b"short" and Nvs(left).get("other") == b"another"
        replay(image, entry)


def test_a_start_that_ends_early_repairs_the_rest_at_the_next() -> None:
    """Each operation of a repair is cut in its turn."""
    flash = erased()
    store = Nvs(flash)
    store.set("other", b"another")
    for number in range(400):
        flash.log.clear()
        before = bytes(flash.image)
        flash.note = lambda: None
        store.set("count", b"%d" % number)
        if [entry for entry in flash.log if not entry[2]]:
            break
    allowed = (b"%d" % number, b"%d" % (number - 1))
    image, left, further = bytearray(before), erased(), erased()
    cuts = 0
    for entry in flash.log:
        for how in TEARS:
            left.image[:] = image
            tear(left.image, entry, how)
            torn = bytes(left.image)
            left.log.clear()
            left.note = lambda: None
            Nvs(left)
            repair = bytearray(torn)
            for step in left.log:
                for half in TEARS:
                    further.image[:] = repair
                    tear(further.image, step, half)
                    again = Nvs(further)
                    assert again.get("count") in allowed and again.get("other") == b"another"
                    cuts += 1
                replay(repair, step)
        replay(image, entry)
    assert cuts > 100, cuts


def test_a_write_that_fails_makes_its_page_unread_until_the_next_start() -> None:
    class Worn(RamFlash):
        fails = False

        def writeblocks(self, block: int, buffer: bytes, offset: int = 0) -> None:
            if self.fails:
                raise OSError(5, "worn")
            RamFlash.writeblocks(self, block, buffer, offset)

    flash = Worn(erased().image)
    store = Nvs(flash)
    store.set("a", b"one")
    flash.fails = True
    try:
        store.set("a", b"two")
        raise AssertionError("written")
    except OSError as fault:
        assert fault.errno == 5
    assert store.get("a") is None, "as the IDF has it"
    flash.fails = False
    assert Nvs(flash).get("a") == b"one"


def test_a_newer_format_and_a_partition_without_a_free_page_are_refused() -> None:
    from binascii import crc32
    from struct import pack

    flash = erased()
    body = pack("<IB", 0, nvs_pages.VERSION - 1) + b"\xff" * 19
    flash.image[:32] = pack("<I", nvs_pages.ACTIVE) + body + pack("<I", crc32(body, 0xFFFFFFFF))
    assert refused(flash) == nvs_pages.NEW_VERSION_FOUND
    flash = erased()
    for number in range(nvs_pages.PAGES):
        body = pack("<IB", number, nvs_pages.VERSION) + b"\xff" * 19
        head = pack("<I", nvs_pages.FULL) + body + pack("<I", crc32(body, 0xFFFFFFFF))
        flash.image[number * BLOCK_BYTES : number * BLOCK_BYTES + 32] = head
    assert refused(flash) == nvs_pages.NO_FREE_PAGES


def refused(flash: RamFlash) -> "int | None":
    try:
        Nvs(flash)
    except OSError as fault:
        return fault.errno
    return None
