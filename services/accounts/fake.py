"""Accounts in memory, for the tests of other rooms; `tests/test_contract.py` holds it true to the service."""

from typing import Any

from services.accounts.domain import normalized_email
from services.chassis.context import Call


class FakeAccounts:
    """Implements `AccountsClient`: `add_company` and `add_user` fill it."""

    def __init__(self) -> None:
        """Start without people and companies."""
        self.companies: dict[str, str] = {}
        self.users: dict[str, str] = {}
        self.memberships: dict[str, list[str]] = {}

    def add_company(self, company_id: str, name: str) -> None:
        """Make a company."""
        self.companies[company_id] = name

    def add_user(self, user_id: str, email: str, name: str, *company_ids: str) -> None:
        """Make a user in companies that are there."""
        self.users[user_id] = name
        self.memberships[normalized_email(email)] = list(company_ids)

    def find_companies_by_email(self, call: Call, *, email: str) -> dict[str, Any]:
        """Return the companies of the user with this address."""
        found = self.memberships.get(normalized_email(email), [])
        return {"companies": [{"id": company_id, "name": self.companies[company_id]} for company_id in found]}

    def get_names(self, call: Call, *, user_ids: list[str], company_ids: list[str]) -> dict[str, Any]:
        """Return names by id; unknown ids are left out."""
        return {
            "users": {key: self.users[key] for key in user_ids if key in self.users},
            "companies": {key: self.companies[key] for key in company_ids if key in self.companies},
        }
