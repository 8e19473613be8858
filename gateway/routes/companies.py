"""Routes of companies, their users and invitations (room accounts)."""

from __future__ import annotations

from marshmallow import fields

from gateway import compose
from gateway.row import Right, Row
from services.accounts import api
from services.chassis.fields import AnswerSchema, EmptyRequest, ListRequest
from services.devices.api import MovingDevices
from services.history.api import MovingLines
from services.licensing.api import MovingBalance, MovingKeys
from services.projects.api import MovingProjects, MovingRights


class ImportPreview(AnswerSchema):
    """What an import would move, put together from what each room says."""

    company = fields.Nested(api.CompanyName, required=True)
    users = fields.Nested(api.MovingUsers, required=True)
    projects = fields.Nested(MovingProjects, required=True)
    rights = fields.Nested(MovingRights, required=True)
    balance = fields.Nested(MovingBalance, required=True)
    activation_keys = fields.Nested(MovingKeys, required=True)
    devices = fields.Nested(MovingDevices, required=True)
    history = fields.Nested(MovingLines, required=True)


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
        "Change the company's data; absent fields stay as they are. `otp_demanded` needs a recent login, "
        "`device_notices` a login.",
        request=api.UpdateCompanyRequest, answer=api.Company,
    ),
    Row(
        "GET", "/v1/company/users", "accounts", "list_company_users", Right.COMPANY,
        "List the users of the company and its open invitations.",
        request=ListRequest, answer=api.CompanyUserList,
    ),
    Row(
        "POST", "/v1/company/users", "accounts", "add_company_user", Right.COMPANY,
        "Invite somebody by e-mail address, or send an open invitation again: whoever it is becomes a member by saying "
        "yes. The answer is the same for every address.",
        recent=True, request=api.AddCompanyUserRequest, answer=api.InvitedUser, status=201,
    ),
    Row(
        "PATCH", "/v1/company/users/{user_id}", "accounts", "update_company_user", Right.ADMIN,
        "Give or take the admin role, lock or unlock a user in this company.",
        recent=True, request=api.UpdateCompanyUserRequest, answer=api.CompanyUser, revokes=True,
    ),
    Row(
        "DELETE", "/v1/company/users/{user_id}", "accounts", "remove_company_user", Right.ADMIN,
        "Take a user out of the company, or withdraw an open invitation.",
        recent=True, request=api.CompanyUserRequest, status=204, revokes=True,
    ),
    Row(
        "POST", "/v1/company/imports", "accounts", "import_company", Right.ADMIN,
        "Import another company, with the login of one of its administrators; a rehearsal shows what moves.",
        recent=True, request=api.ImportCompanyRequest, answer=api.Job, rehearsal=ImportPreview, status=202,
        dry_run=True, scope=api.SCOPE_ACCOUNT, compose=compose.import_company, revokes=True,
    ),
    Row(
        "GET", "/v1/jobs/{job_id}", "accounts", "get_job", Right.COMPANY,
        "Show how far a long job has got, and what came of it.",
        request=api.JobRequest, answer=api.Job,
    ),
    Row(
        "POST", "/v1/invitations/acceptances", "accounts", "accept_invitation", Right.LOGIN,
        "Accept an invitation with the token of the mailed link.",
        request=api.AcceptInvitationRequest, status=204, scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "GET", "/v1/me/invitations", "accounts", "list_my_invitations", Right.LOGIN,
        "List the open invitations to your own address.",
        request=ListRequest, answer=api.MyInvitationList, scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "POST", "/v1/me/invitations/{invitation_id}/acceptance", "accounts", "accept_my_invitation", Right.LOGIN,
        "Accept an invitation; the next session or refresh can be in its company.",
        request=api.InvitationRequest, status=204, scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "DELETE", "/v1/me/invitations/{invitation_id}", "accounts", "decline_invitation", Right.LOGIN,
        "Decline an invitation; the link in its e-mail stops working.",
        request=api.InvitationRequest, status=204, scope=api.SCOPE_ACCOUNT,
    ),
)  # fmt: skip
