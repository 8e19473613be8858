"""Activation keys: making one, adding one to a project (BAL-2, BAL-5, L7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from services.accounts.api import Actor, needs
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, invalid, not_found
from services.chassis.fields import write_moment
from services.chassis.ids import new_id
from services.chassis.keys.keystore import KeyStore
from services.chassis.service.declare import command
from services.chassis.service.running import repeatable, run
from services.licensing import access, api
from services.licensing.api import ERRORS
from services.licensing.commands.guesses import count_guess
from services.licensing.commands.naming import named
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
from services.licensing.store.keys import FoundKey, NewKey
from services.licensing.store.ledger import Entry
from services.projects.api import ADD, ProjectCopy, ProjectsClient

_REFUSALS: Final = {
    keys.USED: "licensing.key_used",
    keys.CANCELLED: "licensing.key_cancelled",
    keys.EXPIRED: "licensing.key_expired",
}
_USED: Final = "The key has been added already, and a key can be added only once: ask whoever gave it to you."


@command(
    request=api.ActivateKeyRequest,
    answer=api.Activation,
    needs=(needs.WRITE,),
    rehearsable=True,
    raises=(
        "projects.not_found",
        "access.power_needed",
        "projects.archived",
        "projects.closed",
        "licensing.key_mistyped",
        "licensing.key_unknown",
        "licensing.key_used",
        "licensing.key_cancelled",
        "licensing.key_expired",
        "licensing.too_many_keys_tried",
    ),
    emits=("activation_key_redeemed",),
)
@repeatable
def activate_key(database: Database, call: Call, request: Mapping[str, Any], *, projects: ProjectsClient) -> Answer:
    """Add an activation key to a project, once in the life of the key, or rehearse it (BAL-2)."""
    actor = Actor.of(call)
    project = access.get_project(call, database, projects, request["project_id"], ADD)
    catalogue = get_catalogue(database)
    answer = count_guess(database, call, request)
    if answer is not None:
        return answer
    return run(database, call, request, _Redemption(actor, project, catalogue, request))


def create_key(
    unit: Unit,
    database: Database,
    licenses: Mapping[str, int],
    *,
    created_by: str,
    order_number: str | None = None,
    company_id: str | None = None,
    project_id: str | None = None,
) -> tuple[str, str]:
    """Make an open key with its pool, but nothing in it yet; returns its id and its text with dashes.

    Args:
        unit: the running transaction.
        database: its key store seals the text.
        licenses: what the key will hold.
        created_by: id of the user who makes it.
        order_number: of the order that it is for.
        company_id, project_id: whose balance it is made from.
    """
    key_id, text = new_id(), new_key()
    keys.insert_key(
        unit.connection,
        NewKey(
            id=key_id,
            digest=digest_of_key(text),
            sealed=_keystore(database).seal(text.encode(), f"activation_key:{key_id}"),
            last_group=text[-GROUP:],
            licenses=list(licenses.items()),
            order_number=order_number,
            company_id=company_id,
            project_id=project_id,
            created_by=created_by,
            created_at=unit.now,
        ),
    )
    ledger.ensure_pool(unit.connection, ledger.key_pool(key_id))
    return key_id, format_key(text)


def reveal_key(unit: Unit, database: Database, key_id: str) -> str:
    """Return the text of a key with dashes."""
    sealed = keys.sealed_text(unit.connection, key_id)
    return format_key(_keystore(database).unseal(sealed, f"activation_key:{key_id}").decode())


def _keystore(database: Database) -> KeyStore:
    if database.keystore is None:
        raise RuntimeError("Activation keys are stored sealed, and this database was opened without a key store.")
    return database.keystore


class _Redemption:
    """One attempt to add a key, as a unit of work."""

    def __init__(self, actor: Actor, project: ProjectCopy, catalogue: Catalogue, request: Mapping[str, Any]) -> None:
        self.actor = actor
        self.project = project
        self.catalogue = catalogue
        self.text = request["key"]
        self.comment = request["comment"]
        self.is_rehearsal = bool(request["dry_run"])

    def __call__(self, unit: Unit) -> Mapping[str, object]:
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
        contents = named(self.catalogue, key.licenses)
        self._tell(unit, key, contents)
        return {"id": None if self.is_rehearsal else key.id, "licenses": contents}

    def _find(self, unit: Unit) -> FoundKey:
        try:
            digest = digest_of_key(parse_key(self.text))
        except MistypedKeyError as error:
            raise invalid(
                "licensing.key_mistyped", f"This is not an activation key. {error} Compare it with the paper."
            ) from None
        key = keys.find_key(unit.connection, digest)
        if key is None:
            raise not_found(
                "licensing.key_unknown",
                "This key was never given out: compare it with the paper, or ask whoever gave it to you.",
            )
        if key.state == keys.OPEN and key.expires_at is not None and key.expires_at <= unit.now:
            raise _refusal(keys.EXPIRED)
        if key.state != keys.OPEN:
            raise self._not_open(unit, key)
        return key

    def _use(self, unit: Unit, key: FoundKey) -> None:
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

    def _not_open(self, unit: Unit, key: FoundKey) -> ServiceError:
        project_id, when = key.used_project_id, key.used_at
        if project_id is None or when is None or not self.actor.owns(key.used_company_id):
            return _refusal(key.state)
        # Where one's own key went is no secret from oneself.
        project = project_store.get(unit.connection, project_id)
        facts = {"project_id": project_id, "used_at": write_moment(when)}
        if project is None:
            return conflict("licensing.key_used", _USED, **facts)
        return conflict(
            "licensing.key_used",
            f"The key has been added already, and a key can be added only once: look for its licenses in the project "
            f"{project.name}, to which it was added on {when:%Y-%m-%d}.",
            **facts,
        )

    def _tell(self, unit: Unit, key: FoundKey, contents: list[Amount]) -> None:
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
