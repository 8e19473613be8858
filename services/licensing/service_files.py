"""The part of licensing's nameko class that serves license files, returns and device certificates. No rules in here."""

from __future__ import annotations

from typing import Any

from services.chassis.bus.rpc import Client
from services.chassis.context import Call
from services.chassis.fields import EmptyRequest
from services.chassis.keys.keystore import KeyStore
from services.chassis.service.entrypoints import rpc
from services.chassis.service.providers import DatabaseProvider, SettingsProvider
from services.licensing.api import files as api
from services.licensing.commands import authority, certificates, files, returns


class FileEntrypoints:
    """Entrypoints of files, returns and certificates; `LicensingService` inherits them."""

    database = DatabaseProvider()
    settings = SettingsProvider()
    devices = Client("devices")

    @property
    def keystore(self) -> KeyStore:
        """Return licensing's own keys."""
        keystore: KeyStore | None = self.database.keystore
        assert keystore is not None
        return keystore

    @property
    def _rules(self) -> certificates.Rules:
        return certificates.Rules(authority.crl_url(self.settings), self.settings.claimed_certificates)

    @rpc(api.IssueLicenseFileRequest)
    def issue_license_file(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Issue the current license file of a device, or give the same one again (LIC-5).

        Raises: devices.device_not_found, access.power_needed, licensing.device_rma, licensing.nothing_to_issue,
            licensing.version_needed, licensing.never_encrypted, licensing.no_certificate,
            licensing.certificate_not_accepted, licensing.confirmation_needed, licensing.rule_violated,
            licensing.paid_by_holder, devices.possession_needed.
        Emits: license_file_issued, certificate_accepted, paid_device_used_elsewhere.
        """
        return files.issue_license_file(self.database, self.keystore, call, request, devices=self.devices)

    @rpc(api.GetLicenseFileRequest)
    def get_license_file(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Give an issued file again, byte for byte.

        Raises: licensing.file_not_found, access.power_needed, licensing.device_rma, licensing.file_void,
            devices.possession_needed.
        """
        return files.get_license_file(self.database, self.keystore, call, request, devices=self.devices)

    @rpc(api.FetchDeviceFileRequest)
    def fetch_device_file(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Give a device its current encrypted file (LIC-7).

        Raises: accounts.scope_needed, devices.malformed_id, devices.device_not_found, access.power_needed,
            licensing.device_rma, licensing.no_certificate, licensing.certificate_not_accepted,
            licensing.rule_violated.
        Emits: license_file_issued, license_file_fetched, paid_device_used_elsewhere.
        """
        return files.fetch_device_file(self.database, self.keystore, call, request, devices=self.devices)

    @rpc(api.ReturnLicensesRequest)
    def return_licenses(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Take a return that a person uploads (LIC-8).

        Raises: licensing.return_malformed, licensing.return_untrusted, licensing.return_other_device,
            licensing.return_certificate_revoked, licensing.return_certificate_superseded,
            licensing.return_other_certificate, licensing.return_other_company, licensing.return_counter_too_high,
            licensing.return_bad_signature, licensing.return_file_unknown, licensing.return_not_encrypted,
            licensing.return_newer_file, licensing.return_file_void, licensing.already_returned,
            licensing.not_returnable, access.power_needed, devices.device_not_found.
        Emits: licenses_returned, return_refused, paid_device_used_elsewhere.
        """
        return returns.return_licenses(self.database, call, request, devices=self.devices)

    @rpc(api.ReturnDeviceLicensesRequest)
    def return_device_licenses(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Take a return that the device itself delivers (LIC-8).

        Raises: as `return_licenses`, and accounts.scope_needed, devices.malformed_id.
        Emits: licenses_returned, return_refused, paid_device_used_elsewhere.
        """
        return returns.return_device_licenses(self.database, call, request, devices=self.devices)

    @rpc(api.RequestCertificateRequest)
    def request_certificate(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Certify a device's key on a person's request (LIC-10).

        Raises: devices.device_not_found, licensing.request_malformed, licensing.request_bad_signature,
            licensing.request_wrong_key, licensing.request_key_known, licensing.request_superseded,
            licensing.proof_needed, licensing.proof_invalid, licensing.device_rma, accounts.right_needed,
            devices.possession_needed,
            access.power_needed.
        Emits: certificate_issued, certificate_revoked, paid_device_used_elsewhere.
        """
        return certificates.request_certificate(
            self.database,
            self.keystore,
            call,
            request,
            devices=self.devices,
            rules=self._rules,
        )

    @rpc(api.RequestDeviceCertificateRequest)
    def request_device_certificate(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Certify a device's key on its own request (LIC-10).

        Raises: as `request_certificate`, and accounts.scope_needed, devices.malformed_id.
        Emits: certificate_issued, certificate_revoked, paid_device_used_elsewhere.
        """
        return certificates.request_device_certificate(
            self.database,
            self.keystore,
            call,
            request,
            devices=self.devices,
            rules=self._rules,
        )

    @rpc(api.ListCertificatesRequest)
    def list_certificates(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List all certificates that a device ever had, newest first.

        Raises: devices.device_not_found.
        """
        return certificates.list_certificates(self.database, call, request, devices=self.devices)

    @rpc(api.RevokeCertificateRequest)
    def revoke_certificate(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Revoke a certificate, by staff.

        Raises: accounts.staff_needed, licensing.certificate_not_found.
        Emits: certificate_revoked, paid_device_used_elsewhere.
        """
        return certificates.revoke_certificate(self.database, call, request)

    @rpc(EmptyRequest, public=True)
    def signing_keys(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Publish the keys that license files are verified with."""
        return authority.signing_keys(self.keystore)

    @rpc(EmptyRequest, public=True)
    def device_ca(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Publish the device authority's certificates."""
        return authority.device_ca(self.database, self.keystore)

    @rpc(EmptyRequest, public=True)
    def device_crl(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Publish the revocation list."""
        return authority.device_crl(self.database, self.keystore)
