"""What licensing learns from the events of other rooms: names, owners and states of projects, who has which device."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.service.declare import handler
from services.devices.api import PROVEN
from services.licensing.commands import telling
from services.licensing.commands.possession import end_claims
from services.licensing.store import guests, holders, ledger, projects
from services.licensing.store.payers import payers
from services.projects.api import CLOSED, ProjectCopy

_MARKS = {"device_marked_rma": True, "device_unmarked_rma": False}
_RIGHTS = {"project_right_granted": False, "project_right_removed": True}
_RECORD_GONE = ("device_deleted", "device_merged")
_PROJECT_EVENTS = ("project_created", "project_changed", "project_deleted")


@handler()
def apply_projects_events(unit: Unit, events: Sequence[Event]) -> None:
    """Bring the copies of projects and of guests' rights up to date; everything else is passed over."""
    for event in events:
        if event.type in _RIGHTS:
            # Told to the owner and to the guest: the second one says the same.
            guest_id = str(event.data["guest_company_id"])
            guests.keep(unit.connection, event.subject, guest_id, ended=_RIGHTS[event.type])
        if event.type in _PROJECT_EVENTS and event.companyid is not None:
            project_id, name = str(event.data["project_id"]), str(event.data["name"])
            state = CLOSED if event.type == "project_deleted" else str(event.data["state"])
            known = projects.get(unit.connection, project_id)
            # Events of old carry no version; they are told in order, so each is the newest.
            version = int(event.data.get("version", known.version if known is not None else 0))
            projects.save(unit.connection, ProjectCopy(project_id, event.companyid, name, state, version))


@handler(emits=("paid_device_used_elsewhere", "certificate_revoked"))
def apply_devices_events(unit: Unit, events: Sequence[Event]) -> None:
    """Tell who paid for licenses on a device that another company added it (S9); keep RMA marks and holders (L20).

    Of an addition devices itself tells who has the device too. Of a proof of possession they are told here; it ends
    what claims of others got (DEV-15).
    """
    for event in events:
        if event.type in _MARKS and event.hardwareid is not None:
            ledger.mark_rma(unit.connection, event.hardwareid, rma=_MARKS[event.type])
        if event.deviceid is None or event.hardwareid is None or event.companyid is None:
            continue
        if event.type in _RECORD_GONE:
            holders.drop(unit.connection, event.subject)
        elif event.type == "device_added":
            told = {event.companyid, *holders.companies(unit.connection, event.hardwareid)}
            # Events may come late, such as after a restart: what was paid since is no secret of before.
            paid = payers(unit.connection, event.hardwareid, before=event.time)
            telling.tell_payers(unit, event.hardwareid, telling.ADDED, paid, told=told)
            holders.keep(unit.connection, event.deviceid, event.hardwareid, event.companyid)
        elif event.type == "device_possession_proven":
            paid = payers(unit.connection, event.hardwareid, before=event.time)
            also = holders.companies(unit.connection, event.hardwareid)
            telling.tell_payers(unit, event.hardwareid, telling.PROVEN, paid, told=[event.companyid], also=also)
        if event.type == "device_possession_proven" or event.data.get("possession") == PROVEN:
            end_claims(unit, event.hardwareid, event.companyid)
