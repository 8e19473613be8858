"""The signed bytes of a license file of version 8 and later: lines of text in one fixed order.

The first line is the purpose, so that a signature made for one purpose is never good for another (rule S13). There is
exactly one way to write a payload: `decode` refuses everything that `encode` would not have written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from services.licensing.files.errors import FormatError

PURPOSE = "TESSERA LICENSE FILE"
FORMAT = 1
MAX_LINES = 500
_HEADERS = (
    "format",
    "algorithm",
    "key",
    "serial",
    "company",
    "device",
    "counter",
    "issued",
    "expires",
    "kind",
    "form",
    "licenses",
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KEY = re.compile(r"[A-Za-z0-9._-]{1,100}")
_DEVICE = re.compile(r"[0-9A-F]{2}(-[0-9A-F]{2}){5}|[0-9]{5}-[0-9]{7}-[0-9*]")
_NUMBER = re.compile(r"[1-9][0-9]{0,15}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_LINE = re.compile(r"([1-9][0-9]?) ([1-9][0-9]{0,8}) ([a-z0-9][a-z0-9-]{0,62}) ([!-~]{1,60})")


@dataclass(frozen=True, slots=True, order=True)
class LicenseLine:
    """One license on a device: version, number of units, type id, and the name as the trade writes it."""

    version: int
    license_type: str
    quantity: int
    name: str


@dataclass(frozen=True, slots=True)
class Payload:
    """What a license file says, all of it under the signature.

    Args:
        key: id of the signing key.
        serial: id of the file.
        company: id of the company that the file was issued to.
        device: hardware id in canonical spelling.
        counter: grows with every file of a device; a device refuses a lower one than it had.
        issued_at, expires_at: UTC, whole seconds; no expiry for real licenses.
        kind: `license` or `test`.
        form: `plain` or `encrypted`: how the file was issued.
        lines: the licenses, sorted.
    """

    key: str
    serial: str
    company: str
    device: str
    counter: int
    issued_at: datetime
    expires_at: datetime | None
    kind: str
    form: str
    lines: tuple[LicenseLine, ...]


def encode(payload: Payload) -> bytes:
    """Write the bytes that are signed.

    Raises:
        FormatError: `malformed` when a value cannot be written in this format.
    """
    values = (
        str(FORMAT),
        "ES256",
        payload.key,
        payload.serial,
        payload.company,
        payload.device,
        str(payload.counter),
        write_time(payload.issued_at),
        write_time(payload.expires_at) if payload.expires_at else "never",
        payload.kind,
        payload.form,
        str(len(payload.lines)),
    )
    rows = [PURPOSE, *(f"{name}: {value}" for name, value in zip(_HEADERS, values, strict=True))]
    rows += [f"{line.version} {line.quantity} {line.license_type} {line.name}" for line in payload.lines]
    data = ("\n".join([*rows, "END"]) + "\n").encode("ascii", "replace")
    if decode(data) != payload:
        raise FormatError("malformed", "The license file holds a value that its format cannot carry.")
    return data


def decode(data: bytes) -> Payload:
    """Read signed bytes; verify the signature over them before.

    Raises:
        FormatError: `malformed` when they are not written exactly as `encode` does.
    """
    rows = split_rows(data, PURPOSE)
    values = read_headers(rows, _HEADERS)
    count = values["licenses"]
    if not re.fullmatch(r"0|[1-9][0-9]{0,2}", count) or len(rows) != len(_HEADERS) + int(count):
        raise _bad("licenses", count)
    for name, pattern in (("serial", _UUID), ("company", _UUID), ("key", _KEY), ("device", _DEVICE)):
        if not pattern.fullmatch(values[name]):
            raise _bad(name, values[name])
    if values["format"] != str(FORMAT) or values["algorithm"] != "ES256" or not _NUMBER.fullmatch(values["counter"]):
        raise _bad("format, algorithm or counter", f"{values['format']} {values['algorithm']} {values['counter']}")
    if values["kind"] not in ("license", "test") or values["form"] not in ("plain", "encrypted"):
        raise _bad("kind or form", f"{values['kind']} {values['form']}")
    lines = tuple(_read_line(row) for row in rows[len(_HEADERS) :])
    if len(lines) > MAX_LINES or list(lines) != sorted(set(lines)):
        raise FormatError("malformed", "The license lines are not sorted, or one appears twice.")
    expires = None if values["expires"] == "never" else read_time(values["expires"])
    return Payload(
        key=values["key"],
        serial=values["serial"],
        company=values["company"],
        device=values["device"],
        counter=int(values["counter"]),
        issued_at=read_time(values["issued"]),
        expires_at=expires,
        kind=values["kind"],
        form=values["form"],
        lines=lines,
    )


def split_rows(data: bytes, purpose: str) -> list[str]:
    """Return the rows between the purpose line and END of a signed text.

    Raises:
        FormatError: `malformed` when first or last row are not these, or a byte is not printable ASCII.
    """
    text = data.decode("latin-1")
    if not re.fullmatch(r"(?:[ -~]{1,400}\n){2,600}", text):
        raise FormatError("malformed", "The signed content is not rows of printable ASCII text.")
    rows = text[:-1].split("\n")
    if rows[0] != purpose or rows[-1] != "END":
        raise FormatError("malformed", f'The signed content is not a "{purpose}": it starts with "{rows[0][:40]}".')
    return rows[1:-1]


def read_headers(rows: list[str], names: tuple[str, ...]) -> dict[str, str]:
    """Return the values of the leading `name: value` rows, which must have these names in this order.

    Raises:
        FormatError: `malformed` when one is missing, additional or out of order.
    """
    if len(rows) < len(names):
        raise FormatError("malformed", f"The signed content has {len(rows)} rows; at least {len(names)} are needed.")
    values = {}
    for name, row in zip(names, rows, strict=False):
        if not row.startswith(f"{name}: "):
            raise FormatError("malformed", f'The signed content has "{row[:40]}" where "{name}: " is due.')
        values[name] = row[len(name) + 2 :]
    return values


def write_time(value: datetime) -> str:
    """Write a time in UTC with whole seconds, as `2026-11-24T03:20:11Z`."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_time(text: str) -> datetime:
    """Read what `write_time` wrote.

    Raises:
        FormatError: `malformed` for anything else.
    """
    try:
        if not _TIME.fullmatch(text):
            raise ValueError(text)
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise _bad("time", text) from error


def _read_line(row: str) -> LicenseLine:
    match = _LINE.fullmatch(row)
    if not match:
        raise _bad("license line", row)
    version, quantity, license_type, name = match.groups()
    return LicenseLine(int(version), license_type, int(quantity), name)


def _bad(name: str, value: str) -> FormatError:
    return FormatError("malformed", f'The signed content has a wrong {name}: "{value[:60]}".')
