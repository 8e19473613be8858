"""The reads of history: who may see which lines, and the page that results.

What a reader may see is decided from the verified token and from the lines themselves; another company's
object and one that does not exist get the same answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_

from services.accounts.api import Actor, needs
from services.chassis.answers import Page, Shown, shown
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database
from services.chassis.errors import forbidden, invalid, not_found
from services.chassis.fields import read_moment
from services.chassis.paging import Listing
from services.chassis.service.declare import query
from services.devices.api import MalformedIdError, canonical_hardware_id
from services.history import api, store
from services.history.api import ERRORS
from services.history.domain import for_colleague, period_start, within_project
from services.history.store import Place, PlacedLine


@query(
    request=api.ListHistoryRequest,
    answer=api.ListHistoryAnswer,
    needs=(needs.READ,),
    raises=(
        "accounts.company_needed",
        "history.id_needed",
        "history.device_not_found",
        "history.user_not_found",
        "history.company_not_found",
        "history.project_not_found",
        "history.admin_needed",
    ),
)
def list_history(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """Return a page of history lines, newest first (HIS-1)."""
    return page_until(database, call, request, datetime.now(UTC))


def page_until(database: Database, call: Call, request: Mapping[str, Any], now: datetime) -> Page:
    """Return a page of the lines of a period that ends at a moment.

    Raises: as `list_history` declares.
    """
    actor = Actor.of(call)
    listing = Listing(call, "list_history", request)
    place = listing.after(read_moment, _position)
    before = Place(*place) if place else None

    def read(connection: Connection) -> list[PlacedLine]:
        condition = _Reader(connection, actor).condition(request)
        start = period_start(request["period"], now)
        since = max((at for at in (start, request["from_"]) if at is not None), default=None)
        condition = and_(condition, store.between(since, request["to"]))
        if request["action"]:
            condition = and_(condition, store.of_action(request["action"]))
        return store.page(connection, condition, before, listing.limit + 1)

    found = database.read(read)
    page, following = listing.page(found, lambda entry: (entry.place.at, entry.place.position))
    return Page([_item(actor, entry) for entry in page], following)


@dataclass(frozen=True, slots=True)
class _Reader:
    """One reader within one read transaction; turns a request into the condition that lines must fulfill."""

    connection: Connection
    actor: Actor

    def condition(self, request: Mapping[str, Any]) -> ColumnElement[bool]:
        project_id = self._project(request["project"])
        match request["context"]:
            case "company":
                condition = self._company(request["id"], project_id)
            case "user":
                condition = self._user(request["id"])
            case _:
                condition = self._device(request["id"])
        return condition if project_id is None else and_(condition, store.of_project(project_id))

    def _project(self, asked: str | None) -> str | None:
        # A token that is bound to a project reads that project only, and does not learn of others.
        bound = self.actor.project_id
        if asked and bound and asked != bound:
            raise not_found("history.project_not_found", ERRORS["history.project_not_found"])
        project_id = asked or bound
        if project_id is None or self.actor.staff:
            return project_id
        owner = store.project_owner(self.connection, project_id)
        if owner is None or not (self.actor.owns(owner) or project_id in self._guest_projects()):
            raise not_found("history.project_not_found", ERRORS["history.project_not_found"])
        return project_id

    def _company(self, company_id: str | None, project_id: str | None) -> ColumnElement[bool]:
        if self.actor.staff and (company_id or not self.actor.company_ids):
            return store.of_companies(self._with_imported(company_id)) if company_id else store.everything()
        if company_id is not None:
            if not self.actor.owns(company_id):
                raise not_found("history.company_not_found", ERRORS["history.company_not_found"])
            return store.of_companies(self._with_imported(company_id))
        self.actor.require_company()
        own = store.of_companies(self.actor.company_ids)
        return own if project_id is None else or_(own, self._as_guest())

    def _user(self, asked: str | None) -> ColumnElement[bool]:
        user_id = asked or self.actor.user_id
        lines = store.of_user(user_id)
        if self.actor.staff:
            return lines
        own = store.of_companies(self.actor.company_ids)
        if user_id == self.actor.user_id:
            return and_(lines, or_(own, store.of_no_company()))
        if not store.exists(self.connection, and_(lines, own)):
            raise not_found("history.user_not_found", ERRORS["history.user_not_found"])
        if self.actor.role != "admin":
            raise forbidden("history.admin_needed", ERRORS["history.admin_needed"])
        return and_(lines, own)

    def _device(self, device_id: str | None) -> ColumnElement[bool]:
        if device_id is None:
            raise invalid("history.id_needed", ERRORS["history.id_needed"])
        # An import joins two records of a device: either id shows what happened under both.
        ids = aliases.group_today(self.connection, device_id)
        lines = store.of_device(ids, _hardware_id(device_id))
        if not self.actor.staff:
            lines = and_(lines, or_(store.of_companies(self.actor.company_ids), self._as_guest()))
        if self.actor.project_id is not None:
            # For a token that is bound to a project, a device of another one is not there.
            lines = and_(lines, store.of_project(self.actor.project_id))
        if not store.exists(self.connection, lines):
            raise not_found("history.device_not_found", ERRORS["history.device_not_found"])
        return lines

    def _with_imported(self, company_id: str, *, today: bool = False) -> list[str]:
        """Return a company and those that it imported; `today` begins with the one that stands for it now (ACC-6)."""
        return aliases.group(self.connection, aliases.current(self.connection, company_id) if today else company_id)

    def _guest_projects(self) -> dict[str, str]:
        return store.guest_projects(self.connection, self.actor.company_ids)

    def _as_guest(self) -> ColumnElement[bool]:
        """Let lines through that the owner of a foreign project has in it (mission, table of powers)."""
        parts = [
            and_(store.of_project(project_id), store.of_companies(self._with_imported(owner, today=True)))
            for project_id, owner in self._guest_projects().items()
        ]
        return or_(store.nothing(), *parts)


def _hardware_id(text: str) -> str | None:
    try:
        return canonical_hardware_id(text)
    except MalformedIdError:
        return None


def _item(actor: Actor, entry: PlacedLine) -> Shown:
    line = entry.line
    data = json.loads(line.data)
    foreign = line.company_id is not None and not actor.owns(line.company_id) and not actor.staff
    if foreign or actor.project_id is not None:
        data = within_project(data, line.project_id)
    if not (actor.staff or (actor.admin and not foreign) or line.subject == actor.user_id):
        data = for_colleague(line.action, data)
    who = {"id": line.actor_id, "name": None} if line.actor_id else None
    return shown(line, id=line.event_id, actor=who, data=data)


def _position(value: Any) -> int:
    if type(value) is not int or not 0 < value < 2**63:
        raise ValueError(value)
    return value
