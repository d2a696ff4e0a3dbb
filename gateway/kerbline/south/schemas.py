"""The schemas that this gateway knows: those of its version and those that nodes have taught it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from kerbwire import catalogue
from kerbwire.errors import RemoteError
from kerbwire.schema import Schema

Schemas = dict[bytes, Schema]  # by hash

RULE = "schema"  # under which the store remembers encodings, by hash


def known(remembered: Mapping[str, str]) -> Schemas:
    """All of them by hash; `remembered` has the encodings that nodes taught, as hexadecimal."""
    schemas = catalogue.built_in()
    for encoding in remembered.values():
        with suppress(RemoteError):  # a later version took what this one refuses
            schema = catalogue.decode(bytes.fromhex(encoding))
            schemas[schema.hash] = schema
    return schemas
