"""`tessera-admin reconcile-events SOURCE`: after a restore, on an installation that runs or not (rule R25)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from deploy.restored import company_names, settle
from deploy.rooms import ROOMS
from services.accounts.restored import take_back_company as make_again
from services.chassis.data.db import Database
from services.chassis.data.reconcile import Reconciled, reconcile
from services.chassis.settings import Settings


class UnknownSourceError(ValueError):
    """There is no such room; the text names those that there are."""


def reconcile_events(settings: Settings, source: str, *, dry_run: bool) -> tuple[Reconciled, list[str]]:
    """Reconcile a room with all rooms that follow it: what it lost and they know, and then its log.

    Args:
        settings: where the databases are.
        source: room whose database was restored.
        dry_run: only tell what would be done.

    Returns:
        What was found and done about the log, and a sentence for each thing that was settled or has to be.

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
        restored = databases.pop(source)
        # First, so that whoever is cut off in between finds the rooms ahead again, and does both.
        standing = reconcile(restored, databases, dry_run=True)
        settled = settle(restored, databases, standing.followers, dry_run=dry_run)
        return reconcile(restored, databases, dry_run=dry_run), settled


def take_back_company(settings: Settings, company_id: str, email: str) -> str:
    """Give a company that has no people any more an administrator, and return its name.

    Raises:
        accounts.user_not_found, accounts.staff_in_company, accounts.company_not_found.
    """
    with ExitStack() as opened:
        accounts, projects = (Database.from_settings(settings, room, pool_size=1) for room in ("accounts", "projects"))
        for database in (accounts, projects):
            opened.callback(database.close)
        return make_again(accounts, company_id, email, company_names(projects))


def told(found: Reconciled, settled: Sequence[str], *, dry_run: bool) -> str:
    """Write for a person what was found: a line per room, under it each event that the source no longer knows.

    Args:
        found: about the log.
        settled: a sentence for each thing that the source lost.
        dry_run: whether nothing was changed.
    """
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
    lines += settled
    if dry_run:
        lines.append("Nothing was changed; run it without --dry-run to do so.")
    elif found.epoch is None:
        what = "Nothing else" if settled else "Nothing"
        lines.append(f"{what} to do: every room follows the log of {found.source}.")
    else:
        lines.append(
            f"Reconciled: {found.source} goes on in the epoch {found.epoch}. Look at what is lost, then audit."
        )
    return "\n".join(lines) + "\n"
