"""Rules of projects: names, states, and the one table of powers. Standard library only; no rows and no calls here."""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

SEE: Final = "see"
ADD: Final = "add"
DRAW: Final = "draw"
FILES: Final = "files"
REQUEST_CERTIFICATE: Final = "request_certificate"
MOVE_LICENSES: Final = "move_licenses"
MANAGE_DEVICES: Final = "manage_devices"
MANAGE: Final = "manage"
CORRECT: Final = "correct"
MANAGE_COMPANY: Final = "manage_company"

OWN: Final = "own"
GUEST: Final = "guest"
STAFF: Final = "staff"
OWN_ADMIN: Final = "own_admin"
OWN_MEMBER: Final = "own_member"

OPEN: Final = "open"
ARCHIVED: Final = "archived"
CLOSED: Final = "closed"

DEFAULT_NAME: Final = "DEFAULT"
NAME_MAXIMUM: Final = 64
"""Longest name of a project in characters (PRJ-1)."""

YES: Final = "yes"
NO: Final = "no"
WITH_REQUEST_CERTIFICATE: Final = "REQUEST_CERTIFICATE"
WITH_MOVE_LICENSES: Final = "MOVE_LICENSES"


@dataclass(frozen=True, slots=True)
class Power:
    """One row of the table of powers: what may be done, and by whom.

    Args:
        name: what answers carry in `powers`.
        text: the row's English text for the documentation.
        own_admin, own_member, guest, staff: `yes`, `no`, or the account right that is needed as well.
        archived: whether the power is left while the project is archived (read-only).
        of_project: whether it is a power in a project; the others concern the company and stand in no `powers`.
    """

    name: str
    text: str
    own_admin: str
    own_member: str
    guest: str
    staff: str
    archived: bool = False
    of_project: bool = True

    def holds(self, relation: str, rights: Collection[str]) -> bool:
        """Return whether someone in this relation with these account rights has the power.

        Args:
            relation: `own_admin`, `own_member`, `guest` or `staff`.
            rights: the account rights of the person.
        """
        cell: str = getattr(self, relation)
        return cell == YES or cell in rights


POWERS: Final[tuple[Power, ...]] = (
    Power(
        SEE,
        "see the project, its balance, devices, licenses, added keys, history lines (persons of the other company by "
        "name, never e-mail)",
        YES,
        YES,
        YES,
        YES,
        archived=True,
    ),
    Power(
        ADD,
        "add devices (the record is then the project's owner's), activation keys, licenses; change comments",
        YES,
        YES,
        YES,
        NO,
    ),
    Power(DRAW, "on a shortage draw from other projects of the caller's own company", YES, YES, YES, NO),
    Power(
        FILES,
        "test files, encrypted and plain download, return of a device-signed file (credited to this project)",
        YES,
        YES,
        YES,
        NO,
    ),
    Power(
        REQUEST_CERTIFICATE,
        "request a certificate",
        WITH_REQUEST_CERTIFICATE,
        WITH_REQUEST_CERTIFICATE,
        WITH_REQUEST_CERTIFICATE,
        NO,
    ),
    Power(MOVE_LICENSES, "move licenses (RMA)", WITH_MOVE_LICENSES, WITH_MOVE_LICENSES, NO, YES),
    Power(
        MANAGE_DEVICES, "move a device to another project, delete a device, take an assignment back", YES, YES, NO, NO
    ),
    Power(
        MANAGE,
        "rename, describe, delete, archive the project; its rights; create, see and cancel keys; move balance",
        YES,
        YES,
        NO,
        NO,
        archived=True,
    ),
    Power(CORRECT, "correct the balance by a posting", NO, NO, NO, YES),
    Power(
        MANAGE_COMPANY,
        "in the company: give admin, lock, remove, import, rename, other users' history",
        YES,
        NO,
        NO,
        YES,
        archived=True,
        of_project=False,
    ),
)
"""The table of powers of mission.md: checks, documentation and the test matrix all come from here."""


def roles_of(access: str, *, admin: bool, staff: bool) -> tuple[str, ...]:
    """Return the columns of the table that someone stands in; staff who belong to the owner stand in two.

    Args:
        access: `own`, `guest` or `staff`.
        admin: whether they administrate their company.
        staff: whether they are staff of the vendor.
    """
    role = {OWN: OWN_ADMIN if admin else OWN_MEMBER}.get(access, access)
    return (role, STAFF) if staff and role != STAFF else (role,)


def may_have(name: str, roles: Collection[str]) -> bool:
    """Return whether someone in one of these columns can have a power at all, be it with an account right."""
    return name in _possible(frozenset(roles))


@cache
def _possible(roles: frozenset[str]) -> frozenset[str]:
    return frozenset(power.name for power in POWERS if any(getattr(power, role) != NO for role in roles))


def powers_of(relations: Collection[str], rights: Collection[str], state: str = OPEN) -> tuple[str, ...]:
    """Return the names of the powers that someone has in a project.

    Args:
        relations: what the person is to the project; staff who belong to the owner are both.
        rights: the account rights of the person.
        state: the project's state; an archived one is read-only, a closed one (being deleted) is only seen.
    """
    return _powers_of(frozenset(relations), frozenset(rights), state)


@lru_cache(1024)
def _powers_of(relations: frozenset[str], rights: frozenset[str], state: str) -> tuple[str, ...]:
    powers = [
        power for power in POWERS if power.of_project and any(power.holds(relation, rights) for relation in relations)
    ]
    if state == ARCHIVED:
        powers = [power for power in powers if power.archived]
    elif state == CLOSED:
        powers = [power for power in powers if power.name == SEE]
    return tuple(power.name for power in powers)


def normalized_name(name: str) -> str:
    """Return what must be unique in a company: the name without outer blanks and case (PRJ-1).

    An accent written as a character of its own is the same as one that is part of its letter.
    """
    return unicodedata.normalize("NFC", name.strip().casefold())


def renames(ours: Collection[str], theirs: Sequence[tuple[str, str]], company: str) -> dict[str, str]:
    """Return new names for the projects of a company that is imported whose names the importing one has too (ACC-6).

    Args:
        ours: names of the importing company's projects.
        theirs: ids and names of the other company's projects; earlier ones keep a name that stands there twice.
        company: the other company's name, which tells the renamed ones: `DEFAULT (Other Ltd)`.
    """
    taken = {normalized_name(name) for name in ours}
    kept = {normalized_name(name) for _, name in theirs}
    found: dict[str, str] = {}
    for identifier, name in theirs:
        if normalized_name(name) not in taken:
            taken.add(normalized_name(name))
            continue
        number = 1
        while normalized_name(new := _told_apart(name, company, number)) in taken | kept:
            number += 1
        taken.add(normalized_name(new))
        found[identifier] = new
    return found


def _told_apart(name: str, company: str, number: int) -> str:
    mark = "" if number == 1 else f" {number}"
    room = NAME_MAXIMUM - len(name) - len(" ()") - len(mark)
    company = _cut(company, max(room, 16))
    name = _cut(name, NAME_MAXIMUM - len(company) - len(" ()") - len(mark))
    return f"{name} ({company}{mark})"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"
