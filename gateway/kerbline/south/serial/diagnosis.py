"""What is wrong with a line, guessed from what came over it; pure."""

from __future__ import annotations

from kerbline.config.telegram import Profile
from kerbline.south.serial.listener import Heard, from_line

LEAST_BYTES = 16  # fewer tell nothing of speed or parity
MOSTLY = 0.9
SOME = 0.2
_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\r\n\t\x02\x03\x06\0")


def told(heard: Heard, profile: Profile, parity: str) -> list[str]:
    """Sentences for whoever stands before the device; empty when all is well."""
    hint = [profile.profile.hint] if profile.profile.hint else []
    if not heard.received:
        asked = " (it is asked: both directions must be wired)" if profile.request else ""
        return [f"nothing came: look at power, wiring, the port and who transmits{asked}", *hint]
    if not heard.telegrams:
        return [*_no_telegram(heard, profile, parity), *hint]
    lines = []
    if not heard.readings:
        lines.append("telegrams come, but none that the profile reads: look at each match in it")
    lines += _broken(heard)
    return lines


def _no_telegram(heard: Heard, profile: Profile, parity: str) -> list[str]:
    came = f"{heard.received} bytes came and no telegram in them"
    if heard.broken.get("checksum"):
        return [f"{came}: begun and ended ones have a wrong checksum", *_broken(heard)]
    sample = heard.sample
    if len(sample) < LEAST_BYTES:
        return [f"{came}: too few to tell why"]
    if profile.content.form == "binary":
        return [f"{came}: the baud rate may be wrong, or it is another device"]
    return [f"{came}: {_guess(sample, parity)}"]


def _guess(sample: bytes, parity: str) -> str:
    """Why text does not look like text."""
    if (
        parity != "even7"
        and _share(sample) < MOSTLY
        and _share(from_line(sample, "even7")) > MOSTLY
    ):
        return 'each byte has even parity in its highest bit: set parity = "even7"'
    if _share(from_line(sample, parity)) > MOSTLY:
        return "they are text: start, end or the profile do not fit this device"
    if parity == "even7" and _share(sample) > MOSTLY:
        return 'they are text without parity: set parity = "none"'
    if sum(each in (0x00, 0xFF) for each in sample) > SOME * len(sample):
        return "many are 0x00 or 0xFF: the baud rate is far off, or the signal is inverted"
    return "they are no text: the baud rate or the parity is wrong, or the signal is inverted"


def _share(data: bytes) -> float:
    return sum(each in _TEXT for each in data) / len(data)


def _broken(heard: Heard) -> list[str]:
    words = {
        "checksum": "{} with a wrong checksum: noise, a long or badly shielded cable",
        "half": "{} cut off: bytes get lost, or the line was opened in their midst",
        "too_long": "{} without an end: bytes get lost, or the profile's end is wrong",
    }
    whole = f"{heard.telegrams} whole telegrams, "
    least = 1 if heard.telegrams else 0  # one is cut off at each opening
    return [
        whole + words[code].format(count) for code, count in heard.broken.items() if count > least
    ]
