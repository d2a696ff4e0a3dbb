"""The schemas that a node may report in: those of this version and those that it has taught us."""

from __future__ import annotations

from contextlib import suppress

from kerbwire import catalogue
from kerbwire.errors import RemoteError
from kerbwire.schema import Schema

Schemas = dict[bytes, Schema]  # by hash

RULE = "schema"  # under which the store remembers what a node taught, by node


def known(remembered: str | None) -> Schemas:
    """All of a node's by hash; `remembered` is what `taught` made of them."""
    schemas = catalogue.built_in()
    for encoding in (remembered or "").split():
        with suppress(RemoteError):  # a later version took what this one refuses
            schema = catalogue.decode(bytes.fromhex(encoding))
            schemas[schema.hash] = schema
    return schemas


def taught(schemas: Schemas) -> str:
    """The encodings of those that are not of this version, as hexadecimal, with blanks between."""
    ours = catalogue.built_in()
    return " ".join(s.encode().hex() for digest, s in schemas.items() if digest not in ours)
