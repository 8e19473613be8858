"""What a caller may do with a device or a project here: who it is comes from the token, the powers from projects.

Facts of other rooms are asked for before a transaction begins (rule D3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection

from services.accounts.api import Actor
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.errors import conflict, unavailable
from services.devices.api import DeviceAccess, DevicesClient, holder_mark
from services.licensing.domain.amounts import Share
from services.licensing.store import guests, holders, ledger
from services.licensing.store import projects as store
from services.licensing.store.lines import InstalledLine
from services.licensing.store.payers import paid_by
from services.projects.api import (
    CLOSED,
    GUEST,
    OPEN,
    ProjectAccess,
    ProjectCopy,
    ProjectsClient,
    no_project,
)


class Device(DeviceAccess):
    """A device as devices told it for this caller, and who is told what is done with its licenses."""

    __slots__ = ()

    def concerned(self, actor: Actor) -> list[str]:
        """Return the companies that must see what is done here: the project's owner, and the guest who did it."""
        guest = actor.company_id
        if guest is None or guest == self.company_id or actor.owns(self.company_id):
            return [self.company_id]
        return [self.company_id, guest]

    def shares_of(
        self, company_id: str, actor: Actor, shares: Iterable[Share], known: Mapping[str, ProjectCopy]
    ) -> list[Share]:
        """Return those shares of which a company is told: of its own projects, and of the one that the device is in.

        The owner of a project and its guest learn of no other projects of each other.

        Args:
            company_id: who is told.
            actor: whose companies count as one.
            shares: what projects paid or got, each with the project's `id`.
            known: the projects by id.
        """
        group = actor.company_ids if actor.owns(company_id) else (company_id,)
        return [share for share in shares if share["id"] == self.project_id or known[share["id"]].company_id in group]


def get_device(call: Call, devices: DevicesClient, device_id: str, power: str) -> Device:
    """Return a device that the caller may do something with.

    Args:
        power: name of the power in the device's project, of the published table.

    Raises: devices.device_not_found, access.power_needed.
    """
    device = Device.of_answer(devices.get_device_facts(call, device_id=device_id))
    device.require(power)
    return device


def refuse_rma(device: Device) -> None:
    """Refuse a device that is marked RMA (DEV-8).

    Raises: licensing.device_rma.
    """
    if device.rma:
        raise conflict(
            "licensing.device_rma",
            f"{device.hardware_id} is marked RMA and takes no licenses; only the vendor's staff can remove the mark.",
        )


def lock(unit: Unit, actor: Actor, device: Device, *, although_rma: bool = False) -> None:
    """Lock a device's licenses and read again what was asked before the transaction and decides in it (L20).

    devices and projects tell of marks and rights by event; what they told by now is here, and stays until the end.

    Args:
        unit: the running transaction.
        actor: who asks.
        device: as devices told it before.
        although_rma: for what is done with a marked device too.

    Raises: service.unavailable, so that the caller asks anew and gets the refusal of its owner.
    """
    marked = ledger.lock_device(unit, device.hardware_id)
    if marked and not although_rma:
        detail = f"The RMA mark of {device.hardware_id} has just changed; nothing was done. Repeat the request."
        raise unavailable(detail=detail)
    refuse_ended(unit, actor, device)


def held_by_others(connection: Connection, device: Device) -> bool:
    """Tell whether another company has the device too, as devices said when asked or has told by now (L20)."""
    if device.held_by_others:
        return True
    group = aliases.group_today(connection, device.company_id)
    return bool(holders.companies(connection, device.hardware_id) - {*group})


def lines_of_present_others(connection: Connection, device: Device, installed: Collection[InstalledLine]) -> set[str]:
    """Return the ids of those lines that another company put on a device which that company has now too.

    A former owner knows the order's number and may have kept the device's key: nothing that he can prove makes what
    the owner of today put on the device his (LIC-8, DEV-15).

    Args:
        connection: of the transaction in which the device is locked.
        device: the device as the caller holds it.
        installed: lines on it.

    Raises: service.unavailable, while devices and what it has told do not agree.
    """
    own = set(aliases.group_today(connection, device.company_id))
    theirs = {line.company_id for line in installed} - own
    if not theirs:
        return set()
    present = set(aliases.currents(connection, list(holders.companies(connection, device.hardware_id))).values()) - own
    today = aliases.currents(connection, list(theirs))
    held = set()
    for company_id in theirs:
        names = {company_id, *aliases.group(connection, today[company_id])}
        if device.other_holders & {holder_mark(device.hardware_id, name) for name in names}:
            # Devices knows of records of which it has not told here yet.
            held.add(company_id)
        elif today[company_id] in present:
            # It came since devices was asked, or has gone and that was not heard yet: the repetition knows (L20).
            raise unavailable(detail="Who has the device has just changed; nothing was done. Repeat the request.")
    return {line.id for line in installed if line.company_id in held}


def lines_paid_by_others(connection: Connection, device: Device, installed: Collection[InstalledLine]) -> set[str]:
    """Return the ids of those lines that another company put on a device and that the own one did not pay (DEV-15).

    Args:
        connection: of the transaction in which the device is locked.
        device: the device as the caller holds it.
        installed: lines on it.
    """
    own = set(aliases.group_today(connection, device.company_id))
    theirs = [line for line in installed if line.company_id not in own]
    return {line_id for line_id, companies in paid_by(connection, theirs).items() if companies - own}


def refuse_ended(unit: Unit, actor: Actor, device: Device) -> None:
    """Refuse a guest whose right in the device's project has ended since it was asked for (L20).

    Raises: service.unavailable.
    """
    if device.access == GUEST:
        refuse_former_guest(unit, actor, device.project_id)


def refuse_former_guest(unit: Unit, actor: Actor, project_id: str) -> None:
    """Refuse a company whose right in a foreign project has ended, as projects has told by now (L20).

    Raises: service.unavailable.
    """
    if guests.has_ended(unit.connection, project_id, actor.company_ids):
        raise unavailable(detail="Your right in the project has just changed; nothing was done. Repeat the request.")


def hold_open(unit: Unit, project_id: str) -> ProjectCopy:
    """Return an open project that stays open until the transaction ends; whoever adds to a project begins with this.

    A deletion closes the project's row before it counts: either it finds what was added, or this finds it closed.

    Raises: projects.archived, projects.closed, projects.not_found.
    """
    project = store.get(unit.connection, project_id, lock=True)
    if project is None:
        raise no_project()
    project.require_open()
    return project


def get_project(call: Call, database: Database, projects: ProjectsClient, project_id: str, power: str) -> ProjectCopy:
    """Return a project that the caller may do something in, as projects tells it now; the copy here follows.

    Raises: projects.not_found, access.power_needed, projects.archived, projects.closed.
    """
    actor = Actor.of(call)
    access = ProjectAccess.of_answer(projects.get_access(call, project_id=project_id), actor)
    access.require_in_state(actor, power)
    keep_copy(database, access.project)
    return access.project


def keep_copy(database: Database, project: ProjectCopy) -> None:
    """Bring the copy of a project up to what projects answered."""
    if database.read(lambda connection: store.get(connection, project.id)) != project:
        database.write(lambda unit: store.save(unit.connection, project))


def know_project(call: Call, database: Database, projects: ProjectsClient, project_id: str) -> ProjectCopy:
    """Return the copy of a project, asking projects if it was never heard of here, or may be gone.

    Raises: projects.not_found.
    """
    copy = database.read(lambda connection: store.get(connection, project_id))
    if copy is not None and copy.state != CLOSED:
        return copy
    project = ProjectCopy.of_answer(projects.get_access(call, project_id=project_id))
    keep_copy(database, project)
    return copy or project


def own_projects(
    call: Call, database: Database, projects: ProjectsClient, project_ids: Collection[str]
) -> dict[str, ProjectCopy]:
    """Return projects of the caller's own company; anything else answers like an id that does not exist (S8d).

    For a token that is bound to one project there is no other.

    Raises: projects.not_found, licensing.source_not_usable.
    """
    actor = Actor.of(call)
    found = {}
    for project_id in dict.fromkeys(project_ids):
        project = know_project(call, database, projects, project_id)
        if not actor.owns(project.company_id) or actor.project_id not in (None, project_id):
            raise no_project()
        if project.state != OPEN:
            raise conflict(
                "licensing.source_not_usable",
                f"The project {project.name} is {project.state}, so nothing can be drawn from it: leave it out.",
                project_id=project_id,
            )
        found[project_id] = project
    return found


def see_project(call: Call, database: Database, projects: ProjectsClient, project_id: str) -> ProjectCopy:
    """Return a project that the caller may see; own ones are known here, others are asked for.

    Raises: projects.not_found.
    """
    actor = Actor.of(call)
    if actor.project_id not in (None, project_id):
        raise no_project()
    copy = database.read(lambda connection: store.get(connection, project_id))
    known = ProjectAccess.of_copy(copy, actor)
    if known is not None:
        return known.project
    return ProjectCopy.of_answer(projects.get_access(call, project_id=project_id))
