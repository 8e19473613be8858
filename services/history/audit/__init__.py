"""History's own audit: walks every chain, compares it with the signed heads, digests what each source told.

Nothing here shares code with the append but the definition of a line's hash; it re-derives everything from stored rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data import aliases
from services.chassis.data.audit.checks import UNREADABLE, Check, Flaws, Log, Report, log_of, read_all, stream
from services.chassis.data.audit.report import outbox_report
from services.chassis.data.audit.rows import check_rows
from services.chassis.data.audit.sorted import merged
from services.chassis.data.db import Database
from services.chassis.data.outbox import Event
from services.chassis.data.place import read_places
from services.chassis.data.tables import metadata
from services.chassis.settings import Settings
from services.history import store
from services.history.domain import Flaw, Head, Line, verify
from services.history.heads import INTERVAL, HeadsError, Signed, SignedHeads
from services.history.models import Base
from services.history.models import Line as LineRow

_UNSIGNED = 2 * INTERVAL


def audit(settings: Settings) -> Report:
    """Audit history's database against itself and against the signed heads in the data folder."""
    database = Database.from_settings(settings, "history", pool_size=1)
    try:
        heads = SignedHeads.from_settings(settings)
        return read_all(database, lambda connection: report(connection, heads))
    finally:
        database.close()


def verify_chain(connection: Connection, head: Head, signed: Mapping[str, Mapping[int, str]]) -> Flaw | None:
    """Name the first bad line of one chain, or answer None.

    Args:
        connection: of a snapshot, so that lines appended meanwhile do not look like a cut head.
        head: what the database says the chain ends in.
        signed: per chain, number -> hash, from the signed heads.
    """
    return verify(head, store.chain_lines(connection, head.chain), signed.get(head.chain, {}))


def compare(settings: Settings, logs: Sequence[Log]) -> Report:
    """Check that every event of the sources' own logs has exactly one line, with the same content.

    Args:
        settings: where history's database is.
        logs: as the sources' audits tell them.
    """
    database = Database.from_settings(settings, "history", pool_size=1)
    try:
        checks = [check for log in logs for check in database.read(partial(compare_log, log), snapshot=True)]
    finally:
        database.close()
    return Report("history", tuple(checks))


def behind(settings: Settings, logs: Sequence[Log]) -> dict[str, int]:
    """Tell how many events of each source have no line yet; sources that are complete are left out."""
    database = Database.from_settings(settings, "history", pool_size=1)
    try:
        missing = database.read(
            lambda connection: {
                log.source: log.count - store.count_of_source(connection, log.source, log.first, log.last)
                for log in logs
            }
        )
    finally:
        database.close()
    return {source: count for source, count in missing.items() if count}


def report(connection: Connection, signed_heads: SignedHeads) -> Report:
    """Report all checks over one snapshot, against the signed heads."""
    flaws = Flaws()
    try:
        signed = signed_heads.read()
    except HeadsError as error:
        flaws.add(str(error))
        signed = Signed()

    def heads() -> list[Check]:
        checks = [Check("signed heads", signed.documents, flaws.told(), signed.digest)]
        checks += [_signed_lately(connection, signed), _chains(connection, signed)]
        if signed.set_aside:
            checks.append(Check("signed heads that a restore set aside", signed.set_aside))
        return checks

    return outbox_report(
        connection,
        "history",
        partial(check_rows, connection, Base.metadata, aliases.metadata, metadata),
        heads,
        partial(_doubled, connection),
        partial(_applied, connection),
    )


def _signed_lately(connection: Connection, signed: Signed) -> Check:
    """Check that no line waits for its head much longer than heads are apart; documents that were cut off show so."""
    flaws, newest = Flaws(), connection.scalar(sa.select(sa.func.max(LineRow.at)))
    for head in store.heads_streamed(connection):
        last = max(signed.chains.get(head.chain, {}), default=0)
        if newest is None or last >= head.count:
            continue
        waiting = sa.select(sa.func.min(LineRow.at)).where(LineRow.chain == head.chain, LineRow.number > last)
        since = connection.scalar(waiting)
        if since is not None and newest - since > _UNSIGNED:
            flaws.add(
                f"chain {head.chain} has no signed head since line {last}, for longer than {_UNSIGNED}: signed heads "
                "are lost, or history does not sign; bring heads/history.jsonl back from a backup"
            )
    return Check("heads are signed in time", signed.documents, flaws.told(), passing=True)


def _applied(connection: Connection) -> Check:
    """Every line is of an event that history has applied: of a source that it follows, up to its place there."""
    flaws, places = Flaws(), read_places(connection)
    for source in connection.scalars(sa.select(LineRow.source).distinct()).all():
        place = places.get(source)
        if place is None:
            flaws.add(f"there are lines of {source!r}, which history does not follow")
            continue
        for line in stream(connection, store.beyond(source, place.sequence)):
            flaws.add(
                f"line {line.number} of chain {line.chain} is of event {line.event_id}, number {line.source_sequence} "
                f"of {source}, and history has applied {source} up to {place.sequence}"
            )
    return Check("lines are of applied events", len(places), flaws.told())


def _doubled(connection: Connection) -> Check:
    """No event has two lines (L15)."""
    flaws = Flaws()
    counted = sa.select(LineRow.event_id, sa.func.count().label("number")).group_by(LineRow.event_id)
    for row in stream(connection, counted.having(sa.func.count() > 1)):
        flaws.add(f"event {row.event_id} has {row.number} lines")
    return Check(
        "events have one line", connection.scalar(sa.select(sa.func.count()).select_from(LineRow)) or 0, flaws.told()
    )


def accept_restore(settings: Settings, now: datetime) -> bool:
    """Set signed heads aside that fit no more, since history was restored and has read its sources anew (R25).

    Nothing is set aside while the chains themselves are not in order, or where all heads fit; tells whether it was.

    Raises:
        HeadsError: the chains or the documents are not in order by themselves.
    """
    database = Database.from_settings(settings, "history", pool_size=1)
    try:
        signed_heads = SignedHeads.from_settings(settings)
        signed = signed_heads.read()
        if not database.read(partial(_chains, signed=signed), snapshot=True).flaws:
            return False
        if flaws := database.read(partial(_chains, signed=Signed()), snapshot=True).flaws:
            raise HeadsError(f"history's chains are broken by themselves, which no restore does: {flaws[0]}")
        signed_heads.set_aside(database.read(store.heads), now)
    finally:
        database.close()
    return True


def _chains(connection: Connection, signed: Signed) -> Check:
    # A chain whose head or lines were taken away altogether is still named by the other, or by a signed head.
    flaws, checked = Flaws(), 0
    heads = ((head.chain, head) for head in store.heads_streamed(connection))
    names = ((name, None) for name in store.chain_names_streamed(connection))
    stored = ((name, found) for name, found, _ in merged(heads, names))
    for name, found, _ in merged(stored, ((name, name) for name in sorted(signed.chains))):
        head = next((head for heads_found in found for head in heads_found), Head(name))
        checked += head.count
        with flaws.reading(f"chain {name}"):
            flaw = verify_chain(connection, head, signed.chains)
            if flaw is not None:
                flaws.add(str(flaw))
    return Check("hash chains", checked, flaws.told())


def compare_log(log: Log, connection: Connection) -> list[Check]:
    """Compare the lines of a source with the digest of its log."""
    lines = store.source_lines(connection, log.source, log.first, log.last)
    try:
        own = log_of(log.source, log.first, log.last, _events(lines))
    except UNREADABLE as error:
        text = f"a line of {log.source} cannot be read ({type(error).__name__}); see 'every row can be read'"
        return [Check(f"one line per event of {log.source}", log.count, (text,))]
    flaws = Flaws()
    if own.count < log.count:
        flaws.add(
            f"{log.source} has {log.count} events, history has lines for {own.count} of them: "
            "lost, or history has not caught up; start the services and audit again"
        )
    elif own != log:
        flaws.add(f"the lines of {log.source} say something else than its events (digest {own.digest[:16]})")
    checks = [Check(f"one line per event of {log.source}", own.count, flaws.told(), own.digest)]
    if lost := store.count_of_lost(connection, log.source):
        # Somebody has seen and accepted them by `reconcile-events`; the number stays in sight for ever.
        checks.append(Check(f"lines whose events a restore of {log.source} lost", lost))
    return checks


def lines_as_events(connection: Connection, log: Log) -> Iterator[Event]:
    """Yield the lines of a source as the events that they should be, in the order of the source."""
    yield from _events(store.source_lines(connection, log.source, log.first, log.last))


def _events(lines: Iterable[Line]) -> Iterator[Event]:
    for line in lines:
        yield Event(
            id=line.event_id,
            source=line.source,
            type=line.action,
            time=line.at,
            subject=line.subject,
            sequence=line.source_sequence,
            data=json.loads(line.data),
            companyid=line.company_id,
            projectid=line.project_id,
            deviceid=line.device_id,
            hardwareid=line.hardware_id,
            actorid=line.actor_id,
            requestid=line.request_id,
        )
