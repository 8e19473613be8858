"""Names for answers and events, and the errors that quote the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.chassis.errors import ServiceError, conflict, invalid
from services.licensing.domain.amounts import Amount
from services.licensing.domain.catalogue import Catalogue, LicenseType
from services.licensing.domain.rules import RuleViolationError, check_consistency


def named(catalogue: Catalogue, licenses: Iterable[tuple[str, int]]) -> list[Amount]:
    """Return licenses as answers carry them: id, trade name, quantity."""
    return [{"license_type": t, "name": name_of(catalogue, t), "quantity": n} for t, n in licenses]


def name_of(catalogue: Catalogue, license_type: str) -> str:
    """Return the trade name of a license type, its id if it is gone from the catalogue."""
    entry = catalogue.license_types.get(license_type)
    return license_type if entry is None else entry.name


def merged_lines(catalogue: Catalogue, lines: Iterable[Mapping[str, Any]]) -> dict[LicenseType, int]:
    """Return the license types of a request with their quantities, repeated ones added up.

    Raises: licensing.license_type_unknown.
    """
    licenses: dict[LicenseType, int] = {}
    for place, line in enumerate(lines):
        license_type = catalogue.license_types.get(line["license_type"])
        if license_type is None:
            raise unknown_type(line["license_type"], f"/licenses/{place}/license_type")
        licenses[license_type] = licenses.get(license_type, 0) + line["quantity"]
    return licenses


def unknown_type(license_type: str, pointer: str) -> ServiceError:
    """Make the error for a license type that the catalogue does not have."""
    detail = f"The catalogue has no license type {license_type!r}; list the license types."
    return invalid(
        "licensing.license_type_unknown",
        detail,
        errors=[{"pointer": pointer, "code": "licensing.license_type_unknown", "detail": detail}],
    )


def refuse_not_offered(catalogue: Catalogue, licenses: Iterable[LicenseType]) -> None:
    """Refuse license types of a version that is switched off (LIC-1).

    Raises: licensing.version_not_offered.
    """
    for license_type in licenses:
        if not catalogue.is_offered(license_type):
            raise conflict(
                "licensing.version_not_offered",
                f"{license_type.name} is of version {license_type.version}, which is not offered at present: "
                f"choose one of {', '.join(str(version) for version in sorted(catalogue.offered))}.",
                license_type=license_type.id,
                offered=sorted(catalogue.offered),
            )


def refuse_inconsistent(catalogue: Catalogue, installed: Mapping[str, int]) -> None:
    """Refuse licenses that no longer go together, as after a base license alone was taken back (LIC-2, LIC-13).

    Raises: licensing.rule_violated.
    """
    try:
        check_consistency({catalogue.license_types[license_type]: n for license_type, n in installed.items()})
    except RuleViolationError as violation:
        raise rule_violated(violation) from None


def rule_violated(violation: RuleViolationError) -> ServiceError:
    """Make the error for licenses that do not go together, with the rule, the numbers and what would be allowed."""
    return conflict(
        "licensing.rule_violated",
        violation.text,
        rule=violation.rule,
        license_type=violation.license_type,
        allowed=violation.allowed,
        **violation.numbers,
    )
