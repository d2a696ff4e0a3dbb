"""The ESP32's NVS: the flash operations of ESP-IDF's, in their order, and its repairs at a start.

After the IDF's description ("NVS internals": page and entry states, structure of an entry) and its
code, release 5.5 (components/nvs_flash/src/nvs_page.cpp, nvs_pagemanager.cpp, nvs_storage.cpp):
a blob is chunks of data and then an index that makes it valid, the other version than before; only
then is the old index erased, then its data, by clearing bits. A full page is never written again;
when one free page is left, the page with the fewest live entries is marked, copied and erased. What
the IDF gets wrong is wrong here: a write that fails makes its page unread until the next start, and
takes back chunks that may be the old blob's. Not here: encryption, other types than blobs.
"""

from binascii import crc32
from struct import pack, unpack

from node.ram_flash import BLOCK_BYTES, RamFlash

TYPE_CHECKING = False
if TYPE_CHECKING:
    # entry, namespace, kind, span, chunk, key, data
    Item = tuple[int, int, int, int, int, bytes, bytes]

PAGES = 6
ENTRIES = 126
ENTRY_BYTES = 32
TABLE_AT, FIRST_AT = 32, 64  # of a page's bitmap, of its first entry
CHUNK_BYTES = (ENTRIES - 1) * ENTRY_BYTES
U8, DATA, INDEX = 0x01, 0x42, 0x48
EMPTY, WRITTEN, ERASED = 3, 2, 0  # an entry's two bits; 1 is no state
BLANK, ACTIVE, FULL, FREEING = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFC, 0xFFFFFFF8
CORRUPT, INVALID = 0, 1  # of a page in memory alone
VERSION = 0xFE  # of the format, counted down
NO_CHUNK = 255
VERSIONS = (0, 128)  # of a blob: its first chunk's number
NAME_BYTES = 15
NAMESPACES = 0  # the namespace of their names
NOT_FOUND = -0x1102
NOT_ENOUGH_SPACE = -0x1105
KEY_TOO_LONG = -0x1109
PAGE_FULL = -0x110A
INVALID_STATE = -0x110B
NO_FREE_PAGES = -0x110D
NEW_VERSION_FOUND = -0x1110
_STATES = [bytes([code >> 2 * place & 3 for place in range(4)]) for code in range(256)]
_BLANK_PAGE = b"\xff" * BLOCK_BYTES


class Page:
    """A page, and what of it is in memory; `items` in the order of entries."""

    def __init__(self, flash: RamFlash, block: int):
        self._flash = flash
        self.block = block
        self.sequence = 0
        self.table = bytearray(b"\x03" * ENTRIES)
        self.next = 0  # the first entry that was never used
        self.items: list[Item] = []
        head = self._read(0, ENTRY_BYTES)
        self.state, sequence = unpack("<II", head[:8])
        if self.state == BLANK:
            if self._read(0, BLOCK_BYTES) != _BLANK_PAGE:
                self.state = CORRUPT
        elif unpack("<I", head[28:])[0] != crc32(head[4:28], BLANK):
            self.state = CORRUPT
        elif head[8] < VERSION:
            raise OSError(NEW_VERSION_FOUND, "NVS")
        elif self.state not in (ACTIVE, FULL, FREEING):
            self.state = CORRUPT
        else:
            self.sequence = sequence
            self._load()

    def _load(self) -> None:
        """Read what is written; what a power cut left half done is erased."""
        states = b"".join([_STATES[code] for code in self._read(TABLE_AT, 32)])
        self.table[:] = states[:ENTRIES]
        self.next = ENTRIES
        if self.state == ACTIVE:
            first = states[:ENTRIES].find(b"\x03")
            if first >= 0:
                self.next = first
            while self.next < ENTRIES and self._entry(self.next)[:4] != b"\xff" * 4:
                self._mark(self.next, self.next + 1, ERASED)
                self.next += 1
        entry = 0
        while entry < self.next:
            entry += self._load_item(entry)

    def _load_item(self, entry: int) -> int:
        """Take up what is at that entry; how many it has."""
        state = self.table[entry]
        if state == ERASED or (state != WRITTEN and self.state != ACTIVE):
            return 1
        head = self._entry(entry)
        if state != WRITTEN or not _sound(head):
            self._mark(entry, entry + 1, ERASED)
            return 1
        item = (entry, head[0], head[1], head[2], head[3], head[8:24], head[24:])
        span = item[3]
        if span != 1:
            end = min(entry + span, ENTRIES)
            if [1 for part in range(entry, end) if self.table[part] != WRITTEN]:
                self._mark(entry, end, ERASED)
                self.next = max(self.next, end)
                return span
        if self.state == ACTIVE:
            for older in self.items:
                if (older[1], older[4], older[5]) == (item[1], item[4], item[5]):
                    self.erase_item(older)
                    break
        self.items.append(item)
        return span

    @property
    def is_read(self) -> bool:
        """Does it have a sequence?"""
        return self.state in (ACTIVE, FULL, FREEING)

    @property
    def used(self) -> int:
        """Entries that live."""
        return sum([state == WRITTEN for state in self.table])

    @property
    def room(self) -> int:
        """Bytes of one more chunk of data."""
        if self.state == BLANK:
            return CHUNK_BYTES
        if self.state == FULL:
            return 0
        return max(0, ENTRIES - self.next - 1) * ENTRY_BYTES

    def find(self, namespace: int, kind: int, key: bytes, chunk: int = NO_CHUNK) -> "Item | None":
        """An item; a page of which a write failed has none."""
        if self.is_read:
            for item in self.items:
                if item[5] == key and item[4] == chunk and item[2] == kind and item[1] == namespace:
                    return item
        return None

    def data(self, item: "Item") -> "bytes | None":
        """A chunk's; None: damaged."""
        size, _, check = unpack("<HHI", item[6])
        body = self._read(FIRST_AT + (item[0] + 1) * ENTRY_BYTES, size)
        return body if crc32(body, BLANK) == check else None

    def put(self, namespace: int, kind: int, key: bytes, chunk: int, body: bytes) -> None:
        """Write an item: head, whole entries of data, the last one; the bitmap after each."""
        if self.state == INVALID:
            raise OSError(INVALID_STATE, "NVS")
        if self.state == BLANK:
            self._begin()
        span, tail = 1, body
        if kind == DATA:
            span += -(-len(body) // ENTRY_BYTES)
            tail = pack("<HHI", len(body), 0xFFFF, crc32(body, BLANK))
        if self.state == FULL or self.next + span > ENTRIES:
            raise OSError(PAGE_FULL, "NVS")
        start = bytes((namespace, kind, span, chunk))
        head = start + pack("<I", crc32(start + key + tail, BLANK)) + key + tail
        self.items.append((self.next, namespace, kind, span, chunk, key, tail))
        self._add(head)
        if kind == DATA:
            whole = len(body) // ENTRY_BYTES * ENTRY_BYTES
            if whole:
                self._add(body[:whole])
            if body[whole:]:
                self._add(body[whole:] + b"\xff" * (ENTRY_BYTES - len(body) + whole))

    def copy_to(self, other: "Page") -> None:
        """What lives goes there, entry by entry."""
        for entry, namespace, kind, span, chunk, key, tail in self.items:
            if other.state == BLANK:
                other._begin()
            other.items.append((other.next, namespace, kind, span, chunk, key, tail))
            for part in range(entry, entry + span):
                other._add(self._entry(part))

    def erase_item(self, item: "Item") -> None:
        """Clear its bits."""
        if item in self.items:
            self.items.remove(item)
        self._mark(item[0], item[0] + item[3], ERASED)

    def turn(self, state: int) -> None:
        """FULL or FREEING from now on."""
        if self.state != ACTIVE and (self.state, state) != (FULL, FREEING):
            raise OSError(INVALID_STATE, "NVS")
        self._write(0, pack("<I", state))
        self.state = state

    def erase(self) -> None:
        """The whole page."""
        try:
            self._flash.ioctl(6, self.block)
        except OSError:
            self.state = INVALID
            raise
        self.state = BLANK
        self.items.clear()
        self.table[:] = b"\x03" * ENTRIES
        self.next = 0

    def _begin(self) -> None:
        body = pack("<IB", self.sequence, VERSION) + b"\xff" * 19
        self.state = ACTIVE
        self._write(0, pack("<I", ACTIVE) + body + pack("<I", crc32(body, BLANK)))

    def _add(self, data: bytes) -> None:
        """The next entries."""
        self._write(FIRST_AT + self.next * ENTRY_BYTES, data)
        count = len(data) // ENTRY_BYTES
        self._mark(self.next, self.next + count, WRITTEN)
        self.next += count

    def _mark(self, begin: int, end: int, state: int) -> None:
        """The bitmap, a word of sixteen entries at a time, from the last one on."""
        for entry in range(end - 1, begin - 1, -1):
            self.table[entry] = state
            if entry == begin or entry % 16 == 0:
                word, at = 0, entry - entry % 16
                for place, each in enumerate(self.table[at : at + 16]):
                    word |= each << 2 * place
                if at + 16 > ENTRIES:
                    word |= 0xF0000000
                self._write(TABLE_AT + at // 4, pack("<I", word))

    def _entry(self, entry: int) -> bytes:
        return self._read(FIRST_AT + entry * ENTRY_BYTES, ENTRY_BYTES)

    def _read(self, offset: int, size: int) -> bytes:
        at = self.block * BLOCK_BYTES + offset
        return bytes(self._flash.image[at : at + size])

    def _write(self, offset: int, data: bytes) -> None:
        try:
            self._flash.writeblocks(self.block, data, offset)
        except OSError:
            self.state = INVALID
            raise


class Nvs:
    """One namespace, opened after a start; the partition is six blocks of a flash from `first`."""

    def __init__(self, flash: RamFlash, first: int = 0, namespace: str = "kerbnode"):
        """OSError where the IDF gives up, or a repair can't be written."""
        pages = [Page(flash, first + number) for number in range(PAGES)]
        self._pages = [page for page in pages if page.is_read]  # the oldest first
        self._pages.sort(key=lambda page: page.sequence)
        self._free = [page for page in pages if not page.is_read]
        self._sequence = self._pages[-1].sequence + 1 if self._pages else 0
        if not self._pages:
            self._activate()
        else:
            self._forget_older()
            self._finish_freeing()
            if not self._free:
                raise OSError(NO_FREE_PAGES, "NVS")
        self._drop_halves()
        self._namespace = self._opened(_key(namespace))

    @property
    def free(self) -> int:
        """Pages that are."""
        return len(self._free)

    @property
    def left(self) -> int:
        """Entries of the page that is written."""
        return ENTRIES - self._pages[-1].next

    def get(self, name: str) -> "bytes | None":
        """The blob, or None."""
        return self._get(self._namespace, _key(name))

    def set(self, name: str, blob: bytes) -> None:
        """Write it; durable on return. OSError."""
        key = _key(name)
        found = self._find(self._namespace, INDEX, key)
        start = 0
        if found is not None:
            if self._get(self._namespace, key, look=True) == blob:
                return
            start = found[1][6][5] ^ 128
        self._write_blob(key, blob, start)
        if found is not None:
            self._erase_blob(self._namespace, key, start ^ 128)

    def where(self, name: str) -> "list[tuple[int, int]]":
        """(address, bytes) of each of its items."""
        key, found = _key(name), []
        for page in self._pages:
            for item in page.items:
                if item[5] == key and item[1] == self._namespace:
                    at = page.block * BLOCK_BYTES + FIRST_AT + item[0] * ENTRY_BYTES
                    found.append((at, item[3] * ENTRY_BYTES))
        return found

    def erase(self, name: str) -> None:
        """The blob, if there is one."""
        for version in VERSIONS:
            self._erase_blob(self._namespace, _key(name), version)

    # ---- at a start

    def _forget_older(self) -> None:
        """The last item of all may be the new one of two: the cut came before the old one went."""
        last = self._pages[-1]
        if not last.items:
            return
        _, namespace, kind, _, chunk, key, _ = last.items[-1]
        for page in self._pages[:-1]:
            if page.state != FREEING:
                found = page.find(namespace, kind, key, chunk)
                if found is not None:
                    page.erase_item(found)
                    return

    def _finish_freeing(self) -> None:
        """The page that was being copied is copied anew."""
        for page in self._pages:
            if page.state == FREEING:
                newest = self._pages[-1]
                if newest.state == ACTIVE:
                    newest.erase()
                    self._pages.pop()
                    self._free.append(newest)
                self._activate()
                self._free_up(page)
                return

    def _drop_halves(self) -> None:
        """An index without all of its data goes, and data without its index."""
        whole = []
        data = [item for page in self._pages for item in page.items if item[2] == DATA]
        for page in self._pages:
            for item in list(page.items):
                if item[2] == INDEX:
                    size, count, start = unpack("<IBB", item[6][:6])
                    for piece in data:
                        if piece[1] == item[1] and piece[5] == item[5] and piece[4] & 128 == start:
                            size -= unpack("<H", piece[6][:2])[0]
                            count -= 1
                    if size or count:
                        page.erase_item(item)
                    else:
                        whole.append((item[1], item[5], start))
        for page in self._pages:
            for item in list(page.items):
                if item[2] == DATA:
                    if (item[1], item[5], item[4] & 128) not in whole:
                        page.erase_item(item)

    def _opened(self, key: bytes) -> int:
        """The namespace's number; a new one is written."""
        found = self._find(NAMESPACES, U8, key)
        if found is not None:
            return found[1][6][0]
        number = 1
        while [1 for page in self._pages for item in page.items if item[1:3] == (0, U8)
               and item[6][0] == number]:  # fmt: skip
            number += 1
        self._room(1).put(NAMESPACES, U8, key, NO_CHUNK, bytes((number,)) + b"\xff" * 7)
        return number

    # ---- blobs

    def _find(
        self, namespace: int, kind: int, key: bytes, chunk: int = NO_CHUNK
    ) -> "tuple[Page, Item] | None":
        for page in self._pages:
            item = page.find(namespace, kind, key, chunk)
            if item is not None:
                return page, item
        return None

    def _get(self, namespace: int, key: bytes, *, look: bool = False) -> "bytes | None":
        """`look`: what is damaged stays."""
        found = self._find(namespace, INDEX, key)
        if found is None:
            return None
        _, count, start = unpack("<IBB", found[1][6][:6])
        body = b""
        for chunk in range(start, start + count):
            piece = self._find(namespace, DATA, key, chunk)
            data = piece[0].data(piece[1]) if piece else None
            if data is None:
                for version in () if look else VERSIONS:
                    self._erase_blob(namespace, key, version)
                return None
            body += data
        return body

    def _write_blob(self, key: bytes, blob: bytes, start: int) -> None:
        """Chunks where there is room, then the index."""
        pages: list[Page] = []
        at = 0
        try:
            while True:
                page = self._pages[-1]
                room = page.room
                if not pages and room < len(blob) and room < CHUNK_BYTES // 10:
                    self._turn_page()
                    if self._pages[-1].room == room:
                        raise OSError(NOT_ENOUGH_SPACE, "NVS")
                    continue
                if not room:
                    raise OSError(NOT_ENOUGH_SPACE, "NVS")
                piece = blob[at : at + room]
                page.put(self._namespace, DATA, key, start + len(pages), piece)
                pages.append(page)
                at += len(piece)
                if at < len(blob) or room - len(piece) < ENTRY_BYTES:
                    self._turn_page()
                if at == len(blob):
                    break
            tail = pack("<IBBH", len(blob), len(pages), start, 0xFFFF)
            self._pages[-1].put(self._namespace, INDEX, key, NO_CHUNK, tail)
        except OSError as fault:
            if fault.errno == PAGE_FULL:
                raise OSError(NOT_ENOUGH_SPACE, "NVS")
            for number, page in enumerate(pages):
                found = page.find(self._namespace, DATA, key, number)
                if found is not None:
                    page.erase_item(found)
            raise

    def _erase_blob(self, namespace: int, key: bytes, start: int) -> None:
        """The index of that version first."""
        for page in self._pages:
            for item in page.items if page.is_read else ():
                if item[5] == key and item[1:3] == (namespace, INDEX) and item[6][5] == start:
                    page.erase_item(item)
                    break
        for page in self._pages:
            for item in list(page.items) if page.is_read else ():
                if item[5] == key and item[1:3] == (namespace, DATA) and item[4] & 128 == start:
                    page.erase_item(item)

    # ---- pages

    def _room(self, count: int) -> Page:
        """The page that is written, with so many entries left."""
        page = self._pages[-1]
        if page.state == FULL or page.next + count > ENTRIES:
            self._turn_page()
        return self._pages[-1]

    def _turn_page(self) -> None:
        """Another page is written from now on; the last free one takes what another one has."""
        if self._pages[-1].state != FULL:
            self._pages[-1].turn(FULL)
        if not self._free:
            raise OSError(INVALID_STATE, "NVS")
        if len(self._free) >= 2:
            self._activate()
            return
        victim = min(self._pages, key=lambda page: page.used)
        if victim.used == ENTRIES:
            raise OSError(NOT_ENOUGH_SPACE, "NVS")
        victim.turn(FREEING)
        self._activate()
        self._free_up(victim)

    def _activate(self) -> None:
        page = self._free[0]
        if page.state == CORRUPT:
            page.erase()
        self._free.pop(0)
        page.sequence = self._sequence
        self._sequence += 1
        self._pages.append(page)

    def _free_up(self, page: Page) -> None:
        """Copy it to the newest, erase it."""
        page.copy_to(self._pages[-1])
        page.erase()
        self._pages.remove(page)
        self._free.append(page)


def _sound(head: bytes) -> bool:
    return bool(unpack("<I", head[4:8])[0] == crc32(head[:4] + head[8:], BLANK))


def _key(name: str) -> bytes:
    key = name.encode()
    if not 0 < len(key) <= NAME_BYTES:
        raise OSError(KEY_TOO_LONG, "NVS")
    return key + bytes(16 - len(key))
