"""Rows of the gateway against the services as they are: no route leads nowhere, none checks by another schema."""

from __future__ import annotations

from deploy import procedures as generated
from deploy.rooms import ROOMS, service_class
from gateway.openapi import RECENT_CODES
from gateway.routes import ROWS
from gateway.row import Right
from services.chassis.service.entrypoints import Rpc
from services.chassis.service.serving import procedures_of


def procedures() -> dict[tuple[str, str], Rpc]:
    """Return every RPC entrypoint by room and name."""
    return {
        (room, name): entrypoint
        for room in ROOMS
        for name, (entrypoint, _) in procedures_of(service_class(room)).items()
    }


def test_every_route_leads_to_a_procedure_with_the_same_schema_and_openness() -> None:
    found = procedures()
    for row in ROWS:
        procedure = found.get((row.service, row.rpc))
        assert procedure is not None, f"{row.method} {row.path}: {row.service} has no {row.rpc}"
        assert row.request is procedure.schema, f"{row.method} {row.path}: the schemas differ"
        is_open = procedure.public or procedure.callers == ("gateway",)
        assert (row.right is Right.NONE) is is_open, f"{row.method} {row.path}: public here, but not there"


def test_a_row_says_of_answer_and_rehearsal_what_the_declaration_says() -> None:
    """A composed row may answer more than its procedure, or in another form; it says so by its own schema."""
    compared = 0
    for row in ROWS:
        declaration = procedures_of(service_class(row.service))[row.rpc][1]
        if declaration is None:
            continue
        compared += 1
        where = f"{row.method} {row.path}"
        assert row.dry_run is declaration.rehearsable, f"{where}: rehearsed at one place only"
        # Looking a warranty up is counted, and told to whoever has the device.
        told = row.is_write or row.compose is not None or row.rpc == "check_warranty"
        assert told or not declaration.writes, f"{where}: a GET that writes"
        if row.status == 204 or row.compose is not None:
            continue
        assert row.answer is declaration.answer, f"{where}: answers by another schema"
        assert row.rehearsal is declaration.rehearsal, f"{where}: is rehearsed by another schema"
    assert compared > 5


FOR_A_FIELD = {"PATCH /v1/company", "PATCH /v1/staff/companies/{company_id}"}
"""Rows that need a recent login for one of their fields (`otp_demanded`, decision 18); the room asks for it."""


def test_who_needs_a_recent_login_at_the_door_needs_one_in_the_room_too() -> None:
    """A room believes the token alone, so the gateway's mark must stand in the room as well (ACC-13)."""
    said = generated.procedures()
    for row in ROWS:
        codes = said[f"{row.service}.{row.rpc}"]
        if f"{row.method} {row.path}" in FOR_A_FIELD:
            assert all(code in codes for code in RECENT_CODES), row.path
            continue
        for code in RECENT_CODES:
            if row.recent or code == "accounts.confirmation_needed":
                assert row.recent is (code in codes), f"{row.method} {row.path}: {code}"
