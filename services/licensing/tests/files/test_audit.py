"""The audit finds what was changed behind the commands' back, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from clients.device import Device
from services.licensing.audit_files import check_files
from services.licensing.models import DeviceCertificate, FileCounter, LicenseFileRow, LicenseReturn
from services.licensing.tests.files.conftest import IP800, IP6000, Company, Door, Room


def flaws(room: Room) -> list[str]:
    """Return everything that the audit finds wrong."""
    checks = room.database.read(lambda connection: check_files(connection, room.keystore))
    return [f"{check.name}: {flaw}" for check in checks for flaw in check.flaws]


@pytest.fixture
def lived(room: Room, company: Company, certified: Device, door: Door) -> Room:
    """Give a room with a file of each form and a return."""
    record = room.hold(IP6000, company, "IP6000")
    room.put(IP6000, company, "pbx7-100", 1)
    room.put(IP6000, company, "port8", 3)
    room.ask("issue_license_file", company.call(), device_id=record, encrypted=False, version=7)
    room.ask("issue_license_file", company.call(), device_id=record, encrypted=False, version=8, confirm_no_return=True)
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    certified.deliver_return(door)
    assert flaws(room) == []
    return room


def _set(table: Any, **values: Any) -> Callable[[Any], Any]:
    return lambda _: sa.update(table).values(**values)


def _flip(row: Any) -> Any:
    content = row.content
    place = len(content) // 2
    changed = content[:place] + ("A" if content[place] != "A" else "B") + content[place + 1 :]
    return sa.update(LicenseFileRow).where(LicenseFileRow.serial == row.serial).values(content=changed)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (_flip, "bytes are not those"),
        (_set(LicenseFileRow, payload=b"other"), "not what was recorded"),
        (_set(LicenseFileRow, signature=b"\x01" * 64), "signature does not fit"),
        (_set(LicenseFileRow, company_id="other"), "says something else than its row"),
        (_set(FileCounter, counter=99), "its newest file has another"),
        (_set(LicenseReturn, document="00" * 70), "not what was accepted"),
        (_set(DeviceCertificate, hardware_id="00-90-33-00-00-01"), "subject is"),
    ],
)
def test_tampering_is_found(lived: Room, change: Callable[[Any], Any], word: str) -> None:
    row = lived.database.read(
        lambda c: c.execute(sa.select(LicenseFileRow.serial, LicenseFileRow.content).limit(1)).one()
    )
    lived.database.write(lambda unit: unit.execute(change(row)))
    found = flaws(lived)
    assert any(word in flaw for flaw in found), found
