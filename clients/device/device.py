"""What a device does about its licenses; the command line is a thin layer over this library."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from clients.device.errors import REFUSED_FOR_GOOD, RETURNED_BEFORE, DeviceError
from clients.device.formats import (
    Keys,
    LicenseFile,
    open_license_file,
    read_keys,
    read_signed,
    write_proof,
    write_return,
)
from clients.device.portal import Portal
from clients.device.state import State

_MAC = re.compile(r"(?:[0-9A-F]{2}([-:.]?)(?:[0-9A-F]{2}\1){4}[0-9A-F]{2})|[0-9A-F]{6}|(?:[0-9A-F]{2}-){2}[0-9A-F]{2}")


@dataclass(frozen=True, slots=True)
class Installed:
    """The outcome of a fetch or an installation.

    Args:
        state: `installed`, `current` (was installed already) or `nothing` (the portal has nothing).
        file: the installed file, if there is one.
    """

    state: str
    file: LicenseFile | None


class Device:
    """One device with its folder.

    Args:
        folder: its state: key (mode 0600), certificate, pinned keys, installed file, highest counter.
    """

    def __init__(self, folder: Path) -> None:
        self.state = State(folder)

    @property
    def hardware_id(self) -> str:
        """Return the hardware id in canonical spelling."""
        return self.state.hardware_id

    def fingerprint(self) -> str:
        """Return the SHA-256 of the device's public key (SubjectPublicKeyInfo) in hexadecimal, for a person to compare.

        Raises:
            DeviceError: `not_ready` without a key.
        """
        key = self.state.key()
        if key is None:
            raise DeviceError("not_ready", "The device has no key yet; run keygen first.")
        return hashlib.sha256(_public_der(key.public_key())).hexdigest()

    def keygen(self, hardware_id: str, *, renew: bool = False) -> str:
        """Make the device's P-256 key, or with `renew` the next one, which takes over with its certificate.

        Returns:
            The canonical hardware id.

        Raises:
            DeviceError: `usage` for a malformed id, `exists` when there is a key already.
        """
        canonical = canonical_hardware_id(hardware_id)
        self.state.create(canonical)
        with self.state.locked():
            if self.state.key() is not None and not renew:
                raise DeviceError("exists", f"The device {canonical} has a key already; --renew makes the next one.")
            name = "key.next.pem" if self.state.key() is not None else "key.pem"
            self.state.save_key(name, ec.generate_private_key(ec.SECP256R1()))
        return canonical

    def certificate_request(self) -> str:
        """Return the certificate request in PEM, with the old key's proof behind it when this is a renewal.

        Raises:
            DeviceError: `not_ready` without a key.
        """
        current, following = self.state.key(), self.state.key("key.next.pem")
        key = following or current
        if key is None or current is None:
            raise DeviceError("not_ready", "The device has no key yet; run keygen first.")
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.hardware_id.replace("-", ""))])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        pem = request.public_bytes(serialization.Encoding.PEM).decode()
        if following is None or self.state.certificate() is None:
            return pem
        return pem + write_proof(current, self.hardware_id, _public_der(following.public_key()))

    def request_certificate(self, portal: Portal) -> x509.Certificate:
        """Ask the portal for a certificate and install it.

        Raises:
            DeviceError: `not_ready`, `unreachable`, `login_refused`, `refused`, `bad_certificate`.
        """
        with self.state.locked():
            pem = self.certificate_request().encode()
            self._remember_keys(portal)
            path = portal.device_path(self.hardware_id, "certificate-request")
            answer = portal.post(path, pem, "application/x-pem-file", _command_id("certificate", pem))
            return self._install_certificate(answer.body)

    def install_certificate(self, pem: bytes) -> x509.Certificate:
        """Install a certificate chain that was fetched by hand.

        Raises:
            DeviceError: `bad_certificate` when it is not for this device and its key.
        """
        with self.state.locked():
            return self._install_certificate(pem)

    def trust(self, jwk_set: bytes) -> list[str]:
        """Pin the published verification keys, for devices that never reach the portal. Returns the key ids.

        Raises:
            DeviceError: `malformed` when it is not a JWK set with a P-256 key.
        """
        with self.state.locked():
            return self._pin(jwk_set)

    def fetch(self, portal: Portal) -> Installed:
        """Fetch the current file from the portal, verify it and install it; what is refused changes nothing.

        Raises:
            DeviceError: as `open_license_file`, and `unreachable`, `login_refused`, `refused`, `not_ready`.
        """
        with self.state.locked():
            installed = self._usable()
            etag = self.state.record().get("etag") if installed else None
            answer = portal.get(portal.device_path(self.hardware_id, "license-file"), etag)
            if answer.status == 304:
                return Installed("current", installed)
            if answer.status == 204:
                return Installed("nothing", installed)
            if not self.state.verification_keys():
                self._remember_keys(portal)
            try:
                outcome = self._install(answer.body)
            except DeviceError as error:
                if error.word != "unknown_key":
                    raise
                # Keys rotate: ask once for the published ones, then the file stands or falls.
                self._remember_keys(portal)
                outcome = self._install(answer.body)
            self.state.save_record({**self.state.record(), "etag": answer.etag})
            return outcome

    def install(self, data: bytes) -> Installed:
        """Verify and install a file that was downloaded by hand.

        Raises:
            DeviceError: as `open_license_file`; `not_ready` without pinned keys.
        """
        with self.state.locked():
            return self._install(data)

    def verify(self, data: bytes, keys: Keys | None = None, now: datetime | None = None) -> LicenseFile:
        """Verify a file offline without installing it.

        Args:
            data: the file.
            keys: verification keys, default the pinned ones.
            now: time for expiry, default the clock.

        Raises:
            DeviceError: as `open_license_file`; `not_ready` without keys.
        """
        keys = keys or self.state.verification_keys()
        if not keys:
            raise DeviceError("not_ready", "The published verification keys are not there yet; fetch, or run trust.")
        record = self.state.record()
        file = open_license_file(
            data,
            hardware_id=self.hardware_id,
            keys=keys,
            device_key=self.state.key(),
            last_counter=int(record.get("last_counter", 0)),
            now=now,
        )
        if file.counter <= int(record.get("returned_counter", 0)):
            raise DeviceError(
                "old_counter", f"The file has the counter {file.counter} and was given back; it is never taken again."
            )
        if file.counter == int(record.get("last_counter", 0)) and file.serial != record.get("serial"):
            raise DeviceError("old_counter", f"Another file with the counter {file.counter} was installed before.")
        return file

    def installed(self) -> LicenseFile | None:
        """Return the installed file, verified again, None when there is none.

        Raises:
            DeviceError: `changed` or `unknown_key` when what is stored no longer verifies.
        """
        return self._stored("installed.signed")

    def make_return(self) -> bytes:
        """Give the installed file up: uninstall it for good and return the signed return as XML.

        The same bytes come again until the return was delivered or a new file is installed.

        Raises:
            DeviceError: `not_ready` without an installed encrypted file or without a certificate.
        """
        with self.state.locked():
            xml = self._make_return()
            # Who has it in hand may upload it anywhere.
            self.state.save_record({**self.state.record(), "return_sent": True})
            return xml

    def deliver_return(self, portal: Portal) -> dict[str, object]:
        """Make the return, or take the one not delivered yet, and deliver it. Returns the portal's receipt.

        A lost answer is harmless: the same bytes go out again and get the same receipt. When the portal refuses the
        return for good, the file is installed again, but only if no earlier attempt can have been credited.

        Raises:
            DeviceError: `not_ready`, `unreachable`, `login_refused`, `refused`.
        """
        with self.state.locked():
            xml = self._make_return()
            path = portal.device_path(self.hardware_id, "license-return")
            record = self.state.record()
            first = not record.get("return_sent")
            # Before it is sent: from here on it may be credited, whatever is cut off.
            self.state.save_record({**record, "return_sent": True})
            try:
                answer = portal.put(path, xml, "application/xml", _command_id("return", xml))
            except DeviceError as error:
                self._after_refusal(error, first=first)
                raise
            self._forget_return()
            try:
                receipt = json.loads(answer.body)
            except ValueError as error:
                raise DeviceError("unexpected", "The return was taken, but its receipt cannot be read.") from error
            return dict(receipt)

    def _make_return(self) -> bytes:
        pending = self.state.read("return.xml")
        if pending is not None:
            return pending
        file, key, certificate = self.installed(), self.state.key(), self.state.certificate()
        if file is None:
            raise DeviceError("not_ready", "There is no license file on the device that could be given back.")
        if file.form != "encrypted":
            raise DeviceError("not_ready", "The installed file was downloaded unencrypted; it cannot be given back.")
        if key is None or certificate is None:
            raise DeviceError("not_ready", "A return is signed by the device; it needs a certificate first.")
        record = self.state.record()
        der = certificate.public_bytes(serialization.Encoding.DER)
        xml = write_return(key, der, file, int(record["last_counter"]), secrets.token_hex(16))
        # The counter first: from here on the file cannot be installed again, whatever is cut off.
        self.state.save_record({**record, "returned_counter": file.counter})
        self.state.write("return.xml", xml)
        self.state.write("returned.signed", file.signed)
        self.state.remove("installed.signed")
        return xml

    def _after_refusal(self, error: DeviceError, *, first: bool) -> None:
        """Keep, forget or withdraw the return, by what its refusal says about an earlier attempt.

        Args:
            error: of this attempt.
            first: whether the return was never sent before, so that nothing can have been credited.
        """
        if error.portal_code == RETURNED_BEFORE:
            # Its licenses are back already; the file must never be used again.
            self._forget_return()
        elif error.word == "refused" and (first or error.portal_code in REFUSED_FOR_GOOD):
            signed = self.state.read("returned.signed")
            if signed is not None:
                self.state.write("installed.signed", signed)
            self.state.save_record({**self.state.record(), "returned_counter": 0, "etag": None})
            self._forget_return()
        elif error.word == "login_refused" and first:
            self.state.save_record({**self.state.record(), "return_sent": False})

    def _forget_return(self) -> None:
        self.state.save_record({**self.state.record(), "return_sent": False})
        self.state.remove("return.xml")
        self.state.remove("returned.signed")

    def _install(self, data: bytes) -> Installed:
        file = self.verify(data)
        record = self.state.record()
        known = self._usable()
        if known is not None and known.serial == file.serial:
            return Installed("current", known)
        self.state.write("installed.signed", file.signed)
        self.state.save_record({**record, "last_counter": file.counter, "serial": file.serial})
        self._forget_return()
        return Installed("installed", file)

    def _usable(self) -> LicenseFile | None:
        """Return the installed file if it still verifies: one of a revoked key must not stand in a new one's way."""
        try:
            return self.installed()
        except DeviceError as error:
            if error.word not in ("unknown_key", "changed"):
                raise
            return None

    def _stored(self, name: str) -> LicenseFile | None:
        signed = self.state.read(name)
        if signed is None:
            return None
        match = re.search(rb"\nkey: ([!-~]{1,100})\n", signed[64:])
        key = self.state.verification_keys().get(match.group(1).decode() if match else "")
        if key is None:
            raise DeviceError("unknown_key", "The installed file is signed with a key that is not a published one.")
        return read_signed(signed, key)

    def _remember_keys(self, portal: Portal) -> None:
        self._pin(portal.get("/v1/keys").body)

    def _pin(self, data: bytes) -> list[str]:
        try:
            parsed = json.loads(data)
        except ValueError as error:
            raise DeviceError("malformed", "The verification keys are not JSON.") from error
        keys = read_keys(parsed)
        if not keys:
            raise DeviceError("malformed", "There is no P-256 key among the verification keys.")
        self.state.write("keys.json", json.dumps(parsed, indent=1).encode())
        return sorted(keys)

    def _install_certificate(self, pem: bytes) -> x509.Certificate:
        try:
            chain = x509.load_pem_x509_certificates(pem)
        except (ValueError, x509.InvalidVersion) as error:
            raise DeviceError("bad_certificate", "The answer holds no PEM certificates.") from error
        leaf = chain[0]
        names = {"key.next.pem": self.state.key("key.next.pem"), "key.pem": self.state.key()}
        der = _public_der(leaf.public_key())
        used = next((name for name, key in names.items() if key and _public_der(key.public_key()) == der), None)
        if used is None:
            raise DeviceError("bad_certificate", "The certificate is for a key other than this device's.")
        common_names = [item.value for item in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if self.hardware_id not in common_names:
            raise DeviceError("bad_certificate", f"The certificate is for {common_names}, not for {self.hardware_id}.")
        for child, issuer in itertools.pairwise(chain):
            try:
                child.verify_directly_issued_by(issuer)
            except (InvalidSignature, ValueError, TypeError) as error:
                raise DeviceError("bad_certificate", "The certificates do not form a chain.") from error
        if leaf.not_valid_after_utc < datetime.now(UTC):
            raise DeviceError("bad_certificate", f"The certificate expired at {leaf.not_valid_after_utc:%Y-%m-%d}.")
        if used == "key.next.pem":
            next_key = names[used]
            assert next_key is not None
            self.state.save_key("key.pem", next_key)
        self.state.write("certificate.pem", pem)
        if used == "key.next.pem":
            self.state.remove("key.next.pem")
        return leaf


def canonical_hardware_id(text: str) -> str:
    """Return a MAC address as `00-90-33-08-20-20`; dashes, colons, dots, none, or the last three bytes are taken.

    Raises:
        DeviceError: `usage` when it is not one.
    """
    upper = text.strip().upper()
    if not upper.isascii() or not _MAC.fullmatch(upper):
        raise DeviceError("usage", f'"{text[:40]}" is not a hardware id such as 00-90-33-08-20-20.')
    digits = re.sub(r"[-:.]", "", upper)
    digits = digits if len(digits) == 12 else "009033" + digits
    return "-".join(digits[start : start + 2] for start in range(0, 12, 2))


def _command_id(purpose: str, data: bytes) -> str:
    return f"device-{purpose}-{hashlib.sha256(data).hexdigest()[:40]}"


def _public_der(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return b""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
