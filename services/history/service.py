"""The nameko class of history: what it listens to, what it answers, when it signs. No rules in here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import structlog
from nameko.extensions import DependencyProvider
from nameko.timer import timer

from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.service.health import Health
from services.chassis.service.inbox import subscribe
from services.chassis.service.providers import SETTINGS_KEY, DatabaseProvider, EventsLeaf
from services.chassis.service.relay import Relay
from services.chassis.service.serving import serves
from services.history import commands, last_audit, merges, notices, queries, store
from services.history.heads import HeadsError, SignedHeads

_SECONDS_BETWEEN_LOOKS = 60
_log = structlog.get_logger(__name__)


class SignedHeadsProvider(DependencyProvider):
    """Gives workers the documents of signed heads, with the key that signs them."""

    _heads: SignedHeads | None = None

    def get_dependency(self, worker_ctx: Any) -> SignedHeads:
        """Return the documents; opened at the first use, since key files are slow to decrypt."""
        if self._heads is None:
            self._heads = SignedHeads.from_settings(self.container.config[SETTINGS_KEY])
        return self._heads


@serves(queries.list_history, merges.rehearse_merge)
class HistoryService:
    """Listens to all rooms and answers the gateway; it calls nobody, and emits only what accounts needs of imports."""

    name = "history"
    database = DatabaseProvider()
    signed_heads = SignedHeadsProvider()
    relay = Relay()
    events = EventsLeaf("accounts")
    health = Health(also=last_audit.samples)

    @subscribe("accounts")
    def on_accounts_events(self, unit: Unit, events: list[Event]) -> None:
        """Append a line per event of accounts, and read the lines of an imported company with the importing one's."""
        commands.append_events(unit, events)
        merges.apply_merges(unit, events)

    @subscribe("projects")
    def on_projects_events(self, unit: Unit, events: list[Event]) -> None:
        """Append a line per event of projects, and pass on what it says of an import (HIS-2)."""
        commands.append_events(unit, events)
        merges.apply_merges(unit, events)

    @subscribe("devices")
    def on_devices_events(self, unit: Unit, events: list[Event]) -> None:
        """Append a line per event of devices, and pass on what it says of an import (HIS-2)."""
        commands.append_events(unit, events)
        merges.apply_merges(unit, events)
        notices.pass_on(unit, events)

    @subscribe("licensing")
    def on_licensing_events(self, unit: Unit, events: list[Event]) -> None:
        """Append a line per event of licensing, and pass on what it says of an import (HIS-2)."""
        commands.append_events(unit, events)
        merges.apply_merges(unit, events)
        notices.pass_on(unit, events)

    @timer(interval=_SECONDS_BETWEEN_LOOKS, eager=True)
    def sign_heads(self) -> None:
        """Sign the heads that moved, once an hour; looked at more often, so that no hour is left out (L15)."""
        heads = self.database.read(store.heads)
        try:
            self.signed_heads.sign_if_due(heads, datetime.now(UTC))
        except HeadsError as error:
            # Nothing is signed on top of a file that was tampered with; the audit tells the same.
            _log.error("signed heads are not in order", error=str(error))
