"""What a schema is made of: its fields, how their numbers are foretold, and its hash."""

from hashlib import sha256

from kerbwire import cbor
from kerbwire.limits import SCHEMA_HASH_BYTES

# How a number is foretold from the record before and from the other numbers of its own record: a
# closed list. BATCH sends what is left; `columns` says how each is computed.
LAST = 0  # the same as before
NOTHING = 1  # 0: each number stands for itself
LATEST = 2  # the last number of the field referred to
TOTAL = 3  # before + the sum of the field referred to
ELAPSED = 4  # before + the seconds that have passed
INTEGRAL = 5  # before + the field referred to x seconds / argument
HOURS = 6  # before + full hours in which the field referred to was not 0
SHARE = 7  # as large a share of the field referred to as in all rows of the batch so far
SLOPE = 8  # before + the other field's step x slope / 2^argument; the batch names the slope
REFERRING = (LATEST, TOTAL, INTEGRAL, HOURS, SHARE, SLOPE)
CARRIED = (LAST, TOTAL, ELAPSED, INTEGRAL, HOURS, SHARE, SLOPE)  # need the record before


class Field:
    """One field: `scale` is the number of decimal digits, 24.5 W at scale 1 travels as 245.

    It has `count` numbers. `reference` is the index of the field that its predictor looks at.
    """

    __slots__ = ("argument", "count", "name", "predictor", "reference", "scale", "unit")

    def __init__(
        self,
        name: str,
        scale: int,
        unit: str,
        predictor: "tuple[int, int, int]" = (LAST, 0, 0),
        count: int = 1,
    ):
        self.name = name
        self.scale = scale
        self.unit = unit  # UN/CEFACT Recommendation 20 common code
        self.predictor, self.reference, self.argument = predictor
        self.count = count


class Schema:
    """An asset class's fields in wire order; `hash` names this very text of it for ever."""

    __slots__ = ("class_id", "elapsed", "fields", "hash", "name", "version", "width")

    def __init__(self, class_id: int, name: str, version: int, fields: "tuple[Field, ...]"):
        self.class_id = class_id
        self.name = name
        self.version = version
        self.fields = fields
        self.width = 0  # numbers of one record
        # Of a REPORT's differences these numbers alone are foretold: they change with each second.
        self.elapsed: tuple[int, ...] = ()
        for field in fields:
            if field.predictor == ELAPSED:
                self.elapsed += (self.width,)
            self.width += field.count
        self.hash = sha256(self.encode()).digest()[:SCHEMA_HASH_BYTES]

    def encode(self) -> bytes:
        """Deterministic CBOR: class, version, then name, scale and unit of each field.

        From version 2 on also each field's predictor, reference, argument and count.
        """
        items: list[int | bytes] = [self.class_id, self.version]
        for field in self.fields:
            items += [field.name.encode(), field.scale, field.unit.encode()]
            if self.version > 1:
                items += [field.predictor, field.reference, field.argument, field.count]
        return cbor.encode(items)

    def begins_with(self, width: int) -> bool:
        """Are so many numbers those of its first fields, as a record of an older version has?"""
        for field in self.fields:
            width -= field.count
            if width <= 0:
                return width == 0
        return False

    @property
    def profile(self) -> bool:
        """Has a field more than one number? Then its live reports are batches of one."""
        return self.width > len(self.fields)
