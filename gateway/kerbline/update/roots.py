"""Whose releases a gateway takes: one root, or two while its nodes go over to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kerbline.bundle import Bundle, BundleFault, Root, load, loads
from kerbline.config.firmware import Firmware


@dataclass(frozen=True, slots=True)
class Roots:
    """The root of a config, and the next one where it names that."""

    root: Root
    following: Root | None = None

    @classmethod
    def of(cls, firmware: Firmware) -> Roots:
        """From the files that a config names; raises BundleFault."""
        if firmware.next_root is None:
            return cls(Root.load(firmware.root))
        return cls(Root.load(firmware.root), Root.load(firmware.next_root))

    def load(self, path: Path) -> Bundle:
        """A verified bundle from a file; raises BundleFault."""
        return self._verified(lambda root: load(path, root))

    def loads(self, data: bytes, where: object) -> Bundle:
        """A verified bundle that came from `where`; raises BundleFault."""
        return self._verified(lambda root: loads(data, where, root))

    def knows(self, root: Root) -> bool:
        """Would a release that this root signs be taken?"""
        return root in (self.root, self.following)

    def _verified(self, read: Callable[[Root], Bundle]) -> Bundle:
        try:
            return read(self.root)
        except BundleFault as fault:
            if fault.reason != "wrong-root" or self.following is None:
                raise
            first = fault
        try:
            return read(self.following)
        except BundleFault as fault:
            if fault.reason != "wrong-root":
                raise
            both = f"{first.what}, nor by the next one, {self.following}"
            raise BundleFault(first.where, "wrong-root", both) from None
