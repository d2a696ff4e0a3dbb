"""Why a release key does not sign: a named reason each, and what a person then does."""

from __future__ import annotations

from kerbline.errors import KerblineError


class SignerFault(KerblineError):
    """A key that can't sign, or must not; `reason` is for a program."""

    code = "signer"

    def __init__(self, where: object, reason: str, what: str, remedy: str) -> None:
        super().__init__(f"{where}: {what} [{reason}]; {remedy}")
        self.reason = reason
