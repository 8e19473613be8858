"""License files of version 5 to 7: one line of text per license with a short key.

A line is `type value hardware-id key`. The key is a truncated MAC that the firmware checks; it binds type, value and
device, so a line moved to another device or with another value is refused. Each device's firmware knows the secret of
its own hardware id only, which is derived from the vendor's.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.licensing.files.errors import FormatError

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base 32: no I, L, O, U
_KEY_BYTES = 10
_LINE = re.compile(r"([!-~]{1,60}) ([1-9][0-9]{0,8}) ([0-9A-F*-]{12,20}) ([0-9A-Z]{4}(?:-[0-9A-Z]{4}){3})")


@dataclass(frozen=True, slots=True)
class TextLine:
    """One license: its name as the trade writes it and its value."""

    name: str
    value: int


def device_secret(vendor_secret: bytes, hardware_id: str) -> bytes:
    """Derive the secret that the firmware of one device holds."""
    return hmac.digest(vendor_secret, b"TESSERA TEXT LICENSE DEVICE|1|" + hardware_id.encode("ascii"), "sha256")


def line_key(secret: bytes, line: TextLine, hardware_id: str) -> str:
    """Return the short key of one line: 80 bits in four groups of four symbols."""
    message = f"TESSERA TEXT LICENSE|1|{line.name}|{line.value}|{hardware_id}".encode("ascii")
    number = int.from_bytes(hmac.new(secret, message, hashlib.sha256).digest()[:_KEY_BYTES], "big")
    symbols = "".join(_ALPHABET[(number >> shift) & 31] for shift in range(75, -1, -5))
    return "-".join(symbols[start : start + 4] for start in range(0, 16, 4))


def write_text(lines: Iterable[TextLine], hardware_id: str, vendor_secret: bytes) -> str:
    """Write the file, lines sorted by name.

    Raises:
        FormatError: `malformed` when a name has blanks or signs beyond ASCII.
    """
    secret = device_secret(vendor_secret, hardware_id)
    rows = []
    for line in sorted(lines, key=lambda one: (one.name, one.value)):
        if not re.fullmatch(r"[!-~]{1,60}", line.name):
            raise FormatError("malformed", f'The license name "{line.name}" cannot stand in a text file.')
        rows.append(f"{line.name} {line.value} {hardware_id} {line_key(secret, line, hardware_id)}\n")
    return "".join(rows)


def check_text(content: str, hardware_id: str, vendor_secret: bytes) -> list[TextLine]:
    """Check a file as the firmware does, and return its lines.

    Raises:
        FormatError: `malformed`, `other_device` or `changed`, naming the line.
    """
    secret = device_secret(vendor_secret, hardware_id)
    lines = []
    if content and not content.endswith("\n"):
        raise FormatError("malformed", "The last line of the file is cut.")
    for number, row in enumerate(content.split("\n")[:-1], start=1):
        match = _LINE.fullmatch(row)
        if not match:
            raise FormatError("malformed", f"Line {number} is not `type value hardware-id key`.")
        name, value, device, key = match.groups()
        if device != hardware_id:
            raise FormatError("other_device", f"Line {number} is for the device {device}, this is {hardware_id}.")
        line = TextLine(name, int(value))
        if not hmac.compare_digest(key, line_key(secret, line, hardware_id)):
            raise FormatError("changed", f"Line {number} was changed: its key does not fit.")
        lines.append(line)
    return lines
