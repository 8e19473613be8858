"""What other rooms may ask accounts; `services.accounts.fake` implements it in memory."""

from typing import Any, Protocol

from services.chassis.context import Call


class AccountsClient(Protocol):
    """The calls that projects, devices, licensing and history make."""

    def find_companies_by_email(self, call: Call, *, email: str) -> dict[str, Any]:
        """Return `{"companies": [{"id", "name"}]}` of the active user with this address; empty when there is none."""
        ...

    def get_names(self, call: Call, *, user_ids: list[str], company_ids: list[str]) -> dict[str, Any]:
        """Return `{"users": {id: "Forename Surname"}, "companies": {id: name}}`; unknown ids are left out.

        Erased persons are called "former user" in the language of the call.
        """
        ...
