"""The files of a TLS connection, and why there is none, in words for who has to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Whom to believe (`ca`) and, with `cert` and `key`, who we are."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None


# What OpenSSL says (`openssl/x509_txt.c`, `ssl_err.c`), what it means, and what to do.
_TLS = (
    (
        ("local issuer certificate", "self-signed certificate", "self signed certificate"),
        "the broker's certificate is signed by nobody in {ca}",
        "write the certificate of who signed it into that file",
    ),
    (
        ("certificate has expired",),
        "the broker's certificate has expired",
        "renew it, or set this machine's clock",
    ),
    (
        ("certificate is not yet valid",),
        "the broker's certificate is not valid yet",
        "set this machine's clock",
    ),
    (
        ("Hostname mismatch", "IP address mismatch"),
        "the broker's certificate is for another name than {host}",
        "write host as the certificate has it",
    ),
    (
        ("alert unknown ca", "alert bad certificate", "alert certificate", "handshake failure"),
        "the broker refuses our certificate {cert}",
        "see that it has not expired, and that the broker has the CA that signed it",
    ),
    (
        ("WRONG_VERSION_NUMBER", "wrong version", "record layer", "reset by peer", "EOF occurred"),
        "the connection broke in its greeting: what listens there may not speak TLS",
        "write the broker's port for TLS, often {often}",
    ),
    (  # they were whole when we began
        ("[X509", "[SSL] PEM lib", "No such file", "Permission denied", "Is a directory"),
        "the files of [mqtt.tls] can't be used",
        "see `kerbline check`",
    ),
)


def plainly(
    text: str, host: str, tls: TlsFiles | None, *, closed: bool = False, often: int = 8883
) -> str:
    """The library's `text`, or a better one; `closed`: the connection ended without a word.

    `often` is the usual port for TLS.
    """
    if closed:
        return _without_a_word(tls)
    for signs, meaning, remedy in _TLS:
        if tls is not None and any(sign in text for sign in signs):
            meant = meaning.format(ca=tls.ca, cert=tls.cert or "(none)", host=host)
            return f"{meant}; {remedy.format(often=often)}"
    return text


def _without_a_word(tls: TlsFiles | None) -> str:
    if tls is None:
        return "the broker closed the connection at once; does it want TLS?"
    # TLS 1.3 tells a client that its certificate is refused when all seems done.
    if tls.cert is None:
        return "the broker closed the connection: it may want a certificate of us; add cert and key"
    return (
        f"the broker closed the connection: it may refuse {tls.cert}; "
        "see that it has not expired, and that the broker has the CA that signed it"
    )
