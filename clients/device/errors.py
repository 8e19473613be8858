"""Every way in which the device client refuses or fails: a word, an exit code and a sentence each."""

from __future__ import annotations

from typing import Final

# Word -> (exit code, what it means and what to do). Append only: firmware scripts test these numbers.
EXIT_CODES: Final[dict[str, tuple[int, str]]] = {
    "unexpected": (1, "Something failed that should not have; the text says what."),
    "usage": (2, "The command line is wrong; see --help."),
    "unreachable": (3, "The portal does not answer. Nothing changed on the device; try again later."),
    "refused": (4, "The portal refused the request; its code and text are shown."),
    "login_refused": (
        5,
        "The portal does not accept this login; check the e-mail address and the password, or use an API token.",
    ),
    "malformed": (10, "This is not a license file of a known format; download it again and do not edit it."),
    "changed": (11, "The file was changed after it was issued; download it again."),
    "other_device": (12, "The file is for another device; download the file of this device."),
    "old_counter": (13, "The file is older than one that was installed before; download the current one."),
    "unknown_key": (14, "The file is signed with a key that is not among the published ones; update the keys."),
    "expired": (15, "The test license in the file has expired; it can no longer be installed."),
    "unreadable": (16, "The file is encrypted to a key other than this device's; fetch it again."),
    "not_ready": (20, "The device's folder lacks what is needed first, such as a key or a certificate."),
    "exists": (21, "Something is already there that would be overwritten."),
    "bad_certificate": (22, "The certificate is not for this device and its key, or its issuers do not fit."),
}


RETURNED_BEFORE = "licensing.already_returned"
# With one of these the portal says that this very return was never credited.
REFUSED_FOR_GOOD = frozenset(
    f"licensing.{word}"
    for word in (
        "return_malformed",
        "return_untrusted",
        "return_other_device",
        "return_bad_signature",
        "return_file_unknown",
        "return_not_encrypted",
        "return_newer_file",
        "return_file_void",
        "return_certificate_superseded",
        "return_other_certificate",
        "return_counter_too_high",
        "return_other_company",
        "not_returnable",
    )
)


class DeviceError(Exception):
    """A refusal or failure of the device client.

    Args:
        word: a key of `EXIT_CODES`.
        detail: one sentence with the values that matter.
        portal_code: the portal's own code when it refused, such as `licensing.no_certificate`.
    """

    def __init__(self, word: str, detail: str, portal_code: str | None = None) -> None:
        super().__init__(detail)
        self.word = word
        self.detail = detail
        self.portal_code = portal_code

    @property
    def exit_code(self) -> int:
        """Return the exit code of the command line for this refusal."""
        return EXIT_CODES[self.word][0]


def exit_code_table() -> str:
    """Return the table of exit codes as text for `--help`."""
    rows = ["0   done, or nothing to do"]
    rows += [f"{number:<3} {word}: {meaning}" for word, (number, meaning) in EXIT_CODES.items()]
    return "\n\n".join(rows)
