"""What grows with an installation costs no more statements: the holders of a device (issue 6.4)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from services.chassis.ids import new_id
from services.devices.models import Device
from services.devices.tests.conftest import SEED, Company, Room


def count(room: Room, work: Any) -> int:
    """Return how many statements a work sends."""
    found: list[str] = []
    engines = {id(engine): engine for engine in (room.database.engine, room.database._reader)}

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        found.append(statement)

    for engine in engines.values():
        sa.event.listen(engine, "before_cursor_execute", note)
    work()
    for engine in engines.values():
        sa.event.remove(engine, "before_cursor_execute", note)
    return len([statement for statement in found if statement.startswith("SELECT")])


def test_finding_a_device_looks_at_its_holders_once(room: Room, reseller: Company) -> None:
    hardware_id = next(iter(SEED))
    room.add_devices(reseller.call(), project_id=reseller.project, hardware_ids=[hardware_id])
    alone = count(room, lambda: room.find_devices(reseller.call(), hardware_id=hardware_id))

    def hold(unit: Any) -> None:
        row = unit.connection.execute(sa.select(Device.__table__)).mappings().first()
        for _ in range(4):
            other, project = new_id(), room.projects.add(reseller.id)
            unit.execute(
                sa.text("INSERT INTO projects (id, company_id, name, state) VALUES (:p, :c, 'x', 'open')").bindparams(
                    p=project, c=other
                )
            )
            values = {**row, "id": new_id(), "company_id": other, "project_id": project}
            unit.execute(sa.insert(Device).values(**values))

    room.database.write(hold)
    assert room.find_devices(reseller.call(), hardware_id=hardware_id)["items"][0]["held_by_others"] is True
    together = count(room, lambda: room.find_devices(reseller.call(), hardware_id=hardware_id))
    # One look-up of the copy of its project for each record that is asked about, and nothing per holder beyond it.
    assert together <= alone + 4
