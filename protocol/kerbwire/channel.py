"""One session's sealed channel: seals what goes out, opens what comes in, refuses replays."""

from kerbwire import frame
from kerbwire.errors import RemoteError
from kerbwire.limits import REPLAY_WINDOW
from kerbwire.messages import CLASS_REPORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.seal import Buffer, Cipher

# COSE Enc_structure (RFC 9052 section 5.3) up to the external AAD: ["Encrypt0", h'', ...
_ENC_STRUCTURE = b"\x83\x68Encrypt0\x40"


UP_ID = b"\x00"  # sender id of the node (RFC 8613 section 3.1)
DOWN_ID = b"\x01"  # sender id of the gateway


class Keys:
    """Both sender keys of a session as ciphers, and the common IV (RFC 8613 section 3.2)."""

    __slots__ = ("_iv", "_nonce", "down", "up")

    def __init__(self, up: "Cipher", down: "Cipher", iv: bytes):
        self.up = up
        self.down = down
        self._iv = iv
        self._nonce = bytearray(iv)  # made once

    def nonce(self, sender_id: bytes, fseq: int) -> bytearray:
        """RFC 8613 section 5.2: id's length, id to 7 bytes, 40-bit number, xor the common IV.

        It is good until the next call.
        """
        nonce, iv = self._nonce, self._iv
        nonce[0] = iv[0] ^ len(sender_id)
        nonce[7] = iv[7] ^ (sender_id[0] if sender_id else 0)  # ours have one byte at most
        for at in range(12, 7, -1):
            nonce[at] = iv[at] ^ fseq & 0xFF
            fseq >>= 8
        return nonce


class Channel:
    """Keys, counters and replay window of one session, for one side of it.

    `schema_hash` is empty until this session's INFO has named it. `sent` counts the frames out,
    `opened` is the number of the frame that was opened last.
    """

    __slots__ = (
        "_keys",
        "_seen",
        "_top",
        "address",
        "born_ms",
        "direction",
        "failed_tags",
        "last_sent_ms",
        "opened",
        "parity",
        "schema_hash",
        "sent",
    )

    def __init__(
        self,
        keys: "Keys",
        direction: int,
        parity: int,
        address: "int | None",
        now: int,
    ):
        self._keys = keys
        self.direction = direction  # of what goes out
        self.parity = parity
        self.address = address
        self.born_ms = now
        self.sent = 0
        self.last_sent_ms = now
        self.failed_tags = 0
        self.schema_hash = b""
        self.opened = -1
        self._top = -1
        self._seen = bytearray(REPLAY_WINDOW)  # 1 at number % REPLAY_WINDOW: it was opened

    @property
    def top(self) -> int:
        """The highest fseq opened so far, -1 before the first."""
        return self._top

    @property
    def heard_newest(self) -> bool:
        """Was the frame that was opened last the newest so far?"""
        return self.opened == self._top

    def seal(self, class_: int, body: "Buffer", now: int) -> bytes:
        """The next frame out."""
        fseq = self.sent
        self.sent += 1
        self.last_sent_ms = now
        header = frame.sealed_header(class_, self.direction, self.address, self.parity, fseq)
        down = self.direction
        cipher = self._keys.down if down else self._keys.up
        nonce = self._keys.nonce(DOWN_ID if down else UP_ID, fseq)
        return cipher.seal(nonce, self._aad(class_, header, len(header)), body, header)

    def _aad(self, class_: int, data: "Buffer", size: int) -> bytearray:
        """The Enc_structure of a frame whose header is data[:size]."""
        schema_hash = self.schema_hash if class_ == CLASS_REPORT else b""
        aad = bytearray(_ENC_STRUCTURE)
        aad.append(0x40 | size + len(schema_hash))  # at most 12 bytes: a one-byte CBOR head
        for at in range(size):
            aad.append(data[at])
        aad.extend(schema_hash)
        return aad

    def open(self, header: frame.Header, data: "Buffer") -> "bytes | bytearray":
        """The body of a frame from the peer; RemoteError("replay" or "tag")."""
        fseq = self.number(header)
        if fseq < 0:
            raise RemoteError("replay")
        down = header.direction
        cipher = self._keys.down if down else self._keys.up
        nonce = self._keys.nonce(DOWN_ID if down else UP_ID, fseq)
        aad = self._aad(header.class_, data, header.size)
        body = cipher.open(nonce, aad, data, header.size, header.end)
        if body is None:
            self.failed_tags += 1
            raise RemoteError("tag")
        self.opened = fseq
        for skipped in range(max(self._top + 1, fseq - REPLAY_WINDOW + 1), fseq):
            self._seen[skipped % REPLAY_WINDOW] = 0
        self._seen[fseq % REPLAY_WINDOW] = 1
        self._top = max(self._top, fseq)
        return body

    def number(self, header: frame.Header) -> int:
        """The whole number of the peer's frame; -1 for one opened before or too old to know."""
        fseq = frame.nearest(header.fseq, header.fseq_bits, self._top + 1)
        if fseq > self._top:
            return fseq
        old = fseq <= self._top - REPLAY_WINDOW or self._seen[fseq % REPLAY_WINDOW]
        return -1 if old else fseq
