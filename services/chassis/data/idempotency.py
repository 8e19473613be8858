"""Claims of command ids: a write runs once, and its repetition gets the first answer (rules R3, L5; the IETF draft)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from services.chassis.context import Call
from services.chassis.data.tables import idempotency
from services.chassis.errors import ServiceError, conflict, invalid
from services.chassis.fields import Loaded
from services.chassis.keys.keystore import KeyStore

KEPT: Final = timedelta(days=30)
"""How long a repetition gets the first answer; part of the published contract."""
SWEPT: Final = 1000
LOOKED_AT: Final = 1000
"""So many stored answers are looked at in one transaction."""
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
Read = Callable[[Callable[[Connection], Any]], Any]

_TAKE_POSTGRESQL = (
    postgresql.insert(idempotency)
    .values(
        scope=bindparam("scope"),
        key=bindparam("key"),
        fingerprint=bindparam("fingerprint"),
        created_at=sa.func.now(),
    )
    .on_conflict_do_nothing()
    .returning(idempotency.c.created_at)
)
_TAKE_SQLITE = sqlite.insert(idempotency).on_conflict_do_nothing()
_ITS_ROW = (idempotency.c.scope == bindparam("its_scope"), idempotency.c.key == bindparam("its_key"))
_STORED = sa.select(idempotency.c.scope, idempotency.c.fingerprint, idempotency.c.answer, idempotency.c.refusal).where(
    idempotency.c.scope.in_(bindparam("its_scopes", expanding=True)), idempotency.c.key == bindparam("its_key")
)
_STORE = (
    sa.update(idempotency).where(*_ITS_ROW).values(answer=bindparam("its_answer"), refusal=bindparam("its_refusal"))
)


def database_time(connection: Connection) -> datetime:
    """Return the time at which the running transaction began; order never follows from it (rule L16)."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = connection.exec_driver_sql("SELECT now()").scalar_one()
    return now


def find_holding(read: Read, *, scope: str, holding: Collection[str]) -> list[tuple[str, str]]:
    """Return the scopes and keys of stored answers that must be forgotten, so that `scrub` need not look for them.

    Args:
        read: runs reading work in a short transaction of its own; all that is stored is gone through, a piece in each.
        scope: all answers of this scope,
        holding: and those of any scope that hold one of these texts.
    """
    found, last = [], ("", "")
    while True:
        rows = read(partial(_look_at_some, last=last, scope=scope, holding=holding))
        found += [(row.scope, row.key) for row in rows if row.held]
        if len(rows) < LOOKED_AT:
            return found
        last = (rows[-1].scope, rows[-1].key)


def scrub(
    connection: Connection,
    *,
    scope: str,
    holding: Collection[str],
    but: str,
    found: Collection[tuple[str, str]],
    since: datetime,
) -> None:
    """Empty stored answers that hold what must be forgotten; a repetition is still known and has no effect.

    Args:
        connection: of the running transaction.
        scope: as for `find_holding`.
        holding: as for `find_holding`.
        but: the command id of the running command in that scope.
        found: what `find_holding` found.
        since: what was stored from then on is looked through here.
    """
    table = idempotency
    emptied = sa.update(table).where(sa.or_(table.c.scope != scope, table.c.key != but))
    emptied = emptied.values(answer=b"{}", refusal=None)
    known = sorted(found)
    for place in range(0, len(known), LOOKED_AT):
        its_rows = sa.tuple_(table.c.scope, table.c.key).in_(known[place : place + LOOKED_AT])
        connection.execute(emptied.where(its_rows))
    held = _held(connection, scope, holding)
    connection.execute(emptied.where(table.c.created_at >= since, held))


def _look_at_some(connection: Connection, last: tuple[str, str], scope: str, holding: Collection[str]) -> Any:
    table = idempotency
    key = (table.c.scope, table.c.key)
    behind = sa.tuple_(*key) > sa.tuple_(*(sa.literal(part) for part in last))
    columns = (*key, _held(connection, scope, holding).label("held"))
    return connection.execute(sa.select(*columns).where(behind).order_by(*key).limit(LOOKED_AT)).all()


def _held(connection: Connection, scope: str, holding: Collection[str]) -> sa.ColumnElement[bool]:
    is_postgresql = connection.dialect.name == "postgresql"
    place = sa.func.pg_catalog.position if is_postgresql else sa.func.instr
    answer = sa.func.coalesce(idempotency.c.answer, sa.literal(b"", sa.LargeBinary))
    holds = [place(answer, sa.literal(text.encode(), sa.LargeBinary)) > 0 for text in sorted(holding)]
    return sa.or_(idempotency.c.scope == scope, *holds)


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no blanks, the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def told(value: Any) -> Any:
    """Return a request without the fields that have their default, in whatever depth."""
    if isinstance(value, Mapping):
        given = value.told() if isinstance(value, Loaded) else value
        return {name: inner if type(inner) in _PLAIN else told(inner) for name, inner in given.items()}
    return [told(inner) for inner in value] if isinstance(value, list | tuple) else value


def sweep(connection: Connection, now: datetime) -> int:
    """Delete claims that were kept long enough, at most a thousand at a time; returns how many (rule L5).

    What must never happen twice does not hang on them: transfers have ids of their own for ever.
    """
    old = sa.select(idempotency.c.scope, idempotency.c.key).where(idempotency.c.created_at < now - KEPT)
    return connection.execute(
        sa.delete(idempotency).where(
            sa.tuple_(idempotency.c.scope, idempotency.c.key).in_(old.order_by(idempotency.c.created_at).limit(SWEPT))
        )
    ).rowcount


@dataclass(frozen=True, slots=True)
class Claim:
    """One command id in its scope, with the fingerprint of the request it stands for.

    A company that absorbed others answers for what was begun in them too: the claim is taken in all their scopes, or a
    request whose answer was lost would run once more after the import.
    """

    scope: str
    absorbed: tuple[str, ...]
    key: str
    fingerprint: str
    # As versions before defaults were left out made it; what they stored is kept for 30 days.
    full_fingerprint: str
    keystore: KeyStore | None

    @classmethod
    def of(
        cls, call: Call, name: str, request: Mapping[str, Any], *, scope: str | None, keystore: KeyStore | None
    ) -> Claim:
        """Make the claim of a call; the scope is the company, else the person, else `public`.

        A token that is bound to a project repeats only what was done under the same bond: what is allowed is checked
        in the command, and a stored answer is given without running it.
        """
        company = call.claims.get("company")
        chosen = str(scope or company or call.claims.get("sub") or "public")
        group = call.claims.get("companies") or () if chosen == company else ()
        bond = call.claims.get("project")
        absorbed = tuple(sorted({*group} - {chosen}))
        digest, full = _digest(name, told(request), bond), _digest(name, request, bond)
        return cls(chosen, absorbed, call.command_id, digest, full, keystore)

    def take(self, connection: Connection) -> datetime | None:
        """Insert the claim; waits up to the lock timeout for a first one that still runs.

        Returns:
            The database's time when the claim was free, else None.

        Raises:
            idempotency.in_progress: the first one has not ended in time.
        """
        taken_at = None
        try:
            for scope in self._scopes:
                taken_at = self._take(connection, scope)
                if taken_at is None:
                    break
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) == "55P03":
                raise conflict(
                    "idempotency.in_progress",
                    "The first request with this Idempotency-Key is still running; ask again in a moment.",
                    retry_after=1,
                ) from error
            raise
        return taken_at

    def stored(self, connection: Connection) -> dict[str, Any] | ServiceError | None:
        """Return what the first request got.

        Raises:
            idempotency.key_reused: the first request was another one.
        """
        row = self._row(connection)
        if row is None:
            raise invalid(
                "idempotency.key_reused",
                "This Idempotency-Key was used for another request; use a new key for a new request.",
            )
        if row.refusal is not None:
            return ServiceError(*json.loads(row.refusal))
        return self._opened(row)

    def answered(self, connection: Connection) -> dict[str, Any] | ServiceError | None:
        """Return the answer or refusal that is stored for this very request, None where there is none."""
        row = self._row(connection)
        if row is not None and row.refusal is not None:
            return ServiceError(*json.loads(row.refusal))
        if row is None or row.answer is None:
            return None
        return self._opened(row)

    def _opened(self, row: Any) -> dict[str, Any] | None:
        content = bytes(row.answer)
        if self.keystore is not None:
            content = self.keystore.unseal(content, self._context(row.scope))
        answer: dict[str, Any] | None = json.loads(content)
        return answer

    def store_answer(self, connection: Connection, answer: dict[str, Any] | None) -> None:
        """Keep the answer for repetitions, sealed when it holds a secret."""
        # In the order it was made in, so that the repetition gets the same bytes.
        content = json.dumps(answer, separators=(",", ":"), ensure_ascii=False, default=str).encode()
        for scope in self._scopes:
            sealed = content if self.keystore is None else self.keystore.seal(content, self._context(scope))
            self._update(connection, scope, answer=sealed)

    def store_refusal(self, connection: Connection, refusal: ServiceError) -> None:
        """Keep a refusal for repetitions."""
        for scope in self._scopes:
            self._update(connection, scope, refusal=json.dumps(refusal.args))

    @property
    def _scopes(self) -> tuple[str, ...]:
        return (*self.absorbed, self.scope)

    def _take(self, connection: Connection, scope: str) -> datetime | None:
        parameters: dict[str, Any] = {"scope": scope, "key": self.key, "fingerprint": self.fingerprint}
        if connection.dialect.name == "postgresql":
            taken_at: datetime | None = connection.execute(_TAKE_POSTGRESQL, parameters).scalar()
            return taken_at
        now = database_time(connection)
        return now if connection.execute(_TAKE_SQLITE, {**parameters, "created_at": now}).rowcount == 1 else None

    def _row(self, connection: Connection) -> Any:
        """Return the row that holds what this very request got, whichever scope it ran in."""
        rows = connection.execute(_STORED, {"its_scopes": list(self._scopes), "its_key": self.key})
        mine = (self.fingerprint, self.full_fingerprint)
        # A row without content is of a claim that was only half free.
        found = [row for row in rows if row.fingerprint in mine and (row.answer or row.refusal)]
        return found[0] if found else None

    def _update(
        self, connection: Connection, scope: str, *, answer: bytes | None = None, refusal: str | None = None
    ) -> None:
        values = {"its_scope": scope, "its_key": self.key, "its_answer": answer, "its_refusal": refusal}
        connection.execute(_STORE, values)

    def _context(self, scope: str) -> str:
        return f"idempotency:{scope}:{self.key}"


def _digest(name: str, request: Any, bond: Any) -> str:
    text = f"{name}\n{canonical(request)}" + (f"\n{bond}" if bond else "")
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
