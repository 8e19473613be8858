"""Activation keys: making one, adding one to a project (BAL-2, BAL-5, L7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from services.accounts.api import SCOPE_WRITE, Actor
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, invalid, not_found
from services.chassis.fields import write_moment
from services.chassis.ids import new_id
from services.licensing import access
from services.licensing.api import ERRORS
from services.licensing.commands.guesses import count_guess
from services.licensing.commands.naming import named
from services.licensing.commands.running import repeatable, run
from services.licensing.domain.activation_keys import (
    GROUP,
    MistypedKeyError,
    digest_of_key,
    format_key,
    masked_key,
    new_key,
    parse_key,
)
from services.licensing.domain.amounts import Amount
from services.licensing.domain.catalogue import Catalogue
from services.licensing.store import keys, ledger
from services.licensing.store import projects as project_store
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.keys import Row
from services.licensing.store.ledger import Entry
from services.projects.api import ADD, ProjectCopy, ProjectsClient

_REFUSALS: Final = {
    keys.USED: "licensing.key_used",
    keys.CANCELLED: "licensing.key_cancelled",
    keys.EXPIRED: "licensing.key_expired",
}
_USED: Final = "The key has been added already; a key can be added once."


@repeatable
def activate_key(
    database: Database, call: Call, request: Mapping[str, Any], *, projects: ProjectsClient
) -> dict[str, Any]:
    """Add an activation key to a project, once in the life of the key (BAL-2).

    Raises: projects.not_found, access.power_needed, licensing.key_mistyped, licensing.key_unknown,
        licensing.key_used, licensing.key_cancelled, licensing.key_expired, licensing.too_many_keys_tried,
        projects.archived, projects.closed.
    Emits: activation_key_redeemed, to each company concerned.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_WRITE)
    project = access.get_project(call, database, projects, request["project_id"], ADD)
    catalogue = get_catalogue(database)
    answered = count_guess(database, call, request)
    if answered is not None:
        return answered
    return run(database, call, "activate_key", request, _Redemption(actor, project, catalogue, request))


def create_key(
    unit: Unit, database: Database, licenses: Mapping[str, int], values: Mapping[str, Any]
) -> tuple[str, str]:
    """Make an open key with its pool, but nothing in it yet; returns its id and its text with dashes.

    Args:
        unit: the running transaction.
        database: its key store seals the text.
        licenses: what the key will hold.
        values: further columns of the key.
    """
    key_id, text = new_id(), new_key()
    if database.keystore is None:
        raise RuntimeError("Activation keys are stored sealed, and this database was opened without a key store.")
    keys.insert_key(
        unit.connection,
        {
            "id": key_id,
            "digest": digest_of_key(text),
            "sealed": database.keystore.seal(text.encode(), f"activation_key:{key_id}"),
            "last_group": text[-GROUP:],
            "state": keys.OPEN,
            "licenses": [[license_type, quantity] for license_type, quantity in licenses.items()],
            "created_at": unit.now,
            "comment": "",
            **values,
        },
    )
    ledger.ensure_pool(unit.connection, ledger.key_pool(key_id))
    return key_id, format_key(text)


def reveal_key(unit: Unit, database: Database, key_id: str) -> str:
    """Return the text of a key with dashes."""
    if database.keystore is None:
        raise RuntimeError("Activation keys are stored sealed, and this database was opened without a key store.")
    sealed = keys.unseal_data(unit.connection, key_id)
    return format_key(database.keystore.unseal(sealed, f"activation_key:{key_id}").decode())


class _Redemption:
    """One attempt to add a key, as a unit of work."""

    def __init__(self, actor: Actor, project: ProjectCopy, catalogue: Catalogue, request: Mapping[str, Any]) -> None:
        self.actor = actor
        self.project = project
        self.catalogue = catalogue
        self.text = request["key"]
        self.comment = request["comment"]
        self.is_rehearsal = bool(request["dry_run"])

    def __call__(self, unit: Unit) -> dict[str, Any]:
        """Check the key, book its contents into the project, tell the companies."""
        # Before any row is locked: the company that projects named may have been imported by another one since.
        owner = aliases.share(unit.connection, self.project.company_id)
        self.project = replace(self.project, company_id=owner)
        access.hold_open(unit, self.project.id)
        if not self.actor.owns(self.project.company_id) and not self.actor.staff:
            access.refuse_former_guest(unit, self.actor, self.project.id)
        key = self._find(unit)
        self._use(unit, key)
        licenses = ledger.contents(unit.connection, ledger.key_pool(key.id))
        source, target = ledger.key_pool(key.id), ledger.project_pool(self.project.id)
        ledger.post(
            unit,
            f"redeem:{key.id}",
            "redeem",
            [entry for t, n in licenses.items() for entry in (Entry(source, t, -n), Entry(target, t, n))],
            company_id=self.project.company_id,
        )
        contents = named(self.catalogue, ((str(t), int(n)) for t, n in key.licenses))
        self._tell(unit, key, contents)
        return {"id": None if self.is_rehearsal else key.id, "licenses": contents}

    def _find(self, unit: Unit) -> Row:
        try:
            digest = digest_of_key(parse_key(self.text))
        except MistypedKeyError as error:
            raise invalid(
                "licensing.key_mistyped", f"This is not an activation key. {error} Compare it with the paper."
            ) from None
        key = keys.find_key(unit.connection, digest)
        if key is None:
            raise not_found(
                "licensing.key_unknown", "This key was never given out: compare it with the paper, or ask who sent it."
            )
        if key.state == keys.OPEN and key.expires_at is not None and key.expires_at <= unit.now:
            raise _refusal(keys.EXPIRED)
        if key.state != keys.OPEN:
            raise self._not_open(unit, key)
        return key

    def _use(self, unit: Unit, key: Row) -> None:
        won = keys.use_key(
            unit.connection,
            key.id,
            project_id=self.project.id,
            company_id=self.project.company_id,
            user_id=self.actor.user_id,
            comment=self.comment,
            now=unit.now,
        )
        if not won:
            raise self._not_open(unit, self._find(unit))

    def _not_open(self, unit: Unit, key: Row) -> ServiceError:
        if key.state != keys.USED or not self.actor.owns(key.used_company_id):
            return _refusal(key.state)
        # Where one's own key went is no secret from oneself.
        project = project_store.get(unit.connection, key.used_project_id)
        when: datetime = key.used_at
        facts = {"project_id": key.used_project_id, "used_at": write_moment(when)}
        if project is None:
            return conflict("licensing.key_used", _USED, **facts)
        return conflict(
            "licensing.key_used", f"{_USED} It was added to the project {project.name} on {when:%Y-%m-%d}.", **facts
        )

    def _tell(self, unit: Unit, key: Row, contents: list[Amount]) -> None:
        companies = [self.project.company_id]
        if self.actor.company_id is not None and not self.actor.owns(self.project.company_id):
            companies.append(self.actor.company_id)
        for company_id in companies:
            unit.emit(
                "activation_key_redeemed",
                subject=key.id,
                data={
                    "project": self.project.ref(),
                    "key": masked_key(key.last_group),
                    "comment": self.comment,
                    "licenses": contents,
                },
                company_id=company_id,
                project_id=self.project.id,
            )


def _refusal(state: str) -> ServiceError:
    code = _REFUSALS[state]
    return conflict(code, _USED if state == keys.USED else ERRORS[code])
