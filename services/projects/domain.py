"""Rules of projects: names, states, and the one table of powers. Standard library only; no rows and no calls here."""

from collections.abc import Collection
from dataclasses import dataclass
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

OWN: Final = "own"
GUEST: Final = "guest"
STAFF: Final = "staff"

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
    """

    name: str
    text: str
    own_admin: str
    own_member: str
    guest: str
    staff: str
    archived: bool = False

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
        "see the project, its balance, devices, licenses, added keys and history lines",
        YES,
        YES,
        YES,
        YES,
        archived=True,
    ),
    Power(ADD, "add devices, activation keys and licenses; change comments", YES, YES, YES, NO),
    Power(DRAW, "on a shortage draw from other projects of one's own company", YES, YES, YES, NO),
    Power(FILES, "test files, encrypted and plain download, return of a device-signed file", YES, YES, YES, NO),
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
        "rename, describe, delete and archive the project; its rights; create, see and cancel keys; move balance",
        YES,
        YES,
        NO,
        NO,
        archived=True,
    ),
    Power(CORRECT, "correct the balance by a posting", NO, NO, NO, YES, archived=True),
)
"""The table of powers of mission.md: checks, documentation and the test matrix all come from here."""


def powers_of(relations: Collection[str], rights: Collection[str], state: str = OPEN) -> tuple[str, ...]:
    """Return the names of the powers that someone has in a project.

    Args:
        relations: what the person is to the project; staff who belong to the owner are both.
        rights: the account rights of the person.
        state: the project's state; an archived one is read-only, a closed one (being deleted) is only seen.
    """
    powers = [power for power in POWERS if any(power.holds(relation, rights) for relation in relations)]
    if state == ARCHIVED:
        powers = [power for power in powers if power.archived]
    elif state == CLOSED:
        powers = [power for power in powers if power.name == SEE]
    return tuple(power.name for power in powers)


def normalized_name(name: str) -> str:
    """Return what must be unique in a company: the name without outer blanks and case (PRJ-1)."""
    return name.strip().casefold()
