"""Examples of request bodies in the OpenAPI document: one a route, made of the names of its fields.

Each is a body that the route takes; a test loads them by the rooms' schemas.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.row import Row

_ID: Final = "01a20bb3-db07-7506-9682-6d4ec3e2575e"
_MAC: Final = "00-90-33-08-20-20"
_BY_NAME: Final[dict[str, Any]] = {
    "accept_terms": True,
    "account_rights": ["MOVE_LICENSES"],
    "comment": "Second floor",
    "company_id": _ID,
    "description": "All branches in the north",
    "device_ids": [_ID],
    "devices": [{"hardware_id": _MAC, "type": "IP6000", "shipped_on": "2026-11-02"}],
    "email": "ada@example.com",
    "encrypted": True,
    "expires_at": "2027-02-22T08:45:34.790Z",
    "forename": "Ada",
    "hardware_ids": [_MAC],
    "key": "ABCDE-FGHJK-MNPQR-STVWX-YZ234",
    "language": "en",
    "license_comment": "Paid by the branch",
    "license_type": "port8",
    "licenses": [{"license_type": "port8", "quantity": 20}],
    "locked": True,
    "name": "North",
    "number": "4711",
    "old_password": "correct horse battery staple",
    "order_number": "4711",
    "otp": "123456",
    "password": "correct horse battery staple",
    "project_id": _ID,
    "quantity": 20,
    "reason": "Delivered twice",
    "refresh_token": "tsr_Qm9vdHMgYW5kIGNhdHM",
    "rma": True,
    "role": "admin",
    "scopes": ["read"],
    "surname": "Lovelace",
    "token": "Qm9vdHMgYW5kIGNhdHM",
    "vendor_customer_number": "K-4711",
    "version": 7,
}
# What a body has besides the fields that it must have: the least that makes sense.
_BESIDES: Final[dict[str, tuple[str, ...]]] = {
    "update_me": ("language",),
    "update_company": ("vendor_customer_number",),
    "update_company_staff": ("vendor_customer_number",),
    "update_company_user": ("role",),
    "update_company_user_staff": ("role",),
    "update_project": ("description",),
    "update_device": ("comment",),
    "update_user_staff": ("account_rights",),
    "update_production_staff": ("rma",),
    "add_devices": ("hardware_ids",),
    "activate_key": ("comment",),
    "enter_order": ("devices", "licenses"),
    "prove_possession": ("order_number",),
    "create_service_token": ("expires_at",),
}
_OTHERWISE: Final[dict[str, dict[str, Any]]] = {
    "change_password": {"password": "another staple battery horse"},
    "create_service_account": {"scopes": ["orders"]},
}
_TEXTS: Final = {
    "application/xml": '<?xml version="1.0" encoding="UTF-8"?>\n<license-return format="1">AAAA</license-return>\n',
    "application/x-pem-file": "-----BEGIN CERTIFICATE REQUEST-----\nMIHL\n-----END CERTIFICATE REQUEST-----\n",
}


def body_of(row: Row) -> Any:
    """Return an example of a row's body: a value for its JSON, or the beginning of a text.

    Raises:
        KeyError: a field that must be there, or a media type, has no example here yet.
    """
    if row.raw is not None:
        return _TEXTS[row.takes]
    besides = _BESIDES.get(row.rpc, ())
    names = [name for name in sorted(row.body_names) if row.wire_fields[name].required or name in besides]
    return {name: _BY_NAME[name] for name in names} | _OTHERWISE.get(row.rpc, {})
