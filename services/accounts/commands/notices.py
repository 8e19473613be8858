"""Mails to administrators about devices that other companies do something with (DEV-15): wanted ones, one an hour."""

from collections.abc import Sequence

from services.accounts.api import DEVICE_NOTICE
from services.accounts.store import companies, mails, notices
from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.keys.keystore import KeyStore
from services.chassis.service.declare import handler


@handler()
def apply_history_events(unit: Unit, events: Sequence[Event], keys: KeyStore) -> None:
    """Queue a mail to the administrators of a company that wants it, at most one an hour; other events are not ours."""
    told = {event.companyid for event in events if event.type == DEVICE_NOTICE and event.companyid is not None}
    for company_id in sorted({companies.current_id(unit.connection, one) for one in told}):
        if notices.take_turn(unit, company_id):
            _mail(unit, company_id, keys)


def send_held(unit: Unit, keys: KeyStore) -> int:
    """Queue the mails that were held back and whose turn it is now; returns for how many companies."""
    due = notices.due(unit)
    for company_id in due:
        if notices.take_turn(unit, company_id):
            _mail(unit, company_id, keys)
    return len(due)


def _mail(unit: Unit, company_id: str, keys: KeyStore) -> None:
    for admin in notices.admins(unit.connection, company_id):
        mails.queue(unit, keys, "device_notice", admin.language, admin.email, {})
