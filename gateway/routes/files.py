"""Routes of license files, returns and device certificates, for people (room licensing)."""

from __future__ import annotations

from gateway import compose
from gateway.row import Right, Row
from services.chassis.fields import EmptyRequest
from services.devices.api import PossessionAnswer
from services.licensing.api import files as api
from services.licensing.api import possession
from services.projects.api import ADD, FILES, SEE

XML, PEM_REQUEST, PEM_CHAIN = "application/xml", "application/x-pem-file", "application/pem-certificate-chain"

ROWS = (
    Row(
        "POST", "/v1/devices/{device_id}/license-files", "licensing", "issue_license_file", Right.COMPANY,
        "Issue the license file of a device; 200 with the same bytes when nothing changed since the last.",
        power=FILES, request=api.IssueLicenseFileRequest, status=201, gives=(XML, "text/plain"),
        location="/v1/license-files/{serial}", compose=compose.document,
    ),
    Row(
        "GET", "/v1/license-files/{serial}", "licensing", "get_license_file", Right.COMPANY,
        "Get a license file again.",
        power=FILES, request=api.GetLicenseFileRequest, gives=(XML, "text/plain"), compose=compose.document,
    ),
    Row(
        "POST", "/v1/license-returns", "licensing", "return_licenses", Right.COMPANY,
        "Upload the return that a device made; the same bytes again get the same answer.",
        power=FILES, request=api.ReturnLicensesRequest, answer=api.ReturnReceipt, status=201, dry_run=True,
        takes=XML, raw="xml",
    ),
    Row(
        "POST", "/v1/devices/{device_id}/certificates", "licensing", "request_certificate", Right.COMPANY,
        "Certify the key of a device; a renewal adds the old key's proof as a second PEM block.",
        request=api.RequestCertificateRequest, status=201, takes=PEM_REQUEST, raw="pem",
        gives=(PEM_CHAIN,), compose=compose.document,
    ),
    Row(
        "POST", "/v1/devices/{device_id}/possession", "licensing", "prove_possession", Right.COMPANY,
        "Prove possession of a device by the number of its order, or by a text that its certified key signed.",
        power=ADD, request=possession.ProvePossessionRequest, answer=PossessionAnswer,
    ),
    Row(
        "GET", "/v1/devices/{device_id}/certificates", "licensing", "list_certificates", Right.COMPANY,
        "List all certificates that a device ever had, newest first.",
        power=SEE, request=api.ListCertificatesRequest, answer=api.Certificates,
    ),
    Row(
        "DELETE", "/v1/certificates/{serial}", "licensing", "revoke_certificate", Right.STAFF,
        "Revoke a certificate.",
        request=api.RevokeCertificateRequest, status=204,
    ),
    Row(
        "GET", "/v1/keys", "licensing", "signing_keys", Right.NONE,
        "The keys that license files are verified with, as a JWK set.",
        request=EmptyRequest, answer=api.VerificationKeys, compose=compose.public_keys,
        gives=("application/jwk-set+json",),
    ),
    Row(
        "GET", "/v1/device-ca.pem", "licensing", "device_ca", Right.NONE,
        "The certificates of the device authority.",
        request=EmptyRequest, gives=(PEM_CHAIN,), compose=compose.public_document,
    ),
    Row(
        "GET", "/v1/device-ca.crl", "licensing", "device_crl", Right.NONE,
        "The revocation list of the device authority (DER).",
        request=EmptyRequest, gives=("application/pkix-crl",), compose=compose.public_document,
    ),
)  # fmt: skip
