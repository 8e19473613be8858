"""How a device's license files stand against what is installed: none, current or outdated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from services.licensing.access import Device
from services.licensing.api.files import FIRST_SIGNED_VERSION
from services.licensing.commands.issuing import is_overtaken
from services.licensing.domain.catalogue import Catalogue
from services.licensing.store import files
from services.licensing.store.lines import InstalledLine

_FAMILIES: Final = (("text",), ("plain", "encrypted"))
"""Forms of the files of version 5 to 7, and of those from version 8 on."""


@dataclass(frozen=True, slots=True)
class DeviceFiles:
    """How the files of a device stand: `none`, `current` or `outdated`; its newest file, and when that was fetched."""

    state: str
    serial: str | None = None
    fetched_at: datetime | None = None


def file_state(
    connection: Connection,
    device: Device,
    installed: Sequence[InstalledLine],
    catalogue: Catalogue,
    revoked_kids: Collection[str] = (),
) -> DeviceFiles:
    """Return state, serial and time of fetching of a device's newest file; one outdated family makes it outdated.

    The state is the device's, whoever asked for the file; the serial is told to who can get the file by it (I14).

    Args:
        connection: of the running transaction.
        device: the device as the caller holds it.
        installed: its lines.
        catalogue: tells the version of a line.
        revoked_kids: signing keys whose files are made anew.
    """
    newest, current = [], True
    for forms in _FAMILIES:
        wanted = {line.id for line in installed if _family(catalogue, line) == forms}
        file = files.newest(connection, device.hardware_id, forms)
        if file is not None:
            newest.append(file)
            present = {row.line_id for row in files.lines_of(connection, file.serial)}
            good = file.state == files.ACTIVE and not is_overtaken(connection, file, revoked_kids)
            current = current and present == wanted and good
        elif wanted:
            current = False
    if not newest:
        return DeviceFiles("none")
    latest = max(newest, key=lambda file: file.counter)
    # Another record's number is no help: its file is not given out here.
    serial = latest.serial if latest.device_id == device.device_id else None
    return DeviceFiles("current" if current else "outdated", serial, latest.fetched_at)


def _family(catalogue: Catalogue, line: InstalledLine) -> tuple[str, ...] | None:
    version = catalogue.license_types[line.license_type].version
    if version is None:
        return None
    return _FAMILIES[version >= FIRST_SIGNED_VERSION]
