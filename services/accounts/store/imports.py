"""SQL for imports of other companies: what is there to move, the switch, and how far the rooms are (ACC-6)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from services.accounts.api import CompanyMerge
from services.accounts.models import (
    ApiToken,
    Company,
    CompanyImport,
    CompanyImportRoom,
    ImportProof,
    Invitation,
    Membership,
    Session,
    User,
)
from services.chassis.data.db import Unit, insert_or_ignore
from services.chassis.data.rows import columns_of
from services.chassis.ids import new_id


@dataclass(frozen=True, slots=True)
class StoredImport:
    """A company that absorbed another; `moved` is what accounts itself moved, by kind."""

    id: str
    company_id: str
    gone_id: str
    gone_ids: list[str]
    gone_name: str
    moved: dict[str, int]
    started_by: str
    started_at: datetime
    told_at: datetime
    finished_at: datetime | None

    @property
    def merge(self) -> CompanyMerge:
        """What the rooms are told of it."""
        return CompanyMerge(self.id, self.company_id, self.gone_id, tuple(self.gone_ids), self.gone_name)


@dataclass(frozen=True, slots=True)
class MovingUser:
    """A user of a company that is absorbed; `is_member`: the other company has them already."""

    user_id: str
    role: str
    locked: bool
    email: str
    language: str
    is_member: bool


_imports = CompanyImport.__table__
_users = User.__table__
_COLUMNS = columns_of(StoredImport, _imports)


def members(connection: Connection, company_id: str, into_id: str) -> list[MovingUser]:
    """Return the users of a company, each with whether the other company has them too.

    Staff of the vendor who were put into it once are left out: they belong to no customer's company.
    """
    other = sa.exists().where(Membership.user_id == User.id, Membership.company_id == into_id)
    own = {"email": _users.c.email, "language": _users.c.language, "is_member": other.correlate(User)}
    statement = (
        sa.select(*columns_of(MovingUser, Membership.__table__, **own))
        .join(User, User.id == Membership.user_id)
        .where(Membership.company_id == company_id, User.staff.is_(False))
        .order_by(Membership.user_id)
    )
    return [MovingUser(*row) for row in connection.execute(statement)]


def hold_users(unit: Unit, company_id: str) -> None:
    """Hold all users of a company, so that nobody logs in to it or changes their login until the transaction ends."""
    of_company = sa.select(Membership.user_id).where(Membership.company_id == company_id)
    unit.execute(sa.select(User.id).where(User.id.in_(of_company)).order_by(User.id).with_for_update()).all()


def count_open(connection: Connection, company_id: str) -> tuple[int, int]:
    """Return how many invitations and living API tokens a company has."""
    invitations = sa.select(sa.func.count()).where(Invitation.company_id == company_id)
    tokens = sa.select(sa.func.count()).where(ApiToken.company_id == company_id, ApiToken.revoked_at.is_(None))
    return int(connection.execute(invitations).scalar_one()), int(connection.execute(tokens).scalar_one())


def absorb(unit: Unit, gone_ids: Sequence[str], into_id: str) -> None:
    """Let a company, and all that it had absorbed, be part of another one (the alias stays for ever)."""
    unit.execute(sa.update(Company).where(Company.id.in_(gone_ids)).values(absorbed_into=into_id))


def move_members(unit: Unit, moving: Sequence[MovingUser], gone_id: str, into_id: str) -> None:
    """Take users from a company that is gone into another one as members; who is there already keeps role and lock."""
    unit.execute(sa.delete(Membership).where(Membership.company_id == gone_id))
    rows = [
        {
            "id": new_id(),
            "company_id": into_id,
            "user_id": member.user_id,
            "role": "member",
            "locked": member.locked,
            "created_at": unit.now,
        }
        for member in moving
        if not member.is_member
    ]
    if rows:
        unit.execute(sa.insert(Membership), rows)
    unit.execute(sa.update(User).where(User.last_company_id == gone_id).values(last_company_id=into_id))


def move_invitations(unit: Unit, gone_id: str, into_id: str) -> None:
    """Take open invitations along, except of those who are invited to the other company or belong to it already."""
    invited = sa.select(Invitation.email_normalized).where(Invitation.company_id == into_id)
    belonging = (
        sa.select(User.email_normalized)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.company_id == into_id)
    )
    needless = sa.or_(Invitation.email_normalized.in_(invited), Invitation.email_normalized.in_(belonging))
    unit.execute(sa.delete(Invitation).where(Invitation.company_id == gone_id, needless))
    unit.execute(
        sa.delete(Invitation).where(Invitation.company_id == into_id, Invitation.email_normalized.in_(belonging))
    )
    unit.execute(sa.update(Invitation).where(Invitation.company_id == gone_id).values(company_id=into_id))


def move_logins(unit: Unit, gone_id: str, into_id: str) -> None:
    """End the sessions in a company that is gone; API tokens, which sit in devices and scripts, go on in the other."""
    unit.execute(
        sa.update(Session)
        .where(Session.company_id == gone_id, Session.ended_at.is_(None))
        .values(ended_at=unit.now, end_reason="company_absorbed")
    )
    unit.execute(sa.update(ApiToken).where(ApiToken.company_id == gone_id).values(company_id=into_id))


def add(unit: Unit, merge: CompanyMerge, moved: dict[str, int], started_by: str) -> StoredImport:
    """Insert an import and return it.

    Args:
        unit: the running transaction.
        merge: what is told of it.
        moved: what accounts moved, by kind.
        started_by: id of the user.
    """
    row = StoredImport(
        merge.merge_id, merge.company_id, merge.gone_id, list(merge.gone_ids), merge.gone_name, moved,
        started_by, started_at=unit.now, told_at=unit.now, finished_at=None,
    )  # fmt: skip
    unit.execute(sa.insert(CompanyImport).values(**asdict(row)))
    return row


def by_id(connection: Connection, import_id: str) -> StoredImport | None:
    """Return an import."""
    row = connection.execute(sa.select(*_COLUMNS).where(_imports.c.id == import_id)).first()
    return None if row is None else StoredImport(*row)


def hold(unit: Unit, import_id: str) -> StoredImport | None:
    """Return an import and hold its row until the transaction ends."""
    statement = sa.select(*_COLUMNS).where(_imports.c.id == import_id).with_for_update()
    row = unit.connection.execute(statement).first()
    return None if row is None else StoredImport(*row)


def rooms(connection: Connection, import_id: str) -> dict[str, dict[str, int]]:
    """Return what each room moved that has applied an import."""
    rows = connection.execute(
        sa.select(CompanyImportRoom.room, CompanyImportRoom.counts).where(CompanyImportRoom.import_id == import_id)
    )
    return {row.room: dict(row.counts) for row in rows}


def note_room(unit: Unit, import_id: str, room: str, counts: Mapping[str, int]) -> bool:
    """Note that a room has applied an import; returns False when that was known."""
    values = {"import_id": import_id, "room": room, "counts": dict(counts), "applied_at": unit.now}
    return insert_or_ignore(unit.connection, CompanyImportRoom, values)


def finish(unit: Unit, import_id: str) -> bool:
    """Note that an import is done; returns False when it was."""
    result = unit.execute(
        sa.update(CompanyImport)
        .where(CompanyImport.id == import_id, CompanyImport.finished_at.is_(None))
        .values(finished_at=unit.now)
    )
    return result.rowcount == 1


def open_ones(connection: Connection) -> list[StoredImport]:
    """Return the imports that a room has not applied yet, oldest first."""
    statement = sa.select(*_COLUMNS).where(_imports.c.finished_at.is_(None)).order_by(_imports.c.started_at)
    return [StoredImport(*row) for row in connection.execute(statement)]


def since(connection: Connection, moment: datetime) -> list[StoredImport]:
    """Return the imports since a time."""
    statement = sa.select(*_COLUMNS).where(_imports.c.started_at >= moment)
    return [StoredImport(*row) for row in connection.execute(statement)]


def tell_again(unit: Unit, import_id: str, told_before: datetime) -> bool:
    """Note that the rooms are told once more; returns False when somebody did so since, or it is done."""
    result = unit.execute(
        sa.update(CompanyImport)
        .where(
            CompanyImport.id == import_id,
            CompanyImport.finished_at.is_(None),
            CompanyImport.told_at <= told_before,
        )
        .values(told_at=unit.now)
    )
    return result.rowcount == 1


def prove(unit: Unit, digest: str, life: timedelta) -> None:
    """Remember a proven second factor for a while."""
    unit.execute(sa.delete(ImportProof).where(ImportProof.digest == digest))
    unit.execute(sa.insert(ImportProof).values(digest=digest, expires_at=unit.now + life))


def is_proven(unit: Unit, digest: str) -> bool:
    """Return whether a second factor was proven not long ago."""
    statement = sa.select(sa.func.count()).where(ImportProof.digest == digest, ImportProof.expires_at > unit.now)
    return bool(unit.execute(statement).scalar_one())
