"""One return, as a unit of work: what goes back is credited, and its file ends (LIC-8, rule L10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from services.accounts.api import Actor
from services.chassis.answers import Answer, dump
from services.chassis.data import aliases
from services.chassis.data.db import Unit
from services.chassis.errors import ServiceError, conflict
from services.chassis.ids import new_id
from services.licensing import access
from services.licensing.access import Device
from services.licensing.api.file_errors import ERRORS
from services.licensing.api.files import ReturnReceipt
from services.licensing.commands.device_lines import credited_project
from services.licensing.commands.naming import named
from services.licensing.commands.returns.checks import check_counter, check_file, remember_counter
from services.licensing.commands.returns.sorting import Kept, sort, with_details
from services.licensing.commands.telling import RETURNED, tell_of, tell_payers
from services.licensing.domain.catalogue import Catalogue
from services.licensing.files.returns import DeviceReturn
from services.licensing.store import certificates, files, ledger, lines
from services.licensing.store.files import StoredReturn
from services.licensing.store.ledger import Entry
from services.licensing.store.lines import InstalledLine
from services.licensing.store.payers import payers_of


@dataclass(frozen=True, slots=True)
class Return:
    """One return; it may run more than once.

    Args:
        signer: serial number of the certificate whose key signed it.
    """

    actor: Actor
    device: Device
    catalogue: Catalogue
    given: DeviceReturn
    signer: str

    def __call__(self, unit: Unit) -> Answer:
        """Check what is stored, credit what goes back, end the file; returns a `ReturnReceipt` without sentences."""
        connection, hardware_id = unit.connection, self.device.hardware_id
        access.lock(unit, self.actor, self.device, although_rma=True)
        highest = certificates.lock_hardware(connection, hardware_id)
        known = files.return_by_digest(connection, self.given.digest)
        if known is not None and _same_company(connection, known.company_id, self.device.company_id):
            # The same bytes under a new command id: the answer that they got (api.md).
            return Answer(known.answer)
        file = check_file(connection, self.device, self.given, self.signer)
        check_counter(self.given.counter, highest)
        going, kept = sort(connection, self.device, self.catalogue, file.serial)
        if not going:
            refusal = ERRORS["licensing.not_returnable"]
            raise conflict("licensing.not_returnable", refusal, kept=with_details(kept))
        self._book(unit, going)
        files.mark_returned(connection, file.serial)
        files.make_void(connection, hardware_id, file.counter)
        remember_counter(connection, hardware_id, self.given.counter, highest)
        answer = self._answer(going, kept)
        files.insert_return(connection, self._stored(unit, answer))
        self._tell(unit, answer)
        tell_payers(
            unit,
            hardware_id,
            RETURNED,
            payers_of(connection, going),
            told=[*self.device.concerned(self.actor), *self.actor.company_ids],
            # Whose file it was has the device too: it sees that its licenses went, not who took them (rule S9).
            also=[file.company_id],
        )
        return answer

    def note_refusal(self, unit: Unit, refusal: ServiceError) -> None:
        """Write a refused return into the history; a file that the device gave up in vain is made anew next time."""
        if refusal.code == "licensing.not_returnable":
            files.make_void_one(unit.connection, self.given.serial)
        # What the device says about its counter is true whatever became of its file, such as after a restore.
        highest = certificates.lock_hardware(unit.connection, self.device.hardware_id)
        if certificates.get(unit.connection, self.signer).state == certificates.CURRENT:
            remember_counter(unit.connection, self.device.hardware_id, self.given.counter, highest)
        tell_of(unit, "return_refused", self.device, {"serial": self.given.serial, "code": refusal.code})

    def _book(self, unit: Unit, going: Sequence[InstalledLine]) -> None:
        source = ledger.device_pool(self.device.hardware_id)
        target = ledger.project_pool(self.device.project_id)
        credited_project(unit, self.device)
        # The transfer's id comes from the file, so that a second return of it cannot even be booked (rule L10).
        transfer_id = f"return:{self.given.serial}"
        entries = [Entry(source, line.license_type, -line.quantity) for line in going]
        entries += [Entry(target, line.license_type, line.quantity) for line in going]
        ledger.post(unit, transfer_id, "return", entries, company_id=self.device.company_id)
        ended = lines.end(
            unit.connection,
            [line.id for line in going],
            state=lines.RETURNED,
            now=unit.now,
            transfer_id=transfer_id,
        )
        if ended != len(going):
            raise RuntimeError(f"{len(going)} lines were to be returned, {ended} were on the device.")

    def _answer(self, going: Sequence[InstalledLine], kept: Sequence[Kept]) -> Answer:
        sums: dict[str, int] = {}
        for line in going:
            sums[line.license_type] = sums.get(line.license_type, 0) + line.quantity
        credited = named(self.catalogue, sorted(sums.items()))
        answer = {
            "returned": [{**amount, "project_id": self.device.project_id} for amount in credited],
            "kept": kept,
            "receipt": new_id(),
            "hardware_id": self.device.hardware_id,
            "serial": self.given.serial,
        }
        return dump(ReturnReceipt, answer)

    def _stored(self, unit: Unit, answer: Answer) -> StoredReturn:
        return StoredReturn(
            id=answer["receipt"],
            serial=self.given.serial,
            hardware_id=self.device.hardware_id,
            company_id=self.device.company_id,
            project_id=self.device.project_id,
            signed_digest=self.given.digest,
            document=(self.given.signature + self.given.signed).hex(),
            answer=answer,
            returned_at=unit.now,
        )

    def _tell(self, unit: Unit, answer: Answer) -> None:
        data = {name: answer[name] for name in ("serial", "receipt", "returned", "kept")}
        for company_id in self.device.concerned(self.actor):
            # Who is not the record's company learns nothing of the record.
            own = company_id == self.device.company_id
            unit.emit(
                "licenses_returned",
                subject=self.device.hardware_id,
                data=data,
                company_id=company_id,
                project_id=self.device.project_id if own else None,
                device_id=self.device.device_id if own else None,
                hardware_id=self.device.hardware_id,
            )


def _same_company(connection: Connection, one: str, other: str) -> bool:
    """Tell whether two ids stand for one company, because one of them imported the other."""
    return aliases.current(connection, one) == aliases.current(connection, other)
