"""One running write transaction: its connection, its time, its events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, CursorResult

from services.chassis.context import Call
from services.chassis.data import idempotency, outbox

_watcher: Callable[[str], None] | None = None


def watch(watcher: Callable[[str], None]) -> None:
    """Let a function hear the type of each event before it is kept, and refuse it by raising; for tests."""
    global _watcher  # noqa: PLW0603 - a switch of the process, set once
    _watcher = watcher


class Unit:
    """One running write transaction: its connection, its time, its events.

    Args:
        service: whose outbox gets the events.
        connection: of the transaction.
        call: who asked, None for the service's own work.
    """

    def __init__(self, service: str, connection: Connection, call: Call | None) -> None:
        self.service = service
        self.connection = connection
        self.call = call
        self.events: list[dict[str, Any]] = []
        self.stored_events = 0
        self._at_end: list[Callable[[], None]] = []
        self._now: datetime | None = None

    @property
    def now(self) -> datetime:
        """The database's time at the begin of the transaction (rule L16)."""
        if self._now is None:
            self._now = idempotency.database_time(self.connection)
        return self._now

    def claim(self, claim: idempotency.Claim) -> bool:
        """Take a claim in this transaction; its row also tells the time. Returns whether it was free."""
        taken_at = claim.take(self.connection)
        self._now = taken_at or self._now
        return taken_at is not None

    def execute(self, statement: Any, parameters: Any = None) -> CursorResult[Any]:
        """Run a statement in this transaction."""
        result: CursorResult[Any] = self.connection.execute(statement, parameters)
        return result

    def at_end(self, work: Callable[[], None]) -> None:
        """Let work be the last before the commit, when answer and events are stored: it locks what many wait for.

        Args:
            work: may still refuse by a `ServiceError`; emits nothing.
        """
        self._at_end.append(work)

    def finish(self) -> None:
        """Do what was left to the end."""
        works, self._at_end = self._at_end, []
        for work in works:
            work()

    def emit(
        self,
        type: str,
        *,
        subject: str,
        data: Mapping[str, Any],
        company_id: str | None = None,
        project_id: str | None = None,
        device_id: str | None = None,
        hardware_id: str | None = None,
        actor_id: str | None = None,
        anonymous: bool = False,
    ) -> None:
        """Put an event into the outbox, to be published once the transaction is committed (rule R8).

        Args:
            type: noun_past name such as `licenses_assigned`.
            subject: id of the object that it is about.
            data: by the published schema; persons by id only, no secrets.
            company_id: the one company concerned; several companies mean several events.
            project_id, device_id, hardware_id: what it is about, for subscribers to filter by.
            actor_id: the person; taken from the caller's claims when absent.
            anonymous: leave out person and request, for an event to a company that must not learn who it was (S9).
        """
        if _watcher is not None:
            _watcher(type)
        call = self.call
        actor = actor_id or (call.claims.get("sub") if call is not None else None)
        attributes = {
            "subject": subject,
            "companyid": company_id,
            "projectid": project_id,
            "deviceid": device_id,
            "hardwareid": hardware_id,
            "actorid": None if anonymous else actor,
            "requestid": call.request_id if call is not None and not anonymous else None,
        }
        self.events.append(outbox.event_row(self.service, type, self.now, attributes, data))
