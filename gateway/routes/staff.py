"""Routes of the vendor's staff (rooms licensing, accounts and devices)."""

from __future__ import annotations

from gateway.row import Right, Row
from services.accounts import api as accounts
from services.chassis.fields import ListRequest
from services.devices import api as devices
from services.licensing import api as licensing
from services.projects.api import CORRECT

ROWS = (
    Row(
        "POST", "/v1/staff/orders", "licensing", "enter_order", Right.STAFF,
        "Enter an order: devices for the production data, licenses for a new activation key.",
        served=accounts.SCOPE_ORDERS, request=licensing.EnterOrderRequest, answer=licensing.Order, status=201,
        location="/v1/staff/orders/{number}",
    ),
    Row(
        "GET", "/v1/staff/orders", "licensing", "list_orders", Right.STAFF,
        "List the orders, newest first.",
        served=accounts.SCOPE_ORDERS, request=licensing.ListOrdersRequest, answer=licensing.OrderList,
    ),
    Row(
        "GET", "/v1/staff/orders/{number}", "licensing", "get_order", Right.STAFF,
        "Show an order.",
        served=accounts.SCOPE_ORDERS, request=licensing.OrderRequest, answer=licensing.Order,
    ),
    Row(
        "GET", "/v1/staff/companies", "accounts", "list_companies_staff", Right.STAFF,
        "List companies whose name contains a text.",
        request=accounts.SearchRequest, answer=accounts.StaffCompanyList,
    ),
    Row(
        "GET", "/v1/staff/companies/{company_id}", "accounts", "get_company_staff", Right.STAFF,
        "Show a company; the id of one that was imported leads to the company that it is part of now.",
        request=accounts.CompanyIdRequest, answer=accounts.StaffCompanyDetail,
    ),
    Row(
        "PATCH", "/v1/staff/companies/{company_id}", "accounts", "update_company_staff", Right.STAFF,
        "Change a company's data; absent fields stay as they are. `otp_demanded` needs a recent login.",
        request=accounts.UpdateCompanyStaffRequest, answer=accounts.Company,
    ),
    Row(
        "GET", "/v1/staff/companies/{company_id}/users", "accounts", "list_company_users_staff", Right.STAFF,
        "List the users of a company and its open invitations.",
        request=accounts.ListCompanyUsersStaffRequest, answer=accounts.CompanyUserList,
    ),
    Row(
        "PATCH", "/v1/staff/companies/{company_id}/users/{user_id}", "accounts", "update_company_user_staff",
        Right.STAFF,
        "Give or take the admin role, lock or unlock a user in a company.",
        recent=True, request=accounts.UpdateCompanyUserStaffRequest, answer=accounts.CompanyUser, revokes=True,
    ),
    Row(
        "DELETE", "/v1/staff/companies/{company_id}/users/{user_id}", "accounts", "remove_company_user_staff",
        Right.STAFF,
        "Take a user out of a company.",
        recent=True, request=accounts.CompanyUserStaffRequest, status=204, revokes=True,
    ),
    Row(
        "GET", "/v1/staff/users", "accounts", "list_users_staff", Right.STAFF,
        "List users whose e-mail address or name contains a text.",
        request=accounts.SearchRequest, answer=accounts.StaffUserList,
    ),
    Row(
        "PATCH", "/v1/staff/users/{user_id}", "accounts", "update_user_staff", Right.STAFF,
        "Lock or unlock an account, give or take account rights and the staff mark.",
        recent=True, request=accounts.UpdateUserStaffRequest, answer=accounts.StaffUser, revokes=True,
    ),
    Row(
        "GET", "/v1/staff/service-accounts", "accounts", "list_service_accounts", Right.STAFF,
        "List the service accounts: programs of the vendor, with tokens and no login.",
        recent=True, request=ListRequest, answer=accounts.ServiceAccountList, scope=accounts.SCOPE_ACCOUNT,
    ),
    Row(
        "POST", "/v1/staff/service-accounts", "accounts", "create_service_account", Right.STAFF,
        "Create a service account; it outlives whoever created it.",
        recent=True, request=accounts.CreateServiceAccountRequest, answer=accounts.ServiceAccountItem, status=201,
        scope=accounts.SCOPE_ACCOUNT,
    ),
    Row(
        "DELETE", "/v1/staff/service-accounts/{account_id}", "accounts", "delete_service_account", Right.STAFF,
        "End a service account; all its tokens are dead within a second.",
        recent=True, request=accounts.ServiceAccountRequest, status=204, scope=accounts.SCOPE_ACCOUNT, revokes=True,
    ),
    Row(
        "GET", "/v1/staff/service-accounts/{account_id}/tokens", "accounts", "list_service_tokens", Right.STAFF,
        "List the tokens of a service account, without their secrets.",
        recent=True, request=accounts.ListServiceTokensRequest, answer=accounts.ServiceTokenList,
        scope=accounts.SCOPE_ACCOUNT,
    ),
    Row(
        "POST", "/v1/staff/service-accounts/{account_id}/tokens", "accounts", "create_service_token", Right.STAFF,
        "Create a token of a service account; its secret is shown only once.",
        recent=True, request=accounts.CreateServiceTokenRequest, answer=accounts.NewServiceToken, status=201,
        scope=accounts.SCOPE_ACCOUNT,
    ),
    Row(
        "DELETE", "/v1/staff/service-accounts/{account_id}/tokens/{token_id}", "accounts", "delete_service_token",
        Right.STAFF,
        "Withdraw a token of a service account; it is dead within a second.",
        recent=True, request=accounts.ServiceTokenRequest, status=204, scope=accounts.SCOPE_ACCOUNT, revokes=True,
    ),
    Row(
        "PATCH", "/v1/staff/devices/{hardware_id}", "devices", "update_production_staff", Right.STAFF,
        "Set the RMA mark of a device or remove it, or vouch for the possession of one company.",
        request=devices.UpdateProductionStaffRequest, answer=devices.ProductionDevice,
    ),
    Row(
        "POST", "/v1/staff/balance-corrections", "licensing", "correct_balance", Right.STAFF,
        "Correct a project's balance with a posting that states a reason.",
        power=CORRECT, request=licensing.CorrectBalanceRequest, answer=licensing.BalanceCorrection, status=201,
    ),
)  # fmt: skip
