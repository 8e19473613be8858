"""The part of licensing's audit about files: every stored file and certificate is verified again (L14, I6, I11).

It shares the formats with the commands, and no decision: what was stored must stand on its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from services.chassis.data.audit.checks import UNREADABLE, Check, Flaws, stream
from services.chassis.data.audit.sorted import Scratch, in_order, merged
from services.chassis.data.rows import part_of
from services.chassis.keys.keystore import KeyStore, KeyStoreError
from services.licensing.certificates.requests import load_key
from services.licensing.commands.authority import FILE_KEY, TEXT_KEY
from services.licensing.commands.files import text_lines, vendor_secret
from services.licensing.files import envelope, payload, signing, text
from services.licensing.files.returns import RETURN_PURPOSE, counter_of, names_of
from services.licensing.models import FileCounter, LicenseFileRow, LicenseReturn, Transfer
from services.licensing.store import certificates as certificate_store
from services.licensing.store import files as store
from services.licensing.store.files import StoredFile, StoredReturn

_PAGE = 500


def check_files(connection: Connection, keystore: KeyStore) -> list[Check]:
    """Return all checks of files and returns.

    Args:
        connection: of one snapshot.
        keystore: licensing's keys; only public parts and the text files' secret are used.
    """
    return [
        _check_files(connection, keystore),
        _check_counters(connection),
        _check_returns(connection),
        _check_floors(connection),
    ]


def _stored_files(connection: Connection) -> Iterator[StoredFile]:
    after = ""
    while page := store.files_after(connection, after, _PAGE):
        yield from page
        after = page[-1].serial


def _check_files(connection: Connection, keystore: KeyStore) -> Check:
    """The bytes of every signed file are those recorded, and its signature verifies (I11).

    A file that was recorded and not signed is no flaw: nobody has it, and asking for it again finishes it (L9).
    """
    flaws, checked = Flaws(), 0
    for stored in _stored_files(connection):
        checked += 1
        try:
            for flaw in _file_flaws(connection, keystore, stored):
                flaws.add(f"file {stored.serial} of {stored.hardware_id}: {flaw}")
        except (*UNREADABLE, KeyStoreError) as error:
            flaws.add(f"file {stored.serial} of {stored.hardware_id}: {error}")
    return Check("stored license files verify", checked, flaws.told())


def _file_flaws(connection: Connection, keystore: KeyStore, stored: StoredFile) -> Iterator[str]:
    signed = stored.payload
    if hashlib.sha256(signed).hexdigest() != stored.payload_digest:
        yield "what was to be signed is not what was recorded"
    if stored.content is None:
        return
    if hashlib.sha256(stored.content.encode()).hexdigest() != stored.content_digest:
        yield "its bytes are not those that were stored first"
    if (stored.form == store.ENCRYPTED) != (stored.certificate_serial is not None):
        yield f"it is {stored.form} and was made for the certificate {stored.certificate_serial}"
    elif stored.certificate_serial is not None:
        certificate = certificate_store.find(connection, stored.certificate_serial)
        if certificate is None or certificate.hardware_id != stored.hardware_id:
            yield f"it was made for the certificate {stored.certificate_serial}, which is none of the device's"
        elif envelope.read(stored.content.encode()).recipient != envelope.key_name(load_key(certificate.public_key)):
            yield f"it is encrypted to another key than that of the certificate {stored.certificate_serial}"
    if stored.form == store.TEXT:
        if stored.signature is not None:
            yield "it is a text and has a signature"
        secret = vendor_secret(keystore.kept(TEXT_KEY, stored.kid))
        if text.check_text(stored.content, stored.hardware_id, secret) != text_lines(stored):
            yield "its text has other lines than were recorded"
        return
    # A key that was revoked since signed this while it was good: its public part is kept for this (S28).
    key = keystore.kept(FILE_KEY, stored.kid).private.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    if not signing.verify(key, stored.signature or b"", signed):
        yield "its signature does not fit"
    yield from _envelope_flaws(connection, stored, stored.content, key)


def _envelope_flaws(
    connection: Connection, stored: StoredFile, content: str, key: ec.EllipticCurvePublicKey
) -> Iterator[str]:
    said = payload.decode(stored.payload)
    recorded = (
        stored.serial,
        stored.hardware_id,
        stored.counter,
        stored.company_id,
        stored.form,
        stored.kind,
        stored.kid,
    )
    if (said.serial, said.device, said.counter, said.company, said.form, said.kind, said.key) != recorded:
        yield "its signed content says something else than its row"
    sums: dict[str, int] = {}
    for line in store.lines_of(connection, stored.serial):
        sums[line.license_type] = sums.get(line.license_type, 0) + line.quantity
    if {line.license_type: line.quantity for line in said.lines} != sums:
        yield "its signed licenses are not the recorded lines"
    file = envelope.read(content.encode())
    if (file.form, file.company, file.device, file.serial, file.key) != (
        said.form,
        said.company,
        said.device,
        said.serial,
        said.key,
    ):
        yield "its envelope says something else than its signed content"
    if file.form == store.PLAIN:
        # What is inside an encrypted file only the device can read; its digest was checked above.
        opened, _ = envelope.open_file(file, {stored.kid: key}, None)
        if opened != said:
            yield "its envelope holds another content"


def _check_counters(connection: Connection) -> Check:
    """No file of a device has a higher counter than the device's own, and the newest one has exactly that."""
    flaws, checked, file = Flaws(), 0, LicenseFileRow
    newest = (
        sa.select(file.hardware_id, sa.func.max(file.counter).label("counter")).group_by(file.hardware_id).subquery()
    )
    same = newest.c.hardware_id == FileCounter.hardware_id
    counters = sa.select(FileCounter.hardware_id, FileCounter.counter, newest.c.counter.label("highest"))
    for row in stream(connection, counters.outerjoin(newest, same)):
        checked += 1
        if (row.highest or 0) != row.counter:
            flaws.add(f"the counter of {row.hardware_id} is {row.counter}, its newest file has another")
    without = sa.select(newest.c.hardware_id).outerjoin(FileCounter, same).where(FileCounter.hardware_id.is_(None))
    for (hardware_id,) in stream(connection, without):
        flaws.add(f"{hardware_id} has files and no counter")
    return Check("counters match the newest files", checked, flaws.told())


def _check_returns(connection: Connection) -> Check:
    """I6: every return has its returned file, its booking and the device's signature, and the other way."""
    flaws, checked, file, given = Flaws(), 0, LicenseFileRow, LicenseReturn
    transfer_id = sa.literal("return:") + given.serial
    joined = sa.select(given.__table__).add_columns(file.state.label("state"), Transfer.kind.label("kind"))
    statement = joined.outerjoin(file, file.serial == given.serial).outerjoin(Transfer, Transfer.id == transfer_id)
    for row in stream(connection, statement):
        checked += 1
        with flaws.reading(f"return {row.id}"):
            for flaw in _return_flaws(connection, part_of(row, StoredReturn)):
                flaws.add(f"return {row.id}: {flaw}")
        if row.state != store.RETURNED:
            flaws.add(f"return {row.id}: its file {row.serial} is not returned")
        if row.kind != "return":
            flaws.add(f"return {row.id}: nothing was booked")
    returned = sa.select(file.serial).where(
        file.state == store.RETURNED, ~sa.exists().where(given.serial == file.serial)
    )
    for (serial,) in stream(connection, returned):
        flaws.add(f"file {serial} is returned and has no return")
    booked = sa.select(Transfer.id).where(Transfer.kind == "return", ~sa.exists().where(transfer_id == Transfer.id))
    for (identifier,) in stream(connection, booked):
        flaws.add(f"transfer {identifier} has no return")
    return Check("files are returned at most once", checked, flaws.told())


def _return_flaws(connection: Connection, given: StoredReturn) -> Iterator[str]:
    signed = _signed(given.document)
    if hashlib.sha256(signed).hexdigest() != given.signed_digest or not signed.startswith(RETURN_PURPOSE.encode()):
        yield "its document is not what was accepted"
    elif not _signed_by_device(connection, given):
        yield f"no certificate of {given.hardware_id} signed it"
    elif names_of(signed) != (given.hardware_id, given.serial):
        yield f"its document returns the file {names_of(signed)[1]} of {names_of(signed)[0]}"


def _check_floors(connection: Connection) -> Check:
    """A device's floor is a counter that it named in a return, and none above its own files is forgotten (L10)."""
    flaws, checked, given = Flaws(), 0, LicenseReturn
    counters = sa.select(FileCounter.hardware_id, FileCounter.counter, FileCounter.floor)
    documents = sa.select(given.hardware_id, given.document)
    with Scratch() as named:
        for row in stream(connection, documents):
            with flaws.reading(f"a return of {row.hardware_id}"):
                named.add(row.hardware_id, str(counter_of(_signed(row.document))))
        ordered = stream(connection, counters.order_by(in_order(connection, FileCounter.hardware_id)))
        for hardware_id, found, texts in merged(((row.hardware_id, row) for row in ordered), named.items()):
            said = [int(text) for text in texts]
            for row in found:
                checked += 1
                # The next file must be above what the device has: it refuses any other.
                forgotten = [counter for counter in said if counter > max(row.counter, row.floor)]
                if forgotten or row.floor not in (0, *said):
                    flaws.add(f"the floor of {hardware_id} is {row.floor}, its returns named {sorted(set(said))}")
    return Check("return floors are what devices named", checked, flaws.told())


def _signed(document: str) -> bytes:
    return bytes.fromhex(document)[signing.SIGNATURE_BYTES :]


def _signed_by_device(connection: Connection, given: StoredReturn) -> bool:
    document = bytes.fromhex(given.document)
    signature, signed = document[: signing.SIGNATURE_BYTES], document[signing.SIGNATURE_BYTES :]
    return any(
        signing.verify(load_key(certificate.public_key), signature, signed, one_form=False)
        for certificate in certificate_store.of_device(connection, given.hardware_id)
    )
