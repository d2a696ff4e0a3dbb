"""The gateway's schemas: those of this version, and those that it asked its nodes for.

A schema's encoding comes as an object and is decoded within bounds; it is known from then on.
"""

from kerbwire import cbor
from kerbwire import fields as s
from kerbwire import messages as m
from kerbwire import schema as known
from kerbwire.errors import RemoteError
from kerbwire.limits import (
    BACKOFF_MIN_MS,
    SCHEMA_BYTES,
    SCHEMA_NAME_BYTES,
    SCHEMAS,
    TRIES,
    VALUES,
)
from kerbwire.report import integers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.asking import Asking

    Event = tuple[object, ...]
    Schemas = dict[bytes, s.Schema]

_SCALE_MAX = 18
_NUMBER_MAX = 1 << 31
_SHIFT_MAX = 30  # of SLOPE
_NAME = b"abcdefghijklmnopqrstuvwxyz0123456789_"


def built_in() -> "Schemas":
    """The schemas of this version, by hash."""
    return {schema.hash: schema for schema in known.SCHEMAS + known.OLDER}


def decode(encoding: bytes) -> s.Schema:
    """A schema from what Schema.encode makes; RemoteError("schema") where it is none."""
    try:
        items = cbor.decode(encoding, 2 + 7 * VALUES)
    except RemoteError:
        raise RemoteError("schema")
    if len(items) < 2:
        raise RemoteError("schema")
    class_id, version = items[0], items[1]
    if not isinstance(class_id, int) or not isinstance(version, int):
        raise RemoteError("schema")
    step = 3 if version == 1 else 7
    count, rest = divmod(len(items) - 2, step)
    if rest or not 0 < count <= VALUES or not 0 <= class_id < 1 << 16 or not 0 < version < 1 << 16:
        raise RemoteError("schema")
    fields = tuple([_field(items[at : at + step], count) for at in range(2, len(items), step)])
    for index, field in enumerate(fields):
        other = fields[field.reference]
        if (
            field.predictor in s.REFERRING
            and other.predictor in s.REFERRING
            and field.reference >= index  # itself, or one that is foretold after it
        ):
            raise RemoteError("schema")
    names = [schema.name for schema in known.SCHEMAS if schema.class_id == class_id]
    schema = s.Schema(class_id, names[0] if names else "class_%d" % class_id, version, fields)
    if schema.width > VALUES or len(set([field.name for field in fields])) < len(fields):
        raise RemoteError("schema")
    return schema


def _field(items: "list[int | bytes]", count: int) -> s.Field:
    """One of `count` fields."""
    name, unit = items[0], items[2]
    try:
        numbers = integers([items[1]] + items[3:], len(items) - 2)
    except RemoteError:
        raise RemoteError("schema")
    if not isinstance(name, bytes) or not isinstance(unit, bytes):
        raise RemoteError("schema")
    if not 0 < len(name) <= SCHEMA_NAME_BYTES or any([letter not in _NAME for letter in name]):
        raise RemoteError("schema")
    if len(unit) > 3 or any([not 32 < letter < 127 for letter in unit]):
        raise RemoteError("schema")
    scale, predictor, reference, argument, width = (numbers + [s.LAST, 0, 0, 1])[:5]
    if not (
        0 <= scale <= _SCALE_MAX
        and s.LAST <= predictor <= s.SLOPE
        and 0 <= reference < count
        and (predictor == s.INTEGRAL) <= argument < _NUMBER_MAX
        and (predictor != s.SLOPE or argument <= _SHIFT_MAX)
        and 0 < width <= VALUES
        and (width == 1 or predictor == s.NOTHING)  # a batch foretells single numbers only
    ):
        raise RemoteError("schema")
    return s.Field(name.decode(), scale, unit.decode(), (predictor, reference, argument), width)


class Catalogue:
    """Finds a node's schemas by hash; asks it for the one that is lacking.

    What a node teaches is for that node alone, so none can crowd out another's.
    """

    __slots__ = (
        "_failed",
        "_handle",
        "_in_use",
        "_parts",
        "_schemas",
        "_taught",
        "class_id",
        "lacking",
    )

    def __init__(self, schemas: "Schemas | None"):
        """`schemas`: all that are known of this node, by hash; None for those of this version."""
        ours = built_in()
        self._schemas = ours if schemas is None else schemas
        self._taught = [digest for digest in self._schemas if digest not in ours]
        self._in_use = b""  # the session's: never forgotten
        self._failed = 0  # transfers of this session that ended badly
        self._handle = -1
        self._parts: list[bytes] = []
        self.class_id: int | None = None  # the only one that it teaches; None: any
        self.lacking = b""  # the hash that the node is asked for

    def begin(self, digest: bytes) -> None:
        """A new session, whose reports are in that schema."""
        self._in_use = digest
        self._failed = 0

    def find(self, digest: bytes) -> "s.Schema | None":
        """The schema of that hash; else None, and it is lacking."""
        schema = self._schemas.get(digest)
        if schema is None:
            self.lacking = digest
        elif digest in self._taught:  # the one used last is forgotten last
            self._taught.remove(digest)
            self._taught.append(digest)
        return schema

    @property
    def wanted(self) -> bytes:
        """The hash to ask the node for now; b"" for none, or after too many bad answers."""
        return self.lacking if self._failed < TRIES else b""

    def take(self, event: "Event", objects: "Asking", now: int) -> "Event | None":
        """An event of `objects`: None where it was about the schema lacking, unless that is there.

        RemoteError("schema") where it is no schema.
        """
        if event[0] == "OFFER":
            _, handle, kind, digest, size, _ = event
            if not isinstance(handle, int) or not isinstance(digest, bytes):
                return event
            if kind != m.OBJECT_SCHEMA or not self.lacking or not digest.startswith(self.lacking):
                return event
            self._parts = []
            if isinstance(size, int) and size <= SCHEMA_BYTES:
                self._handle = handle
                objects.want(b"")
                objects.accept(handle)
            else:
                objects.refuse(handle)
                self._ask_again(objects, now)
            return None
        if event[0] in ("BLOCK", "OBJECT") and event[1] == self._handle:
            if event[0] == "BLOCK" and isinstance(event[3], bytes):
                self._parts.append(event[3])
                return None
            self._handle = -1
            encoding = b"".join(self._parts)
            self._parts = []
            try:
                if event[2]:
                    return self._learnt(encoding)
            except RemoteError:
                self._ask_again(objects, now)
                raise
            self._ask_again(objects, now)
            return None
        return event

    def _ask_again(self, objects: "Asking", now: int) -> None:
        """What came is not what is lacking: once more, later and later, a few times a session."""
        self._failed += 1
        objects.want(self.wanted, now + (BACKOFF_MIN_MS << self._failed))

    def _learnt(self, encoding: bytes) -> "Event":
        schema = decode(encoding)
        if self.class_id not in (None, schema.class_id):
            raise RemoteError("schema")
        forgotten = b""
        if len(self._taught) == SCHEMAS:
            forgotten = next(digest for digest in self._taught if digest != self._in_use)
            self._taught.remove(forgotten)
            del self._schemas[forgotten]
        self._taught.append(schema.hash)
        self._schemas[schema.hash] = schema
        if schema.hash == self.lacking:
            self.lacking = b""
        return "SCHEMA", schema.hash, encoding, forgotten
