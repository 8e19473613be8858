"""The published contract of license files, returns and device certificates (mission LIC-5, 7, 8, 10, 11).

What a request means to the ledger belongs to the ledger's own contract; the byte formats are in
`docs/reference/license-files.md`. Answers with `content` are bodies: the gateway sends `content` with
`content_type` instead of JSON (`content_base64` when the body is not text).
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Protocol

from marshmallow import Schema, ValidationError, fields, validate

from services.chassis.context import Call
from services.chassis.fields import AnswerSchema, EmptyRequest, Flag, Id, ListRequest, Opaque, RequestSchema
from services.chassis.texts import Text

# Largest uploads in characters: a return names one file and carries one certificate, a request carries one key.
MAX_RETURN = 65_536
MAX_REQUEST = 16_384
FIRST_SIGNED_VERSION = 8


class Fingerprint(fields.String):
    """SHA-256 as 64 hexadecimal digits, colons between the pairs allowed; read as lower case without them."""

    PATTERN: ClassVar = "^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$"

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=[validate.Length(64, 95), validate.Regexp(self.PATTERN)], **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        text = str(super()._deserialize(value, attr, data, **options))
        # `$` would let a line end pass.
        if not re.fullmatch(self.PATTERN, text) or "\n" in text:
            raise ValidationError("Send the SHA-256 fingerprint that the device shows: 64 hexadecimal digits.")
        return text.replace(":", "").lower()


class IssueLicenseFileRequest(RequestSchema):
    """Ask for the current license file of a device.

    `version` picks the family (5 to 7 text, from 8 on signed XML); needed only when the device has both.
    `accept_certificate` is the fingerprint of the device's key (SHA-256 of its SubjectPublicKeyInfo, hexadecimal) as
    the device shows it; needed once for a key that the company did not have certified.
    """

    device_id = Id(required=True)
    encrypted = Flag(required=True)
    version = fields.Integer(strict=True, load_default=None, allow_none=True, validate=validate.Range(5, 99))
    confirm_no_return = Flag(load_default=False)
    accept_certificate = Fingerprint(load_default=None, allow_none=True)


class GetLicenseFileRequest(RequestSchema):
    """Ask for a file again by its serial number."""

    serial = Id(required=True)


class LicenseFile(AnswerSchema):
    """One license file as a body; `created` is false when nothing had changed and the same bytes are given."""

    serial = fields.String(required=True)
    device_id = fields.String(required=True)
    hardware_id = fields.String(required=True)
    form = fields.String(validate=validate.OneOf(("text", "plain", "encrypted")))
    counter = fields.Integer()
    issued_at = fields.String()
    filename = fields.String()
    content_type = fields.String(required=True)
    content = fields.String(required=True)
    created = fields.Boolean()


class FetchDeviceFileRequest(RequestSchema):
    """A device asks for its file; `etag` is what it has (the value of If-None-Match)."""

    hardware_id = Text(1, 32, required=True)
    etag = Opaque(load_default=None, allow_none=True, validate=validate.Length(max=200))


class DeviceFile(AnswerSchema):
    """Answer to a device: `state` is `file` (200), `current` (304) or `nothing` (204)."""

    state = fields.String(required=True, validate=validate.OneOf(("file", "current", "nothing")))
    etag = fields.String(allow_none=True)
    serial = fields.String(allow_none=True)
    content_type = fields.String(allow_none=True)
    content = fields.String(allow_none=True)


class ReturnLicensesRequest(RequestSchema):
    """A return as the device made it, uploaded by hand, or only looked at with `dry_run`."""

    xml = Opaque(required=True, validate=validate.Length(1, MAX_RETURN))
    dry_run = Flag(load_default=False)


class ReturnDeviceLicensesRequest(RequestSchema):
    """A return that the device itself delivers."""

    hardware_id = Text(1, 32, required=True)
    xml = Opaque(required=True, validate=validate.Length(1, MAX_RETURN))


class ReturnedLine(AnswerSchema):
    """What went back, and to which project."""

    license_type = fields.String(required=True)
    name = fields.String(required=True)
    quantity = fields.Integer(required=True)
    project_id = fields.String(required=True)


class KeptLine(AnswerSchema):
    """What stays on the device; each `reason` is told in docs/reference/license-files.md, and by `detail`.

    Events have the reason alone.
    """

    license_type = fields.String(required=True)
    name = fields.String(required=True)
    quantity = fields.Integer(required=True)
    reason = fields.String(required=True)
    detail = fields.String()


class ReturnReceipt(AnswerSchema):
    """The outcome of a return; `receipt` is its id for ever, null in a rehearsal."""

    returned = fields.List(fields.Nested(ReturnedLine), required=True)
    kept = fields.List(fields.Nested(KeptLine), required=True)
    receipt = fields.String(required=True, allow_none=True)
    hardware_id = fields.String(required=True)
    serial = fields.String(required=True)


class RequestCertificateRequest(RequestSchema):
    """A certificate request in PEM; a renewal adds the proof, here or as a second PEM block behind the request."""

    device_id = Id(required=True)
    pem = Opaque(required=True, validate=validate.Length(1, MAX_REQUEST))
    proof = Opaque(load_default=None, allow_none=True, validate=validate.Length(1, MAX_REQUEST))


class RequestDeviceCertificateRequest(RequestSchema):
    """A certificate request that the device itself delivers."""

    hardware_id = Text(1, 32, required=True)
    pem = Opaque(required=True, validate=validate.Length(1, MAX_REQUEST))


class Certificate(AnswerSchema):
    """A certificate's facts; serial numbers are hexadecimal."""

    serial = fields.String(required=True)
    device_id = fields.String()
    hardware_id = fields.String()
    state = fields.String(validate=validate.OneOf(("current", "superseded", "revoked")))
    fingerprint = fields.String()
    issued_at = fields.String()
    expires_at = fields.String()
    revoked_at = fields.String(allow_none=True)


class IssuedCertificate(Certificate):
    """A new certificate: the chain in PEM, the device's first, the root last."""

    content_type = fields.String(required=True)
    content = fields.String(required=True)


class ListCertificatesRequest(ListRequest):
    """Ask for all certificates that a device ever had."""

    device_id = Id(required=True)


class ListedCertificate(Certificate):
    """A certificate as the company sees it.

    `acceptance`: `own` (requested by this company, or renewed from such a one), `accepted` (by its fingerprint) or
    `needed` before a file is encrypted to it.
    """

    acceptance = fields.String(required=True, validate=validate.OneOf(("own", "accepted", "needed")))


class Certificates(AnswerSchema):
    """Certificates of a device, newest first."""

    items = fields.List(fields.Nested(ListedCertificate), required=True)
    next = fields.String(required=True, allow_none=True)


class RevokeCertificateRequest(RequestSchema):
    """Revoke a certificate (staff)."""

    serial = Text(1, 64, required=True)
    reason = Text(0, 200, load_default="")


class VerificationKeys(AnswerSchema):
    """JWK set (RFC 7517) of the keys that license files are verified with."""

    keys = fields.List(fields.Dict(), required=True)


class Document(AnswerSchema):
    """A public document: text in `content`, or bytes in `content_base64`."""

    content_type = fields.String(required=True)
    content = fields.String()
    content_base64 = fields.String()


class LicenseFilesClient(Protocol):
    """What callers may ask about files, returns and certificates."""

    def issue_license_file(self, call: Call, **request: Any) -> dict[str, Any]:
        """Issue the current file of a device (`IssueLicenseFileRequest` -> `LicenseFile`)."""

    def get_license_file(self, call: Call, **request: Any) -> dict[str, Any]:
        """Give a file again (`GetLicenseFileRequest` -> `LicenseFile`)."""

    def return_licenses(self, call: Call, **request: Any) -> dict[str, Any]:
        """Take a return (`ReturnLicensesRequest` -> `ReturnReceipt`)."""

    def request_certificate(self, call: Call, **request: Any) -> dict[str, Any]:
        """Certify a device's key (`RequestCertificateRequest` -> `IssuedCertificate`)."""

    def list_certificates(self, call: Call, **request: Any) -> dict[str, Any]:
        """List a device's certificates (`ListCertificatesRequest` -> `Certificates`)."""

    def revoke_certificate(self, call: Call, **request: Any) -> dict[str, Any]:
        """Revoke a certificate (`RevokeCertificateRequest` -> `Certificate`)."""

    def fetch_device_file(self, call: Call, **request: Any) -> dict[str, Any]:
        """Give a device its file (`FetchDeviceFileRequest` -> `DeviceFile`)."""

    def return_device_licenses(self, call: Call, **request: Any) -> dict[str, Any]:
        """Take a device's return (`ReturnDeviceLicensesRequest` -> `ReturnReceipt`)."""

    def request_device_certificate(self, call: Call, **request: Any) -> dict[str, Any]:
        """Certify a device's key on its own request (`RequestDeviceCertificateRequest` -> `IssuedCertificate`)."""

    def signing_keys(self, call: Call) -> dict[str, Any]:
        """Publish the verification keys (`EmptyRequest` -> `VerificationKeys`)."""

    def device_ca(self, call: Call) -> dict[str, Any]:
        """Publish the device authority's certificates (`EmptyRequest` -> `Document`, PEM)."""

    def device_crl(self, call: Call) -> dict[str, Any]:
        """Publish the revocation list (`EmptyRequest` -> `Document`, DER in `content_base64`)."""


REQUESTS: dict[str, type[RequestSchema]] = {
    "issue_license_file": IssueLicenseFileRequest,
    "get_license_file": GetLicenseFileRequest,
    "return_licenses": ReturnLicensesRequest,
    "request_certificate": RequestCertificateRequest,
    "list_certificates": ListCertificatesRequest,
    "revoke_certificate": RevokeCertificateRequest,
    "fetch_device_file": FetchDeviceFileRequest,
    "return_device_licenses": ReturnDeviceLicensesRequest,
    "request_device_certificate": RequestDeviceCertificateRequest,
    "signing_keys": EmptyRequest,
    "device_ca": EmptyRequest,
    "device_crl": EmptyRequest,
}


class FiledLicense(Schema):
    """Event data: a license in a file."""

    license_type = fields.String(required=True)
    name = fields.String(required=True)
    quantity = fields.Integer(required=True)


class LicenseFileIssued(Schema):
    """Event data: a license file was issued; subject is the device's hardware id."""

    serial = fields.String(required=True)
    form = fields.String(required=True, metadata={"enum": ["text", "plain", "encrypted"]})
    counter = fields.Integer(required=True)
    licenses = fields.List(fields.Nested(FiledLicense), required=True)


class LicenseFileFetched(Schema):
    """Event data: a device fetched a file for the first time."""

    serial = fields.String(required=True)
    counter = fields.Integer(required=True)


class LicensesReturned(Schema):
    """Event data: a device gave licenses back."""

    serial = fields.String(required=True)
    receipt = fields.String(required=True)
    returned = fields.List(fields.Nested(ReturnedLine), required=True)
    kept = fields.List(fields.Nested(KeptLine), required=True)


class ReturnRefused(Schema):
    """Event data: a device's return was refused, with the code of the refusal."""

    serial = fields.String(required=True)
    code = fields.String(required=True)


class CertificateIssued(Schema):
    """Event data: a device got a certificate."""

    serial = fields.String(required=True)
    expires_at = fields.String(required=True)
    renewal = fields.Boolean(required=True)


class CertificateAccepted(Schema):
    """Event data: a company accepted a device's key that it had not certified, by its fingerprint."""

    serial = fields.String(required=True)
    fingerprint = fields.String(required=True)


class CertificateRevoked(Schema):
    """Event data: a device's certificate was revoked."""

    serial = fields.String(required=True)
    reason = fields.String(required=True)


class PaidDeviceUsedElsewhere(Schema):
    """Event data: another company did something with a device that this one paid licenses for (S9); never says who.

    `licenses` is what this company paid for: of all that is on the device, or of what went back with `returned`. What
    is about the device's key (`certified`, `revoked`, `proven`) is told to who has the device too, though they paid for
    nothing: then it is empty.
    """

    what = fields.String(
        required=True,
        metadata={"enum": ["added", "filed", "downloaded_plain", "returned", "certified", "revoked", "proven"]},
    )
    licenses = fields.List(fields.Nested(FiledLicense), required=True)


EVENTS: dict[str, type[Schema]] = {
    "license_file_issued": LicenseFileIssued,
    "license_file_fetched": LicenseFileFetched,
    "licenses_returned": LicensesReturned,
    "return_refused": ReturnRefused,
    "certificate_issued": CertificateIssued,
    "paid_device_used_elsewhere": PaidDeviceUsedElsewhere,
    "certificate_accepted": CertificateAccepted,
    "certificate_revoked": CertificateRevoked,
}
"""Event type -> schema of its data."""
