"""Which lines of a returned file go back, and why the others stay (LIC-8, DEV-15)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from services.licensing import access
from services.licensing.access import Device
from services.licensing.api.licenses import WHY_NOT_RETURNED
from services.licensing.commands.naming import name_of
from services.licensing.domain.amounts import Amount
from services.licensing.domain.catalogue import DEVICE, GATEWAY, Catalogue
from services.licensing.store import files, lines
from services.licensing.store.files import FiledLine
from services.licensing.store.lines import InstalledLine


class Kept(Amount):
    """What stays on the device, with the code of the reason."""

    reason: str


def sort(
    connection: Connection, device: Device, catalogue: Catalogue, serial: str
) -> tuple[list[InstalledLine], list[Kept]]:
    """Return the lines of a file that go back, and what stays, added up by license type and reason.

    Args:
        connection: of the transaction in which the device is locked.
        device: as devices told it.
        catalogue: tells what is returnable.
        serial: number of the file.
    """
    installed = {line.id: line for line in lines.installed_lines(connection, device.hardware_id)}
    others = access.lines_of_present_others(connection, device, list(installed.values()))
    # A claim is no sale: what a company that has left paid for goes to whoever proves that he has the device.
    unproven = set() if device.proven else access.lines_paid_by_others(connection, device, installed.values())
    going: list[InstalledLine] = []
    kept: list[tuple[InstalledLine | FiledLine, str]] = []
    for part in files.lines_of(connection, serial):
        line = installed.get(part.line_id)
        reason = "not_on_device" if line is None else why_kept(catalogue, line)
        if reason is None and part.line_id in others:
            reason = "other_company"
        if reason is None and part.line_id in unproven:
            reason = "possession_needed"
        if line is not None and reason is None:
            going.append(line)
        else:
            kept.append((line or part, reason or ""))
    return going, _added_up(catalogue, kept)


def _added_up(catalogue: Catalogue, kept: Iterable[tuple[InstalledLine | FiledLine, str]]) -> list[Kept]:
    sums: dict[tuple[str, str], int] = {}
    for line, reason in kept:
        sums[line.license_type, reason] = sums.get((line.license_type, reason), 0) + line.quantity
    return [
        {
            "license_type": license_type,
            "name": name_of(catalogue, license_type),
            "quantity": quantity,
            "reason": reason,
        }
        for (license_type, reason), quantity in sorted(sums.items())
    ]


def why_kept(catalogue: Catalogue, line: InstalledLine) -> str | None:
    """Return why a line on the device stays, whoever returns it; None if it may go."""
    license_type = catalogue.license_types.get(line.license_type)
    if line.file_issued == lines.PLAIN:
        return "downloaded_unencrypted"
    if license_type is None or license_type.category == DEVICE:
        return "warranty"
    if license_type.category == GATEWAY:
        return "gateway"
    return None if license_type.returnable else "not_returnable"


def with_details(kept: Iterable[Kept]) -> list[Mapping[str, object]]:
    """Return what stays with a sentence for each reason."""
    return [{**line, "detail": WHY_NOT_RETURNED[line["reason"]]} for line in kept]
