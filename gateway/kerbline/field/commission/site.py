"""site.toml: what is the same all day, so that a technician gives an asset and a place only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from kerbline.config import document
from kerbline.config.faults import Complaint, ConfigFault
from kerbline.config.reader import Reader
from kerbline.config.rules import Matching, OneOf, read_secret
from kerbline.config.terms import Line
from kerbline.field.settings import KINDS

TEXT = r"[^\x00-\x1f\x7f]{1,120}"


class Settings:
    """A table; `field.settings` judges what is in it."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """A table without what each board gets of its own."""
        if not isinstance(value, dict):
            return Complaint("is no table", "write [settings], and the node's settings below it")
        for key in ("node_id", "key_hex", "asset"):
            if key in value:
                return Complaint(
                    f"{key} does not belong here", "remove it: each board gets its own"
                )
        return None


@dataclass(frozen=True, slots=True)
class Site:
    """The file; whatever an option of the command gives goes before it."""

    technician: Annotated[str, Matching(TEXT, "one line of up to 120 characters")] | None = None
    board: str | None = None
    kind: Annotated[str, OneOf(*KINDS)] | None = None
    port: Line | None = None
    micropython: Path | None = None
    micropython_sha256: Annotated[str, Matching(r"[0-9a-fA-F]{64}", "64 hex digits")] | None = None
    bundle: Path | None = None
    root: Path | None = None
    gateway_key: Path | None = None
    gateway: Path | None = None
    gateway_line: Line | None = None
    line: Line | None = None
    prefix: Annotated[
        str, Matching(r"[A-Za-z0-9][A-Za-z0-9_-]{0,9}", "1 to 10 letters, digits, - and _")
    ] = "n-"
    settings: Annotated[object, Settings()] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Profile:
    """A read profile: `reader` finds the line of what is wrong with the settings later."""

    site: Site
    settings: Mapping[str, object] = field(repr=False)
    reader: Reader | None = field(default=None, repr=False)


def load(path: Path) -> Profile:
    """Raises ConfigFault with every fault at its line; one with a Wi-Fi password must be 0600."""
    reader, table = document.opened(path)
    site = reader.section(Site, table)
    settings = table.get("settings", {})
    if isinstance(settings, dict) and "wifi" in settings:
        private = read_secret(path)
        if isinstance(private, Complaint):
            reader.complain(("settings", "wifi"), private.problem, private.remedy)
    if reader.faults:
        raise ConfigFault(reader.faults)
    assert isinstance(site, Site) and isinstance(settings, dict)
    return Profile(site, settings, reader)


NOTHING = Profile(Site(), {})
