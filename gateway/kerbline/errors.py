"""The base of every error that a person may cause or mend; nothing here knows why it happened."""

from __future__ import annotations


class KerblineError(Exception):
    """An expected failure: its text is for a person, `code` is for a program.

    Any other exception that leaves a module of ours is a bug.
    """

    code = "failed"
    exit_status = 1
