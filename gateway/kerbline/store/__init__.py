"""The gateway's durable memory: one SQLite file with all that the city has not acknowledged."""

from kerbline.store.database import StoreBlocked, StoreCorrupt, StoreError, StoreTaken, StoreTooNew
from kerbline.store.group import GroupCommit, GroupPolicy
from kerbline.store.holdings import Span
from kerbline.store.ledger import CommandLedger, Submission
from kerbline.store.retention import RetentionPolicy
from kerbline.store.store import Anchor, Batch, Committed, Notes, Store

__all__ = [
    "Anchor",
    "Batch",
    "CommandLedger",
    "Committed",
    "GroupCommit",
    "GroupPolicy",
    "Notes",
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
