"""What a broker's answer means for what was sent: pure, of status, headers and body alone.

ETSI GS CIM 009 V1.8.1, 5.5 and 6.3.2 (errors), 6.15.3 and 6.18.3 (upsert, temporal); RFC 9110,
10.2.3 (Retry-After). Real brokers differ in the body of a 207: each form known is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

LONGEST_S = 86_400.0  # no broker is believed that wants us away for more than a day
REASON_CHARS = 300
# What passes by itself: time-out, conflict, too early, too many, and the server's own troubles.
_TRANSIENT = frozenset([408, 409, 425, 429, 500, 502, 503, 504, 507])
_REFUSING = frozenset([400, 422])
_TRANSIENT_TYPES = (
    *("InternalError", "LdContextNotAvailable", "AlreadyExists", "Conflict"),
    *("TooManyRequests", "TooManyPendingRequests", "Timeout", "Unavailable"),  # not of 5.5.2, seen
)


@dataclass(frozen=True, slots=True)
class Done:
    """All of it is there."""


@dataclass(frozen=True, slots=True)
class Partly:
    """All is there but these, by what names them (entities; of a history attributes)."""

    again: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Again:
    """Nothing of it is known to be there; not before `after_s`, if the broker named a time."""

    reason: str
    after_s: float | None = None
    pending: bool = False  # it may be taken yet, after all that is sent now


@dataclass(frozen=True, slots=True)
class Split:
    """Too large: in parts."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It will never be taken as it is; the broker named these of what was in it, or none."""

    reason: str
    named: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """It hinders somebody, or the broker stumbles over it: again, but not for ever."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """The token is not good, or not any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Plain:
    """Compressed bodies are not taken here."""

    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody has to mend the config or the broker; what was sent is as good as it was."""

    reason: str


Verdict = Done | Partly | Again | Split | Refused | Conflict | Unauthorized | Plain | Held


def judged(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    names: Collection[str],
    now_s: float,
) -> Verdict:
    """What to do; `headers` by small letters, `names` of what was sent, `now_s` UTC since 1970."""
    document = _document(body)
    if status == 207:
        return _parted(document, names)
    if 200 <= status < 300:
        return _with_errors(document, names) or Done()
    reason = f"{status} {_told(document)}".strip()
    if status in (401, 407):
        return Unauthorized(reason)
    if status == 413:
        return Split(reason)
    if status == 409 or (status == 500 and _is_unexplained(document, headers)):
        return Conflict(reason)
    if status == 415:
        return Plain(reason)
    if status in _TRANSIENT or _is_transient_type(document):
        return Again(reason, retry_after_s(headers, now_s), pending=status == 504)
    if status in _REFUSING and headers.get("content-type", "").startswith("text/html"):
        return Conflict(reason)  # something before the broker says so, and perhaps of anything
    if status in _REFUSING:
        text = body.decode(errors="replace")
        return Refused(reason, tuple([name for name in names if _names(text, name)]))
    if 300 <= status < 400:
        return Held(f"{status}: it redirects to {headers.get('location', 'nowhere')[:100]}")
    if status >= 500 and status not in (501, 505):
        return Again(reason, retry_after_s(headers, now_s))
    return Held(reason)


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """How long a broker wants to be left alone; None where it does not say.

    A date counts from the answer's own Date: the broker's clock may differ from ours.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_S)
    until_s = date_s(text)
    if until_s is None:
        return None
    said_s = date_s(headers.get("date", ""))
    return min(max(0.0, until_s - (now_s if said_s is None else said_s)), LONGEST_S)


def _names(text: str, name: str) -> bool:
    return name in text and re.search(rf"{re.escape(name)}(?![\w:-])", text) is not None


def date_s(text: str) -> float | None:
    """A header's date in seconds since 1970, None where it is none (RFC 9110, 5.6.7)."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _document(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _parted(document: object, names: Collection[str]) -> Verdict:
    """A 207 has to tell of what it is one; what it does not name was not taken."""
    if isinstance(document, dict) and ("notUpdated" in document or "updated" in document):
        return Partly(refused=dict(_attributes(document.get("notUpdated"))))
    found = _with_errors(document, names)
    if found is not None:
        return found
    known = isinstance(document, dict) and isinstance(document.get("success"), list)
    if known and not any(_failures(document)):  # or one failed that we can't tell
        return Done()
    return Again("207 that does not tell what was taken")


def _with_errors(document: object, names: Collection[str]) -> Partly | None:
    """What a batch's answer says of its entities; None where it names no failure."""
    again: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name, error in _failures(document):
        if name in names:
            reason = _told(error) or "it tells no reason"
            (again if _is_transient(error) else refused)[name] = reason
    if isinstance(document, dict) and isinstance(document.get("success"), list):
        success = {each for each in document["success"] if isinstance(each, str)}
        if success or again or refused:
            for name in names:
                if name not in success and name not in refused:
                    again.setdefault(name, "207 that does not name it")
    return Partly(again, refused) if again or refused else None


def _failures(document: object) -> Iterator[tuple[str, object]]:
    """Entities and why they failed: clause 5.2.17, or an array with one object an entity."""
    if isinstance(document, dict):
        errors = document.get("errors")
        for each in errors if isinstance(errors, list) else []:
            if isinstance(each, dict):
                yield str(each.get("entityId", each.get("id", ""))), each.get("error", each)
    elif isinstance(document, list):
        for each in document:
            if isinstance(each, dict) and each.get("failure"):
                failure = each["failure"]
                first = failure[0] if isinstance(failure, list) else failure
                yield str(each.get("id", "")), first


def _attributes(given: object) -> Iterator[tuple[str, str]]:
    for each in given if isinstance(given, list) else []:
        if isinstance(each, dict) and "attributeName" in each:
            yield str(each["attributeName"]), str(each.get("reason", ""))[:REASON_CHARS]


def _is_transient(error: object) -> bool:
    if isinstance(error, dict):
        status = error.get("status", error.get("errorCode"))
        if isinstance(status, str) and re.fullmatch("[0-9]{3}", status):
            status = int(status)
        if isinstance(status, int):
            return status in _TRANSIENT or status >= 500
        if not error.get("type") and not _told(error):  # nor whether it passes
            return True
    return _is_transient_type(error)


def _is_unexplained(document: object, headers: Mapping[str, str]) -> bool:
    """Does a broker neither say when to come again nor what it lacks? Perhaps it stumbled."""
    kind = document.get("type", "") if isinstance(document, dict) else ""
    return "retry-after" not in headers and not str(kind).endswith("LdContextNotAvailable")


def _is_transient_type(error: object) -> bool:
    kind = error.get("type", "") if isinstance(error, dict) else ""
    return isinstance(kind, str) and kind.endswith(_TRANSIENT_TYPES)


def _told(error: object) -> str:
    """RFC 7807 in a line: title and detail, or whatever text there is."""
    if isinstance(error, dict):
        parts = [error.get("title"), error.get("detail", error.get("error_description"))]
        words = [
            each if isinstance(each, str) else orjson.dumps(each).decode() for each in parts if each
        ]
        text = ": ".join(words)
    elif isinstance(error, list):
        text = "; ".join(str(each) for each in error)
    else:
        text = error if isinstance(error, str) else ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:REASON_CHARS]
