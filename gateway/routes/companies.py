"""Routes of companies, their users and invitations (room accounts)."""

from __future__ import annotations

from gateway import compose
from gateway.row import Right, Row
from services.accounts import api
from services.chassis.fields import EmptyRequest, ListRequest

ROWS = (
    Row(
        "POST", "/v1/companies", "accounts", "create_company", Right.LOGIN,
        "Create a company; its project DEFAULT is there when the answer arrives, the next session or refresh is in it.",
        request=api.CreateCompanyRequest, answer=api.CompanyRef, status=201, compose=compose.create_company,
        scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "GET", "/v1/company", "accounts", "get_company", Right.COMPANY,
        "Show the company of the session.",
        request=EmptyRequest, answer=api.Company,
    ),
    Row(
        "PATCH", "/v1/company", "accounts", "update_company", Right.ADMIN,
        "Change the company's data; what is absent stays.",
        request=api.UpdateCompanyRequest, answer=api.Company, errors=("accounts.stale",),
    ),
    Row(
        "GET", "/v1/company/users", "accounts", "list_company_users", Right.COMPANY,
        "List the users of the company and its open invitations.",
        request=ListRequest, answer=api.CompanyUserList,
    ),
    Row(
        "POST", "/v1/company/users", "accounts", "add_company_user", Right.COMPANY,
        "Add a user by e-mail address: an account without a company is a member at once, anyone else is invited.",
        request=api.AddCompanyUserRequest, answer=api.AddedUser, status=201, errors=("accounts.already_member",),
    ),
    Row(
        "PATCH", "/v1/company/users/{user_id}", "accounts", "update_company_user", Right.ADMIN,
        "Give or take the admin role, lock or unlock a user in this company.",
        request=api.UpdateCompanyUserRequest, answer=api.CompanyUser, revokes=True,
        errors=("accounts.user_not_found", "accounts.last_admin"),
    ),
    Row(
        "DELETE", "/v1/company/users/{user_id}", "accounts", "remove_company_user", Right.ADMIN,
        "Take a user out of the company.",
        request=api.CompanyUserRequest, status=204, revokes=True,
        errors=("accounts.user_not_found", "accounts.last_admin"),
    ),
    Row(
        "POST", "/v1/invitations/acceptances", "accounts", "accept_invitation", Right.LOGIN,
        "Accept an invitation with the token of the mailed link.",
        request=api.AcceptInvitationRequest, status=204, scope=api.SCOPE_ACCOUNT,
        errors=("accounts.link_invalid", "accounts.invitation_of_another"),
    ),
)  # fmt: skip
