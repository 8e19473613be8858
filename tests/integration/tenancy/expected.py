"""What a caller must get for a case: derived from the row's right and scope and from the table of powers alone."""

from __future__ import annotations

from dataclasses import dataclass

from tests.integration.http_client import Answer
from tests.integration.tenancy.callers import Role
from tests.integration.tenancy.cases import Case, Of
from tests.integration.tenancy.declared import OF_POWER, Right, Row


@dataclass(frozen=True, slots=True)
class Expected:
    """A status, and the code of a refusal; a code that begins with a dot is its end, for rooms differ in words."""

    status: int
    code: str | None = None
    success: bool = False

    def fits(self, answer: Answer) -> bool:
        """Tell whether an answer is the expected one."""
        if answer.status != self.status:
            return False
        return self.code is None or code_of(answer).endswith(self.code)


UNKNOWN = Expected(404, "not_found")
"""What a stranger gets; that it is the same as for what does not exist is asked, not only the code."""


def code_of(answer: Answer) -> str:
    """Return the code of a refusal, also at the device door."""
    if answer.is_json and isinstance(answer.body, dict) and "code" in answer.body:
        return str(answer.body["code"])
    return str(answer.headers.get("X-Error-Code", ""))


def expect(case: Case, role: Role) -> Expected:
    """Return what a caller gets for a case."""
    success = Expected(case.status or case.row.status, case.code, success=True)
    refusal = _at_the_gateway(case, role)
    if refusal is not None:
        return refusal
    # How long ago somebody logged in matters at the gateway alone.
    name = {"old login": "own admin", "old staff login": "staff"}.get(role.name, role.name)
    if name in case.instead:
        status, code = case.instead[name]
        return Expected(status, code, success=code is None)
    if case.company_needed and role.company is None:
        return Expected(403, "accounts.company_needed")
    match case.of:
        case Of.PROJECT:
            return _in_project(case, role, success)
        case Of.COMPANY | Of.OWN_COMPANY:
            return _in_company(case, role, success)
        case Of.PERSON:
            return success if role.person == "owner" else UNKNOWN
        case _:
            return success


def _at_the_gateway(case: Case, role: Role) -> Expected | None:
    row = case.row
    if row.right is Right.NONE:
        return None
    if role.refused is not None:
        return Expected(401, role.refused)
    if role.service and row.served in role.scopes:
        return None
    if row.recent and role.login == "none":
        return Expected(403, "accounts.login_needed")
    if role.service or row.needed_scope not in role.scopes:
        return Expected(403, "accounts.scope_needed")
    refusal = _by_right(row, role)
    if refusal is None and row.recent and role.login == "old":
        return Expected(403, "accounts.confirmation_needed")
    return refusal


def _by_right(row: Row, role: Role) -> Expected | None:
    if row.right is Right.STAFF:
        return None if role.staff else Expected(403, "accounts.staff_needed")
    if row.right is Right.ADMIN:
        return _admin(role)
    if row.right in (Right.COMPANY, Right.DEVICE) and role.company is None and not role.staff:
        return Expected(403, "accounts.company_needed")
    return None


def _admin(role: Role) -> Expected | None:
    if role.company is None:
        return Expected(403, "accounts.company_needed")
    if not role.admin:
        return Expected(403, "accounts.admin_needed")
    return Expected(403, "accounts.token_bound") if role.bound else None


def _in_project(case: Case, role: Role, success: Expected) -> Expected:
    relation = role.relation(case.project)
    if relation is None:
        return UNKNOWN
    assert case.power is not None
    power = OF_POWER[case.power]
    if power.holds(relation, role.rights):
        return success
    # A cell that names an account right is refused by that right, a "no" by the power.
    return Expected(403, ".power_needed" if getattr(power, relation) == "no" else "accounts.right_needed")


def _in_company(case: Case, role: Role, success: Expected) -> Expected:
    if case.of is Of.OWN_COMPANY:
        if role.company is None:
            return Expected(403, "accounts.company_needed")
        return Expected(403, ".token_bound") if role.bound else success
    if role.staff:
        relation = "staff"
    elif role.company == "owner":
        relation = "own_admin" if role.admin else "own_member"
    else:
        return UNKNOWN
    if case.power is not None and not OF_POWER[case.power].holds(relation, role.rights):
        return Expected(403, "admin_needed")
    return success
