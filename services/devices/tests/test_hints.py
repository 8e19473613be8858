"""Who may not do something with a device is told what is missing and who grants it (Issue 6.5)."""

from __future__ import annotations

from services.accounts.api import ACCOUNT_RIGHTS
from services.devices.answers import actions
from services.devices.domain.actions import ADMIN_NEEDED, POWER_NEEDED, PROJECT_ARCHIVED, RIGHT_NEEDED
from services.projects.api import GUEST, OPEN, OWN, powers_of, roles_of


def hints(access: str, *, admin: bool, rights: tuple[str, ...] = ()) -> dict[str, dict[str, object]]:
    roles, as_admin = (roles_of(access, admin=flag, staff=False) for flag in (admin, True))
    others = {
        PROJECT_ARCHIVED: (),
        RIGHT_NEEDED: powers_of(roles, ACCOUNT_RIGHTS, OPEN),
        ADMIN_NEEDED: powers_of(as_admin, rights, OPEN),
    }
    return {item["name"]: item for item in actions(powers_of(roles, rights, OPEN), False, others)}


def test_an_admin_without_the_account_right_is_sent_to_the_vendor() -> None:
    for name in ("move_licenses", "request_certificate"):
        told = hints(OWN, admin=True)[name]
        assert told["allowed"] is False
        assert (told["reason"], told["right"]) == (RIGHT_NEEDED, name.upper())
        assert told["detail"] == f"Your account needs the right {name.upper()}: ask the vendor for it."
        assert hints(OWN, admin=True, rights=(name.upper(),))[name]["allowed"] is True


def test_a_guest_is_sent_to_the_company_that_owns_the_project() -> None:
    told = hints(GUEST, admin=True)["delete_device"]
    assert (told["allowed"], told["reason"], told["power"]) == (False, POWER_NEEDED, "manage_devices")
