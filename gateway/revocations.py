"""What the gateway knows about tokens that must not be believed any more, or no longer word for word (rule S5).

Events of accounts arrive within a second; a gateway that starts asks for the ends of the last 16 minutes, and takes no
older token word for word. Still older ones have expired by themselves. Times are unix seconds by accounts' database.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Final

from services.chassis.data.outbox import Event

KEEP_SECONDS: Final = 16 * 60.0
# A token and a lock made by overlapping transactions may have times in either order; inside this accounts is asked.
SKEW_SECONDS: Final = 5.0
# Fields of `company_user_changed` and `user_changed` that an access token carries.
_CARRIED: Final = frozenset({"role", "rights", "account_rights", "staff", "locked", "language"})


class Verdict(Enum):
    """What a verified token is worth now."""

    GOOD = "good"
    STALE = "stale"
    DEAD = "dead"


class Revocations:
    """Remembers ends and changes of sessions, memberships, users and companies."""

    def __init__(self) -> None:
        self._sessions: dict[str, float] = {}
        self._ended: dict[tuple[str, str | None], float] = {}
        self._changed: dict[str, float] = {}
        self._merged: dict[str | None, float] = {}
        self._started_at = 0.0
        self._pruned_at = time.time()

    def load(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Take over the answer of `accounts.list_revocations`; changes of before now are not in it and not known."""
        self._started_at = time.time()
        self.learn(items)

    def learn(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Take over ends from an answer of `accounts.list_revocations`, ahead of their events."""
        for item in items:
            at = datetime.fromisoformat(str(item["at"])).timestamp()
            name = str(item["id"])
            if item["kind"] == "session":
                self._later(self._sessions, name, at)
            elif item["kind"] == "company":
                self._later(self._merged, name, at)
            else:
                company = item.get("company_id") if item["kind"] == "membership" else None
                self._later(self._ended, (name, company), at)

    def note(self, event: Event) -> None:
        """Learn from one event of accounts; types that say nothing about tokens are ignored."""
        at = event.time.timestamp()
        data = event.data
        user = str(data.get("user_id") or event.subject)
        match event.type:
            case "session_revoked":
                self._later(self._sessions, str(data.get("session_id")), at)
            case "api_token_revoked" | "service_token_revoked":
                self._later(self._sessions, str(data.get("token_id")), at)
            case "password_changed" | "otp_enabled" | "otp_disabled":
                # Sessions end by events of their own; a remembered login of the device door must be tried again.
                self._later(self._changed, user, at)
            case "user_locked" | "user_erased":
                self._later(self._ended, (user, None), at)
            case "company_user_removed":
                self._later(self._ended, (user, event.companyid), at)
            case "company_merged" if event.companyid is not None:
                # The importing company must be in new tokens with what it imported; the other one ends: accounts knows.
                self._later(self._merged, event.companyid, at)
            case "company_changed" if "otp_demanded" in (data.get("what") or ()):
                # Remembered API tokens and device logins must be tried again; accounts lets running sessions go on.
                self._later(self._merged, event.companyid, at)
            case "company_user_changed" | "user_changed":
                what = set(data.get("what") or _CARRIED)
                if event.type == "company_user_changed" and "locked" in what and data.get("locked"):
                    self._later(self._ended, (user, event.companyid), at)
                elif what & _CARRIED:
                    self._later(self._changed, user, at)
        self._prune()

    def judge(self, claims: Mapping[str, Any], as_of: float | None = None) -> tuple[Verdict, float]:
        """Return what a token is worth, and the time of the event that decides.

        Args:
            claims: verified claims.
            as_of: time up to which events are known to be in the claims; the token's own time when absent.
        """
        if claims["sid"] in self._sessions:
            return Verdict.DEAD, self._sessions[claims["sid"]]
        issued = float(claims["iat"]) if as_of is None else as_of
        newest = self._started_at if as_of is None else 0.0
        for key in ((claims["sub"], None), (claims["sub"], claims.get("company"))):
            at = self._ended.get(key, 0.0)
            # A token from about the time of the lock may be one of after the unlock: accounts knows.
            if as_of is None and issued + SKEW_SECONDS < at:
                return Verdict.DEAD, at
            newest = max(newest, at)
        newest = max(newest, self._changed.get(claims["sub"], 0.0), self._merged.get(claims.get("company"), 0.0))
        return (Verdict.STALE if newest + SKEW_SECONDS >= issued else Verdict.GOOD), newest

    @staticmethod
    def _later(table: dict[Any, float], key: Any, at: float) -> None:
        table[key] = max(at, table.get(key, 0.0))

    def _prune(self) -> None:
        now = time.time()
        if now - self._pruned_at < 60:
            return
        self._pruned_at = now
        oldest = now - KEEP_SECONDS
        self._sessions = {key: at for key, at in self._sessions.items() if at >= oldest}
        self._ended = {pair: at for pair, at in self._ended.items() if at >= oldest}
        self._changed = {key: at for key, at in self._changed.items() if at >= oldest}
        self._merged = {key: at for key, at in self._merged.items() if at >= oldest}
