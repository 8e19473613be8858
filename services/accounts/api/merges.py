"""The import of another company as the rooms see it (ACC-6): the event to apply, its acknowledgement, the rehearsal.

accounts absorbs the other company in one write and tells it by `company_merged`; every room that stores rows of
companies applies it, answers `company_merge_applied`, and uses old ids for what they stand for today from then on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from services.chassis.context import Call
from services.chassis.errors import forbidden, unauthenticated

COMPANY_MERGED: Final = "company_merged"
COMPANY_MERGE_APPLIED: Final = "company_merge_applied"
DEVICE_NOTICE: Final = "device_notice"
"""History passes on what a company may want a mail about (DEV-15)."""
MERGING_ROOMS: Final = ("projects", "devices", "licensing", "history")
"""The rooms that have to apply a merge before its job is done."""

SCOPE_REHEARSAL: Final = "rehearsal"
"""The only scope of the token with which the gateway asks the rooms what an import would move; nobody else gets one."""


@dataclass(frozen=True, slots=True)
class CompanyMerge:
    """One company that absorbed another.

    Args:
        merge_id: of the import, the same in all its events.
        company_id: the company that absorbed.
        gone_id: the company that is gone.
        gone_ids: that company and all that it had absorbed before.
        gone_name: its name at that time, for renaming what has equal names.
    """

    merge_id: str
    company_id: str
    gone_id: str
    gone_ids: tuple[str, ...]
    gone_name: str

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self | None:
        """Read the data of `company_merged`; None for the copy that tells it to the company that is gone."""
        if data.get("copy"):
            return None
        return cls(
            str(data["merge_id"]),
            str(data["company_id"]),
            str(data["gone_id"]),
            tuple(str(one) for one in data["gone_ids"]),
            str(data["gone_name"]),
        )

    def data(self, *, copy: bool = False) -> dict[str, Any]:
        """Return the data of `company_merged`."""
        return {
            "merge_id": self.merge_id,
            "company_id": self.company_id,
            "gone_id": self.gone_id,
            "gone_ids": list(self.gone_ids),
            "gone_name": self.gone_name,
            "copy": copy,
        }

    def applied(self, room: str, counts: Mapping[str, int]) -> dict[str, Any]:
        """Return the data of `company_merge_applied`.

        Args:
            room: which room applied it.
            counts: what it moved, by kind.
        """
        return {"merge_id": self.merge_id, "room": room, "counts": dict(counts)}


@dataclass(frozen=True, slots=True)
class MergeRehearsal:
    """Two companies whose merge is rehearsed, as accounts signed it after it had checked both logins."""

    company_ids: tuple[str, ...]
    gone_ids: tuple[str, ...]
    gone_name: str

    @classmethod
    def of(cls, call: Call) -> Self:
        """Return the rehearsal that a call's token is for.

        Raises: accounts.login_needed, accounts.scope_needed.
        """
        if not call.claims:
            raise unauthenticated("accounts.login_needed", "This request needs a login: send an access token.")
        absorbing = call.claims.get("absorbing")
        if not absorbing or SCOPE_REHEARSAL not in (call.claims.get("scopes") or ()):
            raise forbidden(
                "accounts.scope_needed",
                f"The token lacks the scope {SCOPE_REHEARSAL}: use one that has it.",
                scope=SCOPE_REHEARSAL,
            )
        return cls(
            tuple(str(one) for one in call.claims["companies"]),
            tuple(str(one) for one in absorbing["companies"]),
            str(absorbing["name"]),
        )
