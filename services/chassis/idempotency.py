"""Claims of command ids: a write runs once, and its repetition gets the first answer (rules R3, L5; the IETF draft)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from services.chassis.context import Call
from services.chassis.errors import ServiceError, conflict, invalid
from services.chassis.keystore import KeyStore
from services.chassis.tables import idempotency


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no blanks, the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


@dataclass(frozen=True, slots=True)
class Claim:
    """One command id in its scope, with the fingerprint of the request it stands for."""

    scope: str
    key: str
    fingerprint: str
    keystore: KeyStore | None

    @classmethod
    def of(
        cls, call: Call, name: str, request: Mapping[str, Any], *, scope: str | None, keystore: KeyStore | None
    ) -> Claim:
        """Make the claim of a call; the scope is the company, else the person, else `public`."""
        chosen = scope or call.claims.get("company") or call.claims.get("sub") or "public"
        digest = hashlib.sha256(f"{name}\n{canonical(request)}".encode(errors="surrogatepass")).hexdigest()
        return cls(str(chosen), call.command_id, digest, keystore)

    def take(self, connection: Connection, now: datetime) -> bool:
        """Insert the claim; waits up to the lock timeout for a first one that still runs.

        Raises:
            idempotency.in_progress: the first one has not ended in time.
        """
        make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        statement = make(idempotency).values(
            scope=self.scope, key=self.key, fingerprint=self.fingerprint, created_at=now
        )
        try:
            return connection.execute(statement.on_conflict_do_nothing()).rowcount == 1
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) == "55P03":
                raise conflict(
                    "idempotency.in_progress",
                    "The first request with this Idempotency-Key still runs; ask again in a moment.",
                    retry_after=1,
                ) from error
            raise

    def stored(self, connection: Connection) -> dict[str, Any] | ServiceError | None:
        """Return what the first request got.

        Raises:
            idempotency.key_reused: the first request was another one.
        """
        row = connection.execute(
            sa.select(idempotency.c.fingerprint, idempotency.c.answer, idempotency.c.refusal).where(
                idempotency.c.scope == self.scope, idempotency.c.key == self.key
            )
        ).one()
        if row.fingerprint != self.fingerprint:
            raise invalid(
                "idempotency.key_reused",
                "This Idempotency-Key was used for another request; use a new key for a new request.",
            )
        if row.refusal is not None:
            return ServiceError(*json.loads(row.refusal))
        content = bytes(row.answer)
        if self.keystore is not None:
            content = self.keystore.unseal(content, self._context())
        answer: dict[str, Any] | None = json.loads(content)
        return answer

    def store_answer(self, connection: Connection, answer: dict[str, Any] | None) -> None:
        """Keep the answer for repetitions, sealed when it holds a secret."""
        # In the order it was made in, so that the repetition gets the same bytes.
        content = json.dumps(answer, separators=(",", ":"), ensure_ascii=False, default=str).encode()
        if self.keystore is not None:
            content = self.keystore.seal(content, self._context())
        self._update(connection, answer=content)

    def store_refusal(self, connection: Connection, refusal: ServiceError) -> None:
        """Keep a refusal for repetitions."""
        self._update(connection, refusal=json.dumps(refusal.args))

    def _update(self, connection: Connection, **values: Any) -> None:
        connection.execute(
            sa.update(idempotency).where(idempotency.c.scope == self.scope, idempotency.c.key == self.key).values(**values)
        )

    def _context(self) -> str:
        return f"idempotency:{self.scope}:{self.key}"
