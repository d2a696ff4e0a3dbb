"""The section that every connection over TLS shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from kerbline.config.rules import Certificates, SecretFile


@dataclass(frozen=True, slots=True)
class Tls:
    """Whom to believe (`ca`) and, with `cert` and `key`, who we are."""

    ca: Annotated[Path, Certificates()]
    cert: Annotated[Path, Certificates()] | None = None
    key: Annotated[Path, SecretFile()] | None = None
