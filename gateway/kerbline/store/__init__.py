"""The gateway's durable memory: one SQLite file with all that the city has not acknowledged."""

from kerbline.store.batch import Batch
from kerbline.store.database import (
    FILE_NAME,
    StoreBlocked,
    StoreCorrupt,
    StoreError,
    StoreTaken,
    StoreTooNew,
)
from kerbline.store.group import GroupCommit, GroupPolicy
from kerbline.store.history import Point
from kerbline.store.holdings import Span
from kerbline.store.ledger import CommandLedger, Submission
from kerbline.store.notes import BOOTS_KEPT, Anchor, Notes
from kerbline.store.retention import RetentionPolicy
from kerbline.store.store import Committed, Store

__all__ = [
    "BOOTS_KEPT",
    "FILE_NAME",
    "Anchor",
    "Batch",
    "CommandLedger",
    "Committed",
    "GroupCommit",
    "GroupPolicy",
    "Notes",
    "Point",
    "RetentionPolicy",
    "Span",
    "Store",
    "StoreBlocked",
    "StoreCorrupt",
    "StoreError",
    "StoreTaken",
    "StoreTooNew",
    "Submission",
]
