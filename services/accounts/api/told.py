"""What accounts tells other rooms of companies and people, read once into values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class NamedCompany:
    """A company by id and name."""

    id: str
    name: str

    @classmethod
    def all_of_answer(cls, answer: Mapping[str, Any]) -> list[Self]:
        """Return the companies of a `FoundCompanies`."""
        return [cls(str(company["id"]), str(company["name"])) for company in answer["companies"]]

    def ref(self) -> dict[str, str]:
        """Return id and name, as answers carry them."""
        return {"id": self.id, "name": self.name}


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Names by id; unknown ids are left out."""

    users: Mapping[str, str]
    companies: Mapping[str, str]

    @classmethod
    def of_answer(cls, answer: Mapping[str, Any]) -> Self:
        """Return what a `Names` tells."""
        return cls(dict(answer["users"]), dict(answer["companies"]))
