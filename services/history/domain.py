"""Pure rules of history: the bytes a line is hashed as, the chain, the signed heads, periods of time.

No database and no clock in here: the same functions serve the writer, the verifier and anyone who checks a
chain from an export. Time comes in as an argument.
"""

from __future__ import annotations

import calendar
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

LINE_TAG = b"tessera history line v1\x00"
HEADS_TAG = b"tessera history heads v1\x00"
START = "0" * 64
VENDOR_CHAIN = "vendor"
SHARES = frozenset({"drawn", "credited"})
"""Members of an event's data that list what single projects paid or got."""

PERSONAL: Final[Mapping[str, frozenset[str]]] = {"login_failed": frozenset({"address"})}
"""Members of an event's data that only the person, administrators of the company and staff read."""


def canonical_json(value: Any) -> str:
    """Write a JSON value in its one canonical form: keys sorted, no blanks, UTF-8 as it is, no NaN.

    Raises:
        ValueError: the value holds a number that JSON cannot write (NaN, infinity).
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_time(at: datetime) -> str:
    """Write an aware time as RFC 3339 in UTC with six digits of a second, so that equal times are equal text.

    Raises:
        ValueError: the time has no zone; history never guesses one.
    """
    if at.tzinfo is None:
        raise ValueError(f"time {at!r} has no zone; pass an aware datetime")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class Line:
    """What happened to one object, as its source told it, without its place in a chain."""

    event_id: str
    source: str
    source_sequence: int
    action: str
    at: datetime
    subject: str
    company_id: str | None
    project_id: str | None
    device_id: str | None
    hardware_id: str | None
    actor_id: str | None
    request_id: str | None
    data: str
    """Canonical JSON, kept as text: a database's own JSON type may write numbers differently."""

    @property
    def chain(self) -> str:
        """Name the chain the line belongs to: its company's, or the vendor's when no company is concerned."""
        return self.company_id or VENDOR_CHAIN

    def facts(self) -> dict[str, Any]:
        """List every stored field of the line; the hash covers all of them."""
        return {
            "action": self.action,
            "actor_id": self.actor_id,
            "at": canonical_time(self.at),
            "company_id": self.company_id,
            "data": self.data,
            "device_id": self.device_id,
            "event_id": self.event_id,
            "hardware_id": self.hardware_id,
            "project_id": self.project_id,
            "request_id": self.request_id,
            "source": self.source,
            "source_sequence": self.source_sequence,
            "subject": self.subject,
        }


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain stands: how many lines it has and the hash of the last one."""

    chain: str
    count: int = 0
    hash: str = START


@dataclass(frozen=True, slots=True)
class ChainedLine:
    """A line with its place: number in the chain (from 1), hash of the line before, own hash."""

    line: Line
    chain: str
    number: int
    previous_hash: str
    hash: str


def line_hash(chain: str, number: int, previous_hash: str, line: Line) -> str:
    """Hash a line in its place: SHA-256 over the domain tag and the canonical JSON of place and facts (L15).

    The tag keeps a hash of this kind from being mistaken for one of another purpose.
    """
    body = canonical_json({"chain": chain, "number": number, "previous": previous_hash, "line": line.facts()})
    return hashlib.sha256(LINE_TAG + body.encode()).hexdigest()


def append(head: Head, line: Line) -> tuple[Head, ChainedLine]:
    """Put a line at the end of its chain.

    Raises:
        ValueError: the line belongs to another chain.
    """
    if line.chain != head.chain:
        raise ValueError(f"line {line.event_id} belongs to chain {line.chain}, not {head.chain}")
    number = head.count + 1
    digest = line_hash(head.chain, number, head.hash, line)
    return Head(head.chain, number, digest), ChainedLine(line, head.chain, number, head.hash, digest)


@dataclass(frozen=True, slots=True)
class Flaw:
    """The first place where a chain is not what it claims to be."""

    chain: str
    number: int
    reason: str

    def __str__(self) -> str:
        return f"chain {self.chain}, line {self.number}: {self.reason}"


def verify(stored: Head, lines: Iterable[ChainedLine], signed: Mapping[int, str]) -> Flaw | None:
    """Walk a chain from its start and name the first bad line, or answer None.

    Args:
        stored: the head the database holds for the chain.
        lines: the chain's lines in the order of their numbers.
        signed: number -> hash, from the signed heads kept outside the database. Only these show a cut tail
            or a chain that was rewritten as a whole together with its stored head.
    """
    at = Head(stored.chain)
    for entry in lines:
        number = at.count + 1
        if entry.number != number:
            return Flaw(stored.chain, number, f"missing; the next line has number {entry.number}")
        if entry.line.chain != stored.chain:
            return Flaw(stored.chain, number, f"its company belongs to chain {entry.line.chain}")
        if entry.previous_hash != at.hash:
            return Flaw(stored.chain, number, "it does not follow the line before it")
        digest = line_hash(stored.chain, number, entry.previous_hash, entry.line)
        if digest != entry.hash:
            return Flaw(stored.chain, number, "its content does not match its hash")
        if signed.get(number, digest) != digest:
            return Flaw(
                stored.chain, number, "the head signed for it has another hash: it or a line before was rewritten"
            )
        at = Head(stored.chain, number, digest)
    last_signed = max(signed, default=0)
    if at.count < max(stored.count, last_signed):
        return Flaw(stored.chain, at.count + 1, f"missing; the chain had {max(stored.count, last_signed)} lines")
    if at != stored:
        return Flaw(stored.chain, at.count, f"the stored head says {stored.count} lines and another hash")
    return None


def heads_to_sign(previous: str, at: datetime, heads: Iterable[Head], *, restored: bool = False) -> bytes:
    """Write the bytes of one heads document: all heads that moved, the time, the digest of the document before.

    The link to the document before shows a document that was taken out of the middle. `restored` says that the
    database was restored, and that heads signed before bind no more.
    """
    body: dict[str, Any] = {
        "at": canonical_time(at),
        "previous": previous,
        "heads": [[head.chain, head.count, head.hash] for head in sorted(heads, key=lambda head: head.chain)],
    }
    if restored:
        body["restored"] = True
    return canonical_json(body).encode()


def sets_aside(payload: bytes) -> bool:
    """Tell whether a heads document says that those before it bind no more."""
    return json.loads(payload).get("restored") is True


def read_heads(payload: bytes) -> tuple[str, datetime, Iterator[Head]]:
    """Read a heads document back: digest of the one before, its time, its heads.

    Raises:
        ValueError: the bytes are not a heads document.
    """
    try:
        body = json.loads(payload)
        heads = [Head(str(chain), int(count), str(digest)) for chain, count, digest in body["heads"]]
        return str(body["previous"]), datetime.fromisoformat(body["at"]), iter(heads)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a heads document: {error}") from None


def within_project(data: Mapping[str, Any], project_id: str | None) -> dict[str, Any]:
    """Return the data of a line as they are seen by who knows one project only: a guest, or a token bound to it.

    By convention the lists of `SHARES` hold projects by their `id`, and members that begin with `from_project` or
    `to_project` name the other end of a move.

    Args:
        data: of the line.
        project_id: of the line, the one project that is known.
    """
    seen = {}
    for name, value in data.items():
        if name.startswith(("from_project", "to_project")):
            continue
        shares = name in SHARES and isinstance(value, list)
        seen[name] = [share for share in value if share.get("id") == project_id] if shares else value
    return seen


def for_colleague(action: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a line as they are seen by a member whom they do not concern: without what is personal.

    Args:
        action: of the line.
        data: of the line.
    """
    hidden = PERSONAL.get(action, frozenset())
    return {name: value for name, value in data.items() if name not in hidden}


def period_start(period: str, now: datetime) -> datetime | None:
    """Tell when a period that ends now began; None for `all`.

    A month and a year are calendar ones: from 31 March back is 28 or 29 February.

    Raises:
        ValueError: the period is not one of day, week, month, year, all.
    """
    match period:
        case "all":
            return None
        case "day":
            return now - timedelta(days=1)
        case "week":
            return now - timedelta(days=7)
        case "month":
            year, month = (now.year, now.month - 1) if now.month > 1 else (now.year - 1, 12)
        case "year":
            year, month = now.year - 1, now.month
        case _:
            raise ValueError(f"period {period!r} is unknown; use day, week, month, year or all")
    return now.replace(year=year, month=month, day=min(now.day, calendar.monthrange(year, month)[1]))
