"""Time-based one-time passwords (RFC 6238: SHA-1, six digits, 30 s), reckoned by `cryptography`."""

import base64
import hmac
import secrets
from datetime import datetime
from typing import Final
from urllib.parse import quote

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

STEP_SECONDS: Final = 30
DIGITS: Final = 6
RECOVERY_CODES: Final = 10


def new_secret() -> bytes:
    """Return a new secret of 160 bits."""
    return secrets.token_bytes(20)


def step_of(now: datetime) -> int:
    """Return the number of the time step."""
    return int(now.timestamp()) // STEP_SECONDS


def code_at(secret: bytes, step: int) -> str:
    """Return the code of a time step (RFC 4226, section 5.3)."""
    return HOTP(secret, DIGITS, SHA1()).generate(step).decode()  # noqa: S303 - the RFC and the apps want SHA-1


def matching_step(secret: bytes, code: str, now: datetime) -> int | None:
    """Return the time step that a code belongs to: this one, the one before or the one after; None if none."""
    present = step_of(now)
    found = None
    for step in (present - 1, present, present + 1):
        # Compared in constant time and without leaving early.
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()):
            found = step
    return found


def uri(secret: bytes, email: str) -> str:
    """Return the address that authenticator apps read from a picture."""
    text = base32(secret)
    return f"otpauth://totp/Tessera:{quote(email)}?secret={text}&issuer=Tessera&digits={DIGITS}&period={STEP_SECONDS}"


def base32(secret: bytes) -> str:
    """Return the secret as people type it."""
    return base64.b32encode(secret).decode().rstrip("=")


def new_recovery_codes() -> list[str]:
    """Return ten codes of 80 bits each, in four groups."""
    codes = []
    for _ in range(RECOVERY_CODES):
        text = base64.b32encode(secrets.token_bytes(10)).decode().lower()
        codes.append("-".join(text[start : start + 4] for start in range(0, 16, 4)))
    return codes


def normalized_recovery_code(code: str) -> str:
    """Return a recovery code as it is hashed: lower case, no blanks and dashes."""
    return "".join(character for character in code.lower() if character.isalnum())
