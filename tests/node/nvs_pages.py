"""The ESP32's NVS as a model: a log of checked entries on six pages (ESP-IDF, "NVS internals").

A blob is a data item and then an index item that makes it valid; only then is the old pair erased
by clearing bits. A page that is full is never written again; the one with most erased entries is
copied and erased when one free page is left. Two blobs are two operations: nothing holds them
together.
What the IDF has and this has not: namespaces, blobs over several pages, encryption.
"""

from binascii import crc32
from struct import pack, unpack

from node.ram_flash import BLOCK_BYTES, RamFlash

PAGES = 6
ENTRIES = 126
ENTRY_BYTES = 32
AT = 64  # of the first entry, behind page header and bitmap
DATA, INDEX = 0x42, 0x48
FREE, WRITTEN, ERASED = 3, 2, 0  # an entry's two bits
ACTIVE, FULL, FREEING = 0xFFFFFFFE, 0xFFFFFFFC, 0xFFFFFFF8
EMPTY = 0xFFFFFFFF
BLANK = b"\xff" * ENTRY_BYTES


class Nvs:
    """Opened on a flash after each boot; repairs what a power cut left."""

    def __init__(self, flash: RamFlash):
        self._flash = flash
        self._pages = []  # (sequence, page), oldest first
        self._known = {}  # page: its items, until it is written
        for page in range(PAGES):
            state, sequence, check = unpack("<III", self._read(page, 0, 12))
            if state == EMPTY and sequence == 0xFFFFFFFF:
                continue
            if check != crc32(pack("<I", sequence)):
                self._erase(page)
                continue
            self._pages.append((sequence, page))
        self._pages.sort()
        for _, page in self._pages:
            self._settle(page)
        for _, page in list(self._pages):
            if self._state(page) == FREEING:
                self._move_out(page)
        self._drop_doubles()

    def get(self, name: str) -> "bytes | None":
        """The blob, or None."""
        found = self._find(name)
        if found is None:
            return None
        page, entry = found[1]
        return self._data(page, entry)

    def set(self, name: str, blob: bytes) -> None:
        """Write it; durable on return."""
        old = self._find(name)
        version = 0 if old is None else old[2] ^ 1
        count = 1 + (len(blob) + ENTRY_BYTES - 1) // ENTRY_BYTES
        page = self._room(count + 1)
        if old is not None:
            old = self._find(name)  # making room may have moved it
        self._put(page, DATA, name, version, blob)
        self._put(page, INDEX, name, version, b"")
        if old is not None:
            for at in old[:2]:
                self._mark(at[0], at[1], ERASED)

    # ---- pages

    def _room(self, count: int) -> int:
        """A page with so many free entries behind its last used one."""
        if self._pages and self._state(self._pages[-1][1]) == ACTIVE:
            page = self._pages[-1][1]
            if ENTRIES - self._end(page) >= count:
                return page
            self._set_state(page, FULL)
        page = self._new_page()
        if len(self._pages) == PAGES:  # the last free one: give another back
            victim = max(self._pages[:-1], key=lambda pair: self._erased(pair[1]))[1]
            self._set_state(victim, FREEING)
            self._move_out(victim)
            return self._room(count)
        return page

    def _new_page(self) -> int:
        used = [page for _, page in self._pages]
        page = next(page for page in range(PAGES) if page not in used)
        sequence = self._pages[-1][0] + 1 if self._pages else 0
        self._write(page, 4, pack("<II", sequence, crc32(pack("<I", sequence))))
        self._set_state(page, ACTIVE)
        self._pages.append((sequence, page))
        return page

    def _move_out(self, page: int) -> None:
        """Copy what lives to the newest page, then erase this one."""
        if self._pages[-1][1] == page or self._state(self._pages[-1][1]) != ACTIVE:
            self._new_page()
        target = self._pages[-1][1]
        for entry, kind, name, version, _ in self._items(page):
            body = self._data(page, entry) if kind == DATA else b""
            twice = [i for i in self._items(target) if i[1:4] == (kind, name, version)]
            if body is not None and not twice:
                self._put(target, kind, name, version, body)
        self._erase(page)
        self._pages = [pair for pair in self._pages if pair[1] != page]

    def _settle(self, page: int) -> None:
        """Give up items that a power cut left half written."""
        entry = 0
        while entry < ENTRIES:
            head = self._read(page, AT + entry * ENTRY_BYTES, ENTRY_BYTES)
            state = self._bits(page, entry)
            if state == FREE and head == BLANK:
                break
            span = head[2] if self._sound(head) else 1
            if state == FREE:
                self._mark(page, entry, ERASED)
            elif state == WRITTEN:
                whole = self._sound(head) and entry + span <= ENTRIES
                for part in range(entry, min(entry + span, ENTRIES)):
                    whole = whole and self._bits(page, part) == WRITTEN
                if not whole or (head[1] == DATA and self._data(page, entry) is None):
                    for part in range(entry, min(entry + span, ENTRIES)):
                        self._mark(page, part, ERASED, one=True)
            entry += span

    def _drop_doubles(self) -> None:
        """Of two pairs with one name the newer lives; data without an index goes."""
        live = {}
        for _, page in self._pages:
            for _, kind, name, version, _ in self._items(page):
                if kind == INDEX and self._locate(name, version, DATA):
                    live[name] = version
        for _, page in self._pages:
            for entry, _, name, version, _ in self._items(page):
                if live.get(name) != version:
                    self._mark(page, entry, ERASED)

    # ---- items

    def _find(self, name: str) -> "tuple[tuple[int, int], tuple[int, int], int] | None":
        """(index, data, version) of the newest whole pair, each as (page, entry)."""
        found = None
        for version in (0, 1):
            index, data = self._locate(name, version, INDEX), self._locate(name, version, DATA)
            if index and data:
                order = (next(s for s, p in self._pages if p == index[0]), index[1])
                if found is None or order > found[0]:
                    found = (order, (index, data, version))
        return found[1] if found else None

    def _locate(self, name: str, version: int, kind: int) -> "tuple[int, int] | None":
        place = None
        for _, page in self._pages:
            for entry, its_kind, its_name, its_version, _ in self._items(page):
                if its_name == name and its_kind == kind and its_version == version:
                    place = (page, entry)
        return place

    def _items(self, page: int) -> "list[tuple[int, int, str, int, int]]":
        """(entry, kind, name, version, span) of all that is written there."""
        if page in self._known:
            return self._known[page]
        items = self._known[page] = []
        entry = 0
        while entry < ENTRIES:
            head = self._read(page, AT + entry * ENTRY_BYTES, ENTRY_BYTES)
            if head == BLANK:
                break  # they are used in order
            sound = self._sound(head)
            if self._bits(page, entry) == WRITTEN and sound:
                name = head[8:24].rstrip(b"\x00").decode()
                items.append((entry, head[1], name, head[3], head[2]))
            entry += head[2] if sound else 1
        return items

    def _put(self, page: int, kind: int, name: str, version: int, body: bytes) -> None:
        entry = self._end(page)
        span = 1 + (len(body) + ENTRY_BYTES - 1) // ENTRY_BYTES
        tail = pack("<II", len(body), crc32(body))
        start = bytes([1, kind, span, version])
        key = name.encode()
        key += bytes(16 - len(key))
        head = start + pack("<I", crc32(start + key + tail)) + key + tail
        self._write(page, AT + entry * ENTRY_BYTES, head)
        self._mark(page, entry, WRITTEN, one=True)
        if body:
            padded = body + b"\xff" * (-len(body) % ENTRY_BYTES)
            self._write(page, AT + (entry + 1) * ENTRY_BYTES, padded)
            for part in range(entry + 1, entry + span):
                self._mark(page, part, WRITTEN, one=True)

    def _data(self, page: int, entry: int) -> "bytes | None":
        head = self._read(page, AT + entry * ENTRY_BYTES, ENTRY_BYTES)
        size, check = unpack("<II", head[24:])
        if size > ENTRIES * ENTRY_BYTES:
            return None
        body = self._read(page, AT + (entry + 1) * ENTRY_BYTES, size)
        return body if crc32(body) == check else None

    def _end(self, page: int) -> int:
        """The first entry behind all that was ever used."""
        for entry in range(ENTRIES, 0, -1):
            if self._bits(page, entry - 1) != FREE:
                return entry
        return 0

    def _erased(self, page: int) -> int:
        return sum([self._bits(page, entry) != WRITTEN for entry in range(ENTRIES)])

    def _mark(self, page: int, entry: int, state: int, *, one: bool = False) -> None:
        """Clear bits of the bitmap: of one entry, or of an item's whole span."""
        span = 1
        if not one:
            head = self._read(page, AT + entry * ENTRY_BYTES, ENTRY_BYTES)
            span = head[2] if self._sound(head) else 1
        for part in range(entry, entry + span):
            byte = self._read(page, 32 + part // 4, 1)[0]
            mask = 0xFF & ~((3 ^ state) << part % 4 * 2)
            self._write(page, 32 + part // 4, bytes([byte & mask]))

    def _bits(self, page: int, entry: int) -> int:
        return self._read(page, 32 + entry // 4, 1)[0] >> entry % 4 * 2 & 3

    def _sound(self, head: bytes) -> bool:
        check = unpack("<I", head[4:8])[0]
        return bool(head[2]) and check == crc32(head[:4] + head[8:])

    # ---- flash

    def _state(self, page: int) -> int:
        state: int = unpack("<I", self._read(page, 0, 4))[0]
        return state

    def _set_state(self, page: int, state: int) -> None:
        self._write(page, 0, pack("<I", state))

    def _read(self, page: int, offset: int, size: int) -> bytes:
        at = page * BLOCK_BYTES + offset
        return bytes(self._flash.image[at : at + size])

    def _write(self, page: int, offset: int, data: bytes) -> None:
        self._known.pop(page, None)
        self._flash.writeblocks(page, data, offset)

    def _erase(self, page: int) -> None:
        self._known.pop(page, None)
        self._flash.ioctl(6, page)
