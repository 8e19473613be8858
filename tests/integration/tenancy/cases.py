"""How each route is tried in the tenant matrix: which thing of the owner it names, and what must be held to do it.

Data alone. Who gets what follows from the route's row, from the table of powers and from a case's `of` and `power`, by
the rules of `expected`. A new route needs a case here; a case may be tried more than once, so what it changes is made
anew (`fresh`) or stays the same.

In `path`, `query`, `body` and `text`, a value `$name` is that thing of the owner's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from tests.integration.tenancy.declared import OF_ROUTE, Row


class Of(Enum):
    """Whose is what a case names."""

    PROJECT = "a thing in one of the owner's projects: the table of powers decides"
    COMPANY = "a thing of the owner's company: its users only"
    OWN_COMPANY = "the caller's own company: nothing of others can be named; a token bound to a project is refused"
    OWN = "what the caller has: nothing of others can be named"
    PERSON = "a thing of the owner's administrator: nobody else's"
    STAFF = "the vendor's"
    EVERYBODY = "open to whoever gets past the row"


@dataclass(frozen=True)
class Case:
    """One way to use a route.

    Args:
        route: method and path of the row.
        of: whose is the thing that is named.
        power: of the table, for things in projects; for things of the company whether administrators alone may.
        thing: what stands for `$thing`; a foreign caller names it and then one like it that does not exist.
        project: the owner's project in which the thing is.
        path: values of path parameters; the first one is the thing where it is not given.
        query, body, text: what is sent; `text` is a body that is no JSON.
        status: of a success, when it is not the row's.
        code: when even the best request is refused, because its success could not be repeated: with this code.
        fresh: name of a maker in `makers`; it replaces things for every caller who will succeed.
        company_needed: whether who has no company is refused, staff too.
        instead: caller -> status and code that differ from the rules, each for a reason that stands beside it.
    """

    route: str
    of: Of
    power: str | None = None
    thing: str | None = None
    project: str = "project"
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    text: str | None = None
    status: int | None = None
    code: str | None = None
    fresh: str | None = None
    company_needed: bool = False
    instead: Mapping[str, tuple[int, str | None]] = field(default_factory=dict)

    @property
    def row(self) -> Row:
        """Return the row of the case."""
        return OF_ROUTE[self.route]

    def __str__(self) -> str:
        """Return the name of the test."""
        named = "&".join(f"{name}={value}" for name, value in self.query.items())
        return f"{self.route}{'?' if named else ''}{named}{f' {self.thing}' if self.thing else ''}".replace("$", "")


def _in_project(route: str, power: str, thing: str, **more: Any) -> Case:
    return Case(route, Of.PROJECT, power, thing, **more)


_NEVER: Final = "0123456789-never-given-out"
# LIC-10: staff certify where a user cannot any more, so the column's "no" does not hold for them.
_STAFF_CERTIFIES: Final = {"staff": (201, None)}

CASES: Final[tuple[Case, ...]] = (
    # --- registrations, sessions, one's own account
    Case(
        "POST /v1/registrations", Of.EVERYBODY, status=422, code="accounts.terms_not_accepted",
        body={
            "email": "new@tenants.example", "password": "correct horse battery staple", "forename": "N", "surname": "N",
            "language": "en", "accept_terms": False,
        },
    ),
    Case(
        "POST /v1/registrations/confirmations", Of.EVERYBODY, body={"token": _NEVER}, status=404,
        code="accounts.link_invalid",
    ),
    Case("POST /v1/registrations/resends", Of.EVERYBODY, body={"email": "$unknown address"}),
    Case("POST /v1/password-resets", Of.EVERYBODY, body={"email": "$unknown address"}),
    Case(
        "POST /v1/password-resets/confirmations", Of.EVERYBODY, status=404, code="accounts.link_invalid",
        body={"token": _NEVER, "password": "correct horse battery staple"},
    ),
    Case(
        "POST /v1/me/email-changes/confirmations", Of.OWN, body={"token": _NEVER}, status=404,
        code="accounts.link_invalid",
    ),
    Case(
        "POST /v1/email-changes/undos", Of.EVERYBODY, body={"token": _NEVER}, status=404, code="accounts.link_invalid"
    ),
    Case(
        "POST /v1/sessions", Of.EVERYBODY, status=401, code="accounts.login_failed",
        body={"email": "$unknown address", "password": "not the password", "company_id": "$company"},
    ),
    Case(
        "POST /v1/sessions/refreshes", Of.EVERYBODY, status=401, code="accounts.refresh_invalid",
        body={"refresh_token": _NEVER, "company_id": "$company"},
    ),
    Case(
        "POST /v1/sessions/current/confirmations", Of.OWN, body={"password": "not the password"}, status=422,
        code="accounts.password_wrong",
        # They have no scope for it; what is no login cannot confirm one.
    ),
    Case("GET /v1/sessions", Of.OWN),
    Case("DELETE /v1/sessions/{session_id}", Of.PERSON, thing="session", fresh="session"),
    Case("GET /v1/me", Of.OWN),
    Case("PATCH /v1/me", Of.OWN, body={"language": "en"}),
    Case(
        "PUT /v1/me/password", Of.OWN, status=422, code="accounts.password_wrong",
        body={"old_password": "not the password", "password": "another horse battery staple"},
    ),
    Case(
        "POST /v1/me/email-changes", Of.OWN, status=422, code="accounts.password_wrong",
        body={"email": "$unknown address", "password": "not the password"},
    ),
    Case(
        "POST /v1/me/erasure", Of.OWN, body={"password": "not the password"}, status=422,
        code="accounts.password_wrong",
    ),
    Case("GET /v1/me/export", Of.OWN),
    Case("GET /v1/me/tokens", Of.OWN),
    Case("POST /v1/me/tokens", Of.OWN, body={"name": "t", "scopes": ["read"]}),
    _in_project(
        "POST /v1/me/tokens", "see", "project", body={"name": "t", "scopes": ["read"], "project_id": "$project"},
    ),
    Case("DELETE /v1/me/tokens/{token_id}", Of.PERSON, thing="token", fresh="token"),
    Case("POST /v1/me/otp", Of.OWN),
    Case("POST /v1/me/otp/confirmations", Of.OWN, body={"otp": "000000"}, status=422, code="accounts.otp_wrong"),
    Case("DELETE /v1/me/otp", Of.OWN, status=409, code="accounts.otp_not_enabled"),
    # --- companies
    Case("POST /v1/companies", Of.OWN, body={}, status=422, code="request.invalid"),
    Case("GET /v1/company", Of.OWN, company_needed=True),
    Case("PATCH /v1/company", Of.OWN_COMPANY, body={"vendor_customer_number": "4711"}),
    Case("GET /v1/company/users", Of.OWN_COMPANY),
    Case("POST /v1/company/users", Of.OWN_COMPANY, body={"email": "$unknown address"}),
    Case("PATCH /v1/company/users/{user_id}", Of.COMPANY, "manage_company", "user", body={"role": "member"}),
    Case("DELETE /v1/company/users/{user_id}", Of.COMPANY, "manage_company", "user", fresh="invitation"),
    Case("GET /v1/company/users/{user_id}/sessions", Of.COMPANY, "manage_company", "user"),
    Case(
        "DELETE /v1/company/users/{user_id}/sessions/{session_id}", Of.COMPANY, "manage_company", "session",
        path={"user_id": "$admin", "session_id": "$session"}, fresh="session",
    ),
    Case("GET /v1/company/users/{user_id}/tokens", Of.COMPANY, "manage_company", "user"),
    Case(
        "DELETE /v1/company/users/{user_id}/tokens/{token_id}", Of.COMPANY, "manage_company", "token",
        path={"user_id": "$admin", "token_id": "$token"}, fresh="token",
    ),
    # A good login would import the company, once: what is tried ends at the login, wherever it comes from.
    Case(
        "POST /v1/company/imports", Of.OWN_COMPANY, status=422, code="accounts.import_login_failed",
        body={"email": "$unknown address", "password": "not the password", "company_id": "$company"},
    ),
    Case("GET /v1/jobs/{job_id}", Of.COMPANY, "manage_company", "job"),
    Case(
        "POST /v1/invitations/acceptances", Of.OWN, body={"token": _NEVER}, status=404, code="accounts.link_invalid"
    ),
    # An invitation is the invited person's, whatever company it is of.
    Case("GET /v1/me/invitations", Of.OWN),
    Case(
        "POST /v1/me/invitations/{invitation_id}/acceptance", Of.OWN, path={"invitation_id": "$invitation"},
        status=404, code="accounts.invitation_not_found",
    ),
    Case(
        "DELETE /v1/me/invitations/{invitation_id}", Of.OWN, path={"invitation_id": "$invitation"}, status=404,
        code="accounts.invitation_not_found",
    ),
    # --- projects
    Case("GET /v1/projects", Of.OWN, company_needed=True),
    Case("POST /v1/projects", Of.OWN_COMPANY, body={"name": "$unknown name"}),
    _in_project("GET /v1/projects/{project_id}", "see", "project"),
    _in_project("PATCH /v1/projects/{project_id}", "manage", "project", body={"description": "canary of the first"}),
    _in_project(
        "PATCH /v1/projects/{project_id}", "manage", "project", body={"archived": True}, status=409,
        code="projects.not_empty",
    ),
    _in_project(
        "DELETE /v1/projects/{project_id}", "manage", "project", status=409, code="projects.not_empty",
    ),
    Case("GET /v1/me/selected-project", Of.OWN),
    _in_project(
        "PUT /v1/me/selected-project", "see", "project", body={"project_id": "$project"}, company_needed=True
    ),
    _in_project("GET /v1/projects/{project_id}/rights", "manage", "project"),
    _in_project(
        "POST /v1/projects/{project_id}/rights", "manage", "project",
        body={"email": "$guest's address", "company_id": "$guest's company"},
    ),
    _in_project("DELETE /v1/projects/{project_id}/rights/{company_id}", "manage", "project", fresh="right",
        path={"company_id": "$neighbor's company"}),
    # --- balance and keys
    Case("GET /v1/balance", Of.OWN, company_needed=True),
    _in_project("GET /v1/balance", "see", "project", query={"project": "$project"}),
    _in_project("GET /v1/balance", "see", "project2", query={"project": "$project2"}, project="project2"),
    _in_project(
        "POST /v1/activations", "add", "project", body={"project_id": "$project", "key": "$open_key"}, fresh="key"
    ),
    Case("GET /v1/activations", Of.OWN, company_needed=True),
    _in_project("GET /v1/activations", "see", "project", query={"project": "$project"}),
    # --- devices
    _in_project(
        "POST /v1/devices", "add", "project", body={"project_id": "$project", "hardware_ids": ["$spare hardware"]},
        fresh="hardware",
    ),
    # All of them are there already, so that none is added: the answer says so for each.
    _in_project(
        "POST /v1/devices", "add", "project", body={"project_id": "$project", "order_number": "$order"},
    ),
    Case("GET /v1/devices", Of.OWN, company_needed=True),
    _in_project("GET /v1/devices", "see", "project", query={"project": "$project"}),
    _in_project("GET /v1/devices", "see", "project2", query={"project": "$project2"}, project="project2"),
    _in_project("GET /v1/devices/{device_id}", "see", "device"),
    _in_project("GET /v1/devices/{device_id}", "see", "device2", project="project2"),
    _in_project("PATCH /v1/devices/{device_id}", "add", "device", body={"comment": "remark on device of the owner"}),
    _in_project("DELETE /v1/devices/{device_id}", "manage_devices", "device", fresh="device"),
    # It is there already, so that nothing moves; the power is asked for all the same.
    _in_project(
        "POST /v1/device-moves", "manage_devices", "project",
        body={"device_ids": ["$device"], "project_id": "$project"},
    ),
    Case("GET /v1/warranty", Of.EVERYBODY, query={"hardware_id": "$device hardware"}),
    Case("GET /v1/orders/{number}/devices", Of.EVERYBODY, thing="order"),
    # --- licenses of a device
    _in_project("GET /v1/devices/{device_id}/license-options", "see", "device", query={"version": 7}),
    _in_project("GET /v1/devices/{device_id}/licenses", "see", "device"),
    _in_project(
        "POST /v1/devices/{device_id}/licenses", "add", "device",
        body={"licenses": [{"license_type": "port8", "quantity": 1}]},
    ),
    # One draws from one's own projects only, and by a token of one project from no other.
    _in_project(
        "POST /v1/devices/{device_id}/licenses", "draw", "device",
        body={"licenses": [{"license_type": "port8", "quantity": 1}], "sources": ["$project2"]},
        instead={"guest": (404, "projects.not_found"), "token of the project": (404, "projects.not_found")},
    ),
    _in_project(
        "DELETE /v1/devices/{device_id}/licenses/{line_id}", "manage_devices", "device", fresh="line",
        path={"line_id": "$filed line"},
    ),
    _in_project("PUT /v1/devices/{device_id}/floating-license", "add", "slave", body={"version": 7}),
    _in_project("DELETE /v1/devices/{device_id}/floating-license", "add", "slave", fresh="floating license"),
    # Files, returns and certificates of a device.
    _in_project(
        "POST /v1/devices/{device_id}/license-files", "files", "device", body={"encrypted": False, "version": 7},
        status=200,
    ),
    _in_project("GET /v1/license-files/{serial}", "files", "serial of certified"),
    # Delivered before: the same bytes have the same answer, for whoever may deliver them.
    _in_project(
        "POST /v1/license-returns", "files", "returned hardware", text="$return", query={"dry_run": "true"}, status=200
    ),
    _in_project("POST /v1/license-returns", "files", "returned hardware", text="$return"),
    _in_project(
        "POST /v1/devices/{device_id}/possession", "add", "device", body={"order_number": "$order"}, status=200,
    ),
    _in_project(
        "POST /v1/devices/{device_id}/certificates", "request_certificate", "device", text="$request", fresh="request",
        instead=_STAFF_CERTIFIES,
    ),
    _in_project("GET /v1/devices/{device_id}/certificates", "see", "certified"),
    Case("DELETE /v1/certificates/{serial}", Of.STAFF, thing="certificate", fresh="certificate"),
    Case("GET /v1/keys", Of.EVERYBODY),
    Case("GET /v1/device-ca.pem", Of.EVERYBODY),
    Case("GET /v1/device-ca.crl", Of.EVERYBODY),
    # --- the device door
    _in_project("GET /device/v1/{hardware_id}/license-file", "files", "certified hardware"),
    _in_project("PUT /device/v1/{hardware_id}/license-return", "files", "returned hardware", text="$return"),
    _in_project(
        "POST /device/v1/{hardware_id}/certificate-request", "request_certificate", "device hardware",
        text="$request", fresh="request", instead=_STAFF_CERTIFIES,
    ),
    # --- catalogue and history
    Case("GET /v1/catalogue/device-types", Of.EVERYBODY),
    Case("GET /v1/catalogue/license-types", Of.EVERYBODY, query={"version": 8}),
    Case("GET /v1/history", Of.OWN, query={"context": "user"}),
    # Staff without a company read everything.
    Case("GET /v1/history", Of.OWN, query={"limit": 200}, company_needed=True, instead={"staff": (200, None)}),
    _in_project("GET /v1/history", "see", "project", query={"project": "$project", "limit": 200}),
    _in_project("GET /v1/history", "see", "project2", query={"project": "$project2"}, project="project2"),
    _in_project("GET /v1/history", "see", "device", query={"context": "device", "id": "$device"}),
    _in_project("GET /v1/history", "see", "slave hardware", query={"context": "device", "id": "$slave hardware"}),
    Case("GET /v1/history", Of.COMPANY, None, "company", query={"context": "company", "id": "$company"}),
    # What the owner's administrator did for the guest's company stands in the guest's own history; only that is read.
    Case(
        "GET /v1/history", Of.COMPANY, "manage_company", "admin", query={"context": "user", "id": "$admin"},
        instead={"guest": (200, None)},
    ),
    # --- staff
    Case(
        "POST /v1/staff/orders", Of.STAFF,
        body={"number": "$unknown name", "licenses": [{"license_type": "port8", "quantity": 1}]},
    ),
    Case("GET /v1/staff/orders", Of.STAFF),
    Case("GET /v1/staff/orders/{number}", Of.STAFF, thing="order"),
    Case("GET /v1/staff/companies", Of.STAFF),
    Case("GET /v1/staff/companies/{company_id}", Of.STAFF, thing="company"),
    Case(
        "PATCH /v1/staff/companies/{company_id}", Of.STAFF, thing="company", body={"vendor_customer_number": "4711"}
    ),
    Case("GET /v1/staff/companies/{company_id}/users", Of.STAFF, thing="company"),
    Case(
        "PATCH /v1/staff/companies/{company_id}/users/{user_id}", Of.STAFF, thing="company", path={"user_id": "$user"},
        body={"role": "member"},
    ),
    Case(
        "DELETE /v1/staff/companies/{company_id}/users/{user_id}", Of.STAFF, thing="company", path={"user_id": "$user"},
        fresh="invitation",
    ),
    Case("GET /v1/staff/users", Of.STAFF),
    Case("GET /v1/staff/service-accounts", Of.STAFF),
    Case("POST /v1/staff/service-accounts", Of.STAFF, body={"name": "t", "scopes": ["orders"]}),
    Case("DELETE /v1/staff/service-accounts/{account_id}", Of.STAFF, thing="service", fresh="service"),
    Case("GET /v1/staff/service-accounts/{account_id}/tokens", Of.STAFF, thing="service"),
    Case("POST /v1/staff/service-accounts/{account_id}/tokens", Of.STAFF, thing="service", fresh="service", body={}),
    Case(
        "DELETE /v1/staff/service-accounts/{account_id}/tokens/{token_id}", Of.STAFF, thing="service", fresh="service",
        path={"token_id": "$service token"},
    ),
    Case("PATCH /v1/staff/users/{user_id}", Of.STAFF, thing="user", body={"account_rights": []}),
    Case("PATCH /v1/staff/devices/{hardware_id}", Of.STAFF, thing="device hardware", body={"rma": False}),
    Case(
        "PATCH /v1/staff/devices/{hardware_id}", Of.STAFF, thing="device hardware",
        body={"proven_company_id": "$company"},
    ),
    _in_project(
        "POST /v1/staff/balance-corrections", "correct", "project",
        body={"project_id": "$project", "license_type": "port8", "quantity": 1, "reason": "tenant matrix"},
    ),
)  # fmt: skip
