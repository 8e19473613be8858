"""Routes of the vendor's staff (rooms licensing, accounts and devices)."""

from __future__ import annotations

from gateway.row import Right, Row
from services.accounts import api as accounts
from services.devices import api as devices
from services.licensing import api as licensing
from services.projects.api import CORRECT

ROWS = (
    Row(
        "POST", "/v1/staff/orders", "licensing", "enter_order", Right.STAFF,
        "Enter an order: devices for the production data, licenses for a new activation key.",
        request=licensing.EnterOrderRequest, answer=licensing.Order, status=201,
        location="/v1/staff/orders/{number}", errors=("licensing.order_exists", "licensing.order_empty"),
    ),
    Row(
        "GET", "/v1/staff/orders", "licensing", "list_orders", Right.STAFF,
        "List the orders, newest first.",
        request=licensing.ListOrdersRequest, answer=licensing.OrderList,
    ),
    Row(
        "GET", "/v1/staff/orders/{number}", "licensing", "get_order", Right.STAFF,
        "Show an order.",
        request=licensing.OrderRequest, answer=licensing.Order, errors=("licensing.order_not_found",),
    ),
    Row(
        "GET", "/v1/staff/companies", "accounts", "list_companies_staff", Right.STAFF,
        "List companies whose name holds a text.",
        request=accounts.SearchRequest, answer=accounts.StaffCompanyList,
    ),
    Row(
        "GET", "/v1/staff/companies/{company_id}", "accounts", "get_company_staff", Right.STAFF,
        "Show a company; an id that was absorbed leads to the company that it is part of now.",
        request=accounts.CompanyIdRequest, answer=accounts.StaffCompanyDetail, errors=("accounts.company_not_found",),
    ),
    Row(
        "PATCH", "/v1/staff/companies/{company_id}", "accounts", "update_company_staff", Right.STAFF,
        "Rename a company or change its vendor account id; what is absent stays.",
        request=accounts.UpdateCompanyStaffRequest, answer=accounts.Company,
        errors=("accounts.company_not_found", "request.stale"),
    ),
    Row(
        "GET", "/v1/staff/companies/{company_id}/users", "accounts", "list_company_users_staff", Right.STAFF,
        "List the users of a company and its open invitations.",
        request=accounts.ListCompanyUsersStaffRequest, answer=accounts.CompanyUserList,
        errors=("accounts.company_not_found",),
    ),
    Row(
        "PATCH", "/v1/staff/companies/{company_id}/users/{user_id}", "accounts", "update_company_user_staff",
        Right.STAFF,
        "Give or take the admin role, lock or unlock a user in a company.",
        recent=True, request=accounts.UpdateCompanyUserStaffRequest, answer=accounts.CompanyUser, revokes=True,
        errors=("accounts.company_not_found", "accounts.user_not_found", "accounts.last_admin"),
    ),
    Row(
        "DELETE", "/v1/staff/companies/{company_id}/users/{user_id}", "accounts", "remove_company_user_staff",
        Right.STAFF,
        "Take a user out of a company.",
        recent=True, request=accounts.CompanyUserStaffRequest, status=204, revokes=True,
        errors=("accounts.company_not_found", "accounts.user_not_found", "accounts.last_admin"),
    ),
    Row(
        "GET", "/v1/staff/users", "accounts", "list_users_staff", Right.STAFF,
        "List users whose e-mail address or name holds a text.",
        request=accounts.SearchRequest, answer=accounts.StaffUserList,
    ),
    Row(
        "PATCH", "/v1/staff/users/{user_id}", "accounts", "update_user_staff", Right.STAFF,
        "Lock or unlock an account, give or take account rights and the staff mark.",
        recent=True, request=accounts.UpdateUserStaffRequest, answer=accounts.StaffUser, revokes=True,
        errors=("accounts.user_not_found", "accounts.staff_self", "accounts.user_in_company"),
    ),
    Row(
        "PATCH", "/v1/staff/devices/{hardware_id}", "devices", "update_production_staff", Right.STAFF,
        "Set the RMA mark of a device or take it off, or vouch for the possession of one company.",
        request=devices.UpdateProductionStaffRequest, answer=devices.ProductionDevice,
        errors=("devices.not_found", "devices.device_not_found"),
    ),
    Row(
        "POST", "/v1/staff/balance-corrections", "licensing", "correct_balance", Right.STAFF,
        "Correct a project's balance by a posting with a reason.",
        power=CORRECT, request=licensing.CorrectBalanceRequest, answer=licensing.BalanceCorrection, status=201,
        errors=("licensing.insufficient_balance", "licensing.license_type_unknown"),
    ),
)  # fmt: skip
