"""What can be wrong with a bundle: a named reason each, and what a person then does."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kerbline.errors import KerblineError

_AGAIN = "fetch the bundle again, from those who made it"
_FOREIGN = "do not use it; ask those who made it for the bundle as they released it"
_MAKER = "build it again with `kerbline firmware build`"

# Reason -> remedy. A script may rely on the reasons; they are in docs/operate/releases.md.
REASONS: Mapping[str, str] = MappingProxyType(
    {
        # the archive
        "not-a-bundle": "name a file that `kerbline firmware build` made",
        "unreadable": "name a file that you may read",
        "truncated": _AGAIN,
        "trailing": _AGAIN,
        "too-large": _FOREIGN,
        "header": _AGAIN,
        "padding": _FOREIGN,
        "metadata": f"{_FOREIGN}: it was packed anew by another program",
        "member-type": _FOREIGN,
        "member-name": _FOREIGN,
        "member-order": _FOREIGN,
        "member-twice": _FOREIGN,
        "member-unknown": _FOREIGN,
        "member-missing": _AGAIN,
        # bundle.json
        "json": _FOREIGN,
        "json-twice": _FOREIGN,
        "json-form": _FOREIGN,
        "format": "update Kerbline on this machine",
        # signatures
        "unsigned": "sign it with `kerbline firmware sign`",
        "wrong-root": "take the release.pub of those who made it, or a bundle of your own makers",
        "ed25519": _FOREIGN,
        "cose": _FOREIGN,
        "hss-type": _FOREIGN,
        "hss-index": _FOREIGN,
        "hss": _FOREIGN,
        # what is inside
        "manifest-changed": _FOREIGN,
        "object-changed": _FOREIGN,
        "parts-changed": _FOREIGN,
        "start-changed": _FOREIGN,
        "image-changed": _FOREIGN,
        "sbom-changed": _FOREIGN,
        "manifest": _MAKER,
        "manifest-differs": _MAKER,
        "object-missing": _MAKER,
        "object-unknown": _MAKER,
        "object-size": _MAKER,
        "object-swapped": _MAKER,
        "parts": _MAKER,
        "image": _MAKER,
        # what was asked for
        "board": "take the bundle of the board",
        "sequence": "take a newer bundle, or build one with a higher --sequence",
        "expired": "build and sign a new release",
        # release.pub
        "root": "take release.pub as `kerbline firmware keygen` wrote it",
    }
)


class BundleFault(KerblineError):
    """A bundle or a root that is refused; `reason` is one of REASONS."""

    code = "bundle"

    def __init__(self, where: object, reason: str, what: str) -> None:
        super().__init__(f"{where}: {what} [{reason}]; {REASONS[reason]}")
        self.where = where
        self.reason = reason
        self.what = what


class PackFault(KerblineError):
    """What was given is no release: a name or a size that no manifest has."""

    code = "bundle"
