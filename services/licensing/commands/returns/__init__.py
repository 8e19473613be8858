"""Taking licenses back from a device that signed a return (LIC-8, rule L10): the two doors of one command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.accounts.api import Actor, needs
from services.chassis.answers import Answer, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import ServiceError, invalid
from services.chassis.service.declare import command
from services.chassis.service.running import answered, rehearse, run
from services.devices.api import DevicesClient, canonical_hardware_id
from services.licensing.access import Device
from services.licensing.api import files as api
from services.licensing.api.file_errors import ERRORS
from services.licensing.commands.returns.booking import Return
from services.licensing.commands.returns.checks import check_signature
from services.licensing.commands.returns.sorting import Kept, with_details
from services.licensing.files.errors import FormatError
from services.licensing.files.returns import DeviceReturn, read_return
from services.licensing.store.catalogue import get_catalogue
from services.projects.api import FILES

_NAME: Final = "return_licenses"
_REFUSALS: Final = (
    "devices.device_not_found",
    "access.power_needed",
    "licensing.return_malformed",
    "licensing.return_untrusted",
    "licensing.return_other_device",
    "licensing.return_certificate_revoked",
    "licensing.return_certificate_superseded",
    "licensing.return_other_certificate",
    "licensing.return_other_company",
    "licensing.return_counter_too_high",
    "licensing.return_bad_signature",
    "licensing.return_file_unknown",
    "licensing.return_not_encrypted",
    "licensing.return_newer_file",
    "licensing.return_file_void",
    "licensing.already_returned",
    "licensing.not_returnable",
)
_EVENTS: Final = ("licenses_returned", "return_refused", "paid_device_used_elsewhere")


@command(
    request=api.ReturnLicensesRequest,
    answer=api.ReturnReceipt,
    needs=(needs.WRITE,),
    rehearsable=True,
    raises=_REFUSALS,
    emits=_EVENTS,
)
def return_licenses(database: Database, call: Call, request: Mapping[str, Any], devices: DevicesClient) -> Shown:
    """Take a return that a person uploads; it is credited to the project in which their record of the device is."""
    given = _read(request["xml"])
    return _explained(_take(database, call, given, devices, dry_run=request["dry_run"]))


@command(
    request=api.ReturnDeviceLicensesRequest,
    answer=api.ReturnReceipt,
    needs=(needs.DEVICE,),
    raises=(*_REFUSALS, "devices.malformed_id"),
    emits=_EVENTS,
)
def return_device_licenses(database: Database, call: Call, request: Mapping[str, Any], devices: DevicesClient) -> Shown:
    """Take a return that the device itself delivers."""
    given = _read(request["xml"])
    if canonical_hardware_id(request["hardware_id"]) != given.device:
        raise invalid("licensing.return_other_device", ERRORS["licensing.return_other_device"])
    return _explained(_take(database, call, given, devices))


def _read(xml: str) -> DeviceReturn:
    try:
        return read_return(xml.encode("utf-8", "surrogatepass"))
    except FormatError as error:
        raise invalid("licensing.return_malformed", f"{error.detail} Upload the file as the device made it.") from error


def _take(
    database: Database, call: Call, given: DeviceReturn, devices: DevicesClient, *, dry_run: bool = False
) -> Answer:
    request = {"signed": given.digest, "hardware_id": given.device}
    try:
        # The device first: whoever does not hold it learns nothing about its files.
        device = Device.of_answer(devices.find_device(call, hardware_id=given.device))
        device.require(FILES)
        signer = database.read(lambda connection: check_signature(connection, given))
    except ServiceError as refusal:
        # What was credited and whose answer got lost must never look refused: the device would install its file again.
        answer = None if dry_run or not refusal.is_final else answered(database, call, request, name=_NAME)
        if answer is None:
            raise
        return answer
    work = Return(Actor.of(call), device, get_catalogue(database), given, signer)
    if dry_run:
        return rehearse(database, call, lambda unit: shown(work(unit), receipt=None))
    return run(database, call, request, work, name=_NAME, step=api.ReturnReceipt, on_refusal=work.note_refusal)


def _explained(answer: Answer) -> Shown:
    """Add why each license stays; what is stored has the codes alone."""
    kept: list[Kept] = answer["kept"]
    return shown(answer, kept=with_details(kept))
