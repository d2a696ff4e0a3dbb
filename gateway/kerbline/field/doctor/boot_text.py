"""What a chip's first words tell: the ROM's, the bootloader's, MicroPython's and the node's own.

Texts as ESP-IDF 5's bootloader and esp_system, MicroPython 1.24 and later, and kerbnode write them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kerbline.field.doctor.finding import Finding, fault, good, note

LOOP = 3  # resets within what was heard: it does not get on
STRAP = "GPIO0 (GPIO9 on a C3, C6 or H2)"
GARBLED = 0.3  # so much that is no text

# (code, sign, what it means, what to do); the first that fits is the cause, later ones follow it.
_SIGNS: tuple[tuple[str, str, str, str], ...] = (
    (
        "brown_out",
        r"[Bb]rownout|BROWN_?OUT",
        "its supply breaks down: the chip's brown-out detector resets it",
        "a short, thick cable and a strong port or supply; take off what the board feeds",
    ),
    (
        "boot_strap",
        r"waiting for download|DOWNLOAD_BOOT|boot:0x\w+ \(DOWNLOAD",
        f"it waits for a download: {STRAP} is low at the reset",
        f"let go of BOOT, or take off what pulls {STRAP} down, then press EN",
    ),
    (
        "secure_boot",
        r"secure_boot.*(fail|not|invalid)|Secure boot.*(fail|invalid)|signature.*verif.*fail",
        "secure boot is on, and what is in its flash is not signed by its owner",
        "take a board whose fuses are untouched: ours can't be signed for it",
    ),
    (
        "flash_encryption",
        r"flash_encrypt|[Ff]lash encryption.*(enabled|fail)",
        "flash encryption is on: it would not start what we write",
        "take a board whose fuses are untouched",
    ),
    (
        "wrong_chip",
        r"mismatch chip ID|can't run on this chip|requires chip rev|chip is revision",
        "the image in its flash is for another chip",
        "flash it for this chip: `kerbline flash` with the board's own name",
    ),
    (
        "flash_chip",
        r"flash read err",
        "its flash chip does not answer",
        "is GPIO12 pulled up (at the reset it must be low)? Else take another board",
    ),
    (
        "no_image",
        r"invalid header: 0x|No bootable app|invalid magic byte",
        "there is no MicroPython in its flash",
        "flash it: `kerbline flash`",
    ),
    (
        "image_damaged",
        r"csum err|Checksum failed|hash.*(mismatch|invalid)|image.*corrupt",
        "the image in its flash is damaged",
        "flash it again: `kerbline unbrick`",
    ),
    (
        "settings_missing",
        r"no node without its settings: missing",
        "the node has no settings",
        "commission it: `kerbline commission`",
    ),
    (
        "settings_damaged",
        r"no node without its settings: damaged",
        "the node's settings are damaged",
        "write them again: `kerbline commission` goes on where it was",
    ),
    (
        "no_key",
        r"no node without its settings: key",
        "the node has no key",
        "commission it: `kerbline commission`",
    ),
    (
        "setting_bad",
        r"no node without its settings: (?P<name>\w+)",
        "the node can't live by its setting {name}",
        "mend {name} and write the settings again",
    ),
    (
        "files_full",
        r"OSError: (\[Errno 28\] )?(ENOSPC|28)",
        "its file system is full",
        "erase and install anew: `kerbline unbrick`",
    ),
    (
        "files_broken",
        r"OSError: (\[Errno (5|19|84)\] )?(EIO|ENODEV|EILSEQ|5|84)\b|littlefs.*(error|corrupt)",
        "its file system is broken",
        "erase and install anew: `kerbline unbrick`",
    ),
    (
        "code_broken",
        r"(?P<name>(ImportError|MemoryError|SyntaxError|ValueError|AttributeError|NameError|"
        r"TypeError|IndexError|KeyError|RuntimeError): ?[^\r\n]*|MemoryError)",
        "the node's program ends with {name}",
        "install it again; the same again: report these words",
    ),
    (
        "panic",
        r"Guru Meditation Error[^\r\n]*\((?P<name>\w+)\)|(?P<other>abort\(\) was called)",
        "its program crashes ({name})",
        "flash MicroPython again: `kerbline unbrick`; the same again: take another board",
    ),
    (
        "files_new",
        r"Performing initial setup",
        "its file system was empty or lost, and was made anew",
        "install the node: `kerbline commission`",
    ),
)
_RESET = re.compile(r"rst:0x\w+ \((?P<why>\w+)\)")
_PROMPT = re.compile(r">>> ?$")


def judge(heard: bytes, port: str, *, after_reset: bool = False) -> list[Finding]:
    """Of what was heard; `after_reset`: a board that starts must have said something."""
    text = heard.decode("utf-8", "replace")
    if not heard.strip(b"\0\xff"):
        return [_silence(port)] if after_reset else []
    found = [fault(code, port, what, remedy) for code, what, remedy in _signs(text)]
    resets = _RESET.findall(text)
    if len(resets) >= LOOP:
        what = f"it starts again and again ({len(resets)} times while we listened: {resets[-1]})"
        more = "see the cause above" if found else "flash it again: `kerbline unbrick`"
        found.append(fault("boot_loop", port, what, more))
    if found:
        return found
    if _garbled(heard):
        return [
            fault(
                "garbled",
                port,
                "what it says is no text at 115200 baud",
                "is it the board's UART0, or another device? Check ground and the adapter's level",
            )
        ]
    if _PROMPT.search(text):
        return [note("prompt", port, "MicroPython's prompt is open there")]
    return [good("speaks", port, f"it says {_last_words(text)}")]


def _signs(text: str) -> Iterator[tuple[str, str, str]]:
    """The causes that it shows: of a family that explains the others, one alone."""
    seen: set[str] = set()
    for code, sign, what, remedy in _SIGNS:
        match = re.search(sign, text)
        if match is None or _explained(code, seen):
            continue
        seen.add(code)
        parts = match.groupdict()
        name = (parts.get("name") or parts.get("other") or "").strip()
        yield code, what.format(name=name), remedy.format(name=name)


def _explained(code: str, seen: set[str]) -> bool:
    """Is it what something worse has brought about?"""
    settings = {"settings_missing", "settings_damaged", "no_key"}
    if code == "setting_bad":
        return bool(seen & settings)
    if code == "code_broken":
        return bool(seen & {"files_full", "files_broken"})
    if code == "image_damaged":
        return bool(seen & {"no_image", "wrong_chip", "flash_chip"})
    if code == "no_image":
        return bool(seen & {"flash_chip", "wrong_chip"})
    return False


def _silence(port: str) -> Finding:
    return fault(
        "silent",
        port,
        "it says nothing when it starts",
        "is it the board's UART0 or USB port, are RX and TX crossed, has it power?",
    )


def _garbled(heard: bytes) -> bool:
    strange = sum(1 for byte in heard if byte > 126 or (byte < 32 and byte not in b"\r\n\t\x1b\0"))
    return strange > GARBLED * len(heard)


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return repr(lines[-1][:60]) if lines else "nothing"
