"""`tessera-admin reconcile-events SOURCE`: after a restore, on an installation that runs or not (rule R25)."""

from __future__ import annotations

from contextlib import ExitStack

from deploy.rooms import ROOMS
from services.chassis.db import Database
from services.chassis.reconcile import Reconciled, reconcile
from services.chassis.settings import Settings


class UnknownSourceError(ValueError):
    """There is no such room; the text names those that there are."""


def reconcile_events(settings: Settings, source: str, *, dry_run: bool) -> Reconciled:
    """Reconcile the log of a room with all rooms that follow it.

    Args:
        settings: where the databases are.
        source: room whose database was restored.
        dry_run: only tell what would be done.

    Raises:
        UnknownSourceError: there is no such room.
        service.unavailable: a database does not answer.
    """
    if source not in ROOMS:
        raise UnknownSourceError(f"SOURCE is {source!r}: expected one of {', '.join(ROOMS)}.")
    with ExitStack() as opened:
        databases = {room: Database.from_settings(settings, room, pool_size=2) for room in ROOMS}
        for database in databases.values():
            opened.callback(database.close)
        return reconcile(databases.pop(source), databases, dry_run=dry_run)


def told(found: Reconciled, *, dry_run: bool) -> str:
    """Write for a person what was found: a line per room, under it each event that the source knows no more."""
    lines = []
    for follower in found.followers:
        if not follower.is_ahead:
            lines.append(f"{follower.room:<10} follows {found.source} up to {follower.sequence}: nothing to do")
            continue
        lines.append(
            f"{follower.room:<10} had applied up to {follower.sequence}, {found.source} knows it up to "
            f"{follower.fork.sequence}; applied and lost there: {len(follower.lost)}"
        )
        lines += [
            f"           - {event.sequence}  {event.event_id}  {event.type}  {event.subject}  "
            f"applied {event.applied_at.isoformat(timespec='seconds')}"
            for event in follower.lost
        ]
    if dry_run:
        lines.append("Nothing was changed; run it without --dry-run to do so.")
    elif found.epoch is None:
        lines.append(f"Nothing to do: every room follows the log of {found.source}.")
    else:
        lines.append(
            f"Reconciled: {found.source} goes on in the epoch {found.epoch}. Look at what is lost, then audit."
        )
    return "\n".join(lines) + "\n"
