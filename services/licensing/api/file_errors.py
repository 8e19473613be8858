"""Codes of license files, returns and device certificates, and what each means; never changed once published."""

from __future__ import annotations

from typing import Final

ERRORS: Final[dict[str, str]] = {
    "licensing.no_certificate": "The device has no certificate, so nothing can be encrypted for it: request one for"
    " the device (POST /v1/devices/{id}/certificates), or download unencrypted with `confirm_no_return`.",
    "licensing.certificate_not_accepted": "The device's key was not certified for your company: compare its"
    " `fingerprint` with the one that the device shows, and send it once as `accept_certificate`.",
    "licensing.confirmation_needed": "An unencrypted download ends the right to return the licenses that are on the"
    " device now; send `confirm_no_return: true` if that is wanted.",
    "licensing.version_needed": "The device has licenses of both families; name the `version` of the file.",
    "licensing.never_encrypted": "Files of version 5 to 7 are never encrypted; ask for `encrypted: false`.",
    "licensing.nothing_to_issue": "There is no license on the device that belongs in this file; assign one first.",
    "licensing.file_not_found": "You have no license file with this serial number; compare it with the one in the "
    "device's licenses.",
    "licensing.device_rma": "The device is marked RMA: it takes no licenses and gets no files; ask the vendor to "
    "remove the mark.",
    "licensing.file_void": "The file was returned or voided; ask for the device's current file.",
    "licensing.return_malformed": "The upload is not a return as a device makes it; upload the file unchanged.",
    "licensing.return_other_device": "The return was made by another device than the one it is sent for; send it "
    "for the device that made it.",
    "licensing.return_untrusted": "The certificate in the return was not issued by this device authority; request "
    "one for the device here.",
    "licensing.return_certificate_revoked": "The certificate that signed the return was revoked; request a new one.",
    "licensing.return_certificate_superseded": "The return is signed with an earlier key of the device, which is no "
    "longer valid for it; make the return again on the device, with its present key.",
    "licensing.return_other_certificate": "The file was issued to a later certificate of the device than the one "
    "that signed the return; make the return again on the device, with its present key.",
    "licensing.return_other_company": "The file was issued to another company, and you did not prove that you have the"
    " device: let the device fetch its file with your login and return that one, or prove that you have it"
    " (POST /v1/devices/{id}/possession).",
    "licensing.return_counter_too_high": "The counter in the return is far above the highest that was issued; the "
    "device was given a file that is not from this portal: ask the vendor to look into it.",
    "licensing.return_bad_signature": "The return was changed after the device signed it; make it again on the device.",
    "licensing.return_file_unknown": "No license file with the serial number in the return was issued for this "
    "device; let the device install its current file, then return that one.",
    "licensing.return_not_encrypted": "The file was issued unencrypted; its licenses can never be returned.",
    "licensing.return_newer_file": "A newer file was issued for the device; let the device install it, then return "
    "that one.",
    "licensing.return_file_void": "The file was voided, so it cannot be returned; let the device install its "
    "current file, then return that one.",
    "licensing.already_returned": "This file was returned before; a file can be returned only once.",
    "licensing.not_returnable": "Nothing in this file can be returned: `kept` gives the reason for each license.",
    "licensing.request_malformed": "The upload is not a PEM certificate request (PKCS#10); upload the one that the "
    "device made.",
    "licensing.request_bad_signature": "The request is not signed by the key in it, so possession is not proven; "
    "let the device make a new request.",
    "licensing.request_wrong_key": "The key of a device certificate must be on the curve P-256; let the device make "
    "a new request with such a key.",
    "licensing.request_key_known": "This key already has a certificate for another device; make a new key.",
    "licensing.request_superseded": "Another request for the device, or a proof of possession, came before this one "
    "was signed, so it never will be; look at the device's certificates, and request a new one if you still need it.",
    "licensing.proof_needed": "The device has had a certificate: add the old key's proof, or ask the vendor.",
    "licensing.proof_invalid": "The proof is not signed by the device's present key for this request; let the device "
    "make a new proof.",
    "licensing.certificate_not_found": "There is no certificate with this serial number; compare it with the one in "
    "the device's certificates.",
}
