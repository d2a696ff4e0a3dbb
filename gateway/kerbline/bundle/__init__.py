"""Firmware bundles: what they are made of, how they are read, and whom they are trusted for."""

from kerbline.bundle.about import About, Patch
from kerbline.bundle.faults import REASONS, BundleFault, PackFault
from kerbline.bundle.packing import Contents, pack, sign_off
from kerbline.bundle.reading import Bundle, demand, load, loads
from kerbline.bundle.root import Root

__all__ = [
    "REASONS",
    "About",
    "Bundle",
    "BundleFault",
    "Contents",
    "PackFault",
    "Patch",
    "Root",
    "demand",
    "load",
    "loads",
    "pack",
    "sign_off",
]
