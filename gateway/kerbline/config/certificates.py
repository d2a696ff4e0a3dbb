"""The files of a TLS section: whether a key belongs to its certificate, and what has ended."""

from __future__ import annotations

import shlex
import ssl
from datetime import datetime
from pathlib import Path

from kerbline.config.faults import Complaint, shown
from kerbline.config.rules import read_bytes, read_secret


class _Locked(Exception):
    """A key wants a passphrase, which nobody is there to type."""


def mismatch(cert: Path, key: Path | None) -> Complaint | None:
    """Why `key`, or the key that stands in `cert` itself, does not serve; both can be read."""
    if key is None and isinstance(secret := read_secret(cert), Complaint):
        content = read_bytes(cert)
        if isinstance(content, bytes) and b"PRIVATE KEY" in content:
            return secret
    holder = key or cert
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=_locked)
    except _Locked:
        command = f"openssl pkey -in {shlex.quote(holder.name)} -out KEY"
        return Complaint(
            f"{shown(holder)} wants a passphrase",
            f"write the key without one into a file of mode 0600: {command}",
        )
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return Complaint(
                f"{shown(holder)} is not the key of {shown(cert)}",
                "write the path of the key that the certificate was made for",
            )
        remedy = "write the path of a PEM file with a private key"
        return Complaint(
            f"{shown(holder)} holds no key", remedy if key else 'add key = "..." with its key'
        )
    return None


def doubt(path: Path, now: datetime) -> Complaint | None:
    """That a certificate of a file is not good at `now`, which may be the clock's fault."""
    from cryptography import x509  # for `kerbline check` alone: it is large

    content = read_bytes(path)
    if isinstance(content, Complaint):
        return content
    for each in x509.load_pem_x509_certificates(content):
        name = each.subject.rfc4514_string()
        if each.not_valid_after_utc < now:
            problem = f"{shown(path)}: {name} ended on {each.not_valid_after_utc:%Y-%m-%d}"
            return Complaint(problem, "renew it, or set this machine's clock")
        if each.not_valid_before_utc > now:
            problem = f"{shown(path)}: {name} begins on {each.not_valid_before_utc:%Y-%m-%d}"
            return Complaint(problem, "set this machine's clock")
    return None


def _locked() -> str:
    raise _Locked
