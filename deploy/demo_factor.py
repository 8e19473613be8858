"""The second factor with which the demo world is made where staff need one: switched on first, off at the end.

So `demo.json` says the same everywhere, and who logs in with it is led to a second factor of their own.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.accounts import otp
from services.chassis.keys.keyfiles import write_private

if TYPE_CHECKING:
    from deploy.demo import Door

_SECRET: Final = "otp_secret"  # noqa: S105 - the name of a field


class DemoFactor:
    """The second factor of the staff account that makes the demo world.

    Args:
        path: the choices of the demo world; the secret is noted there before it counts, so that a later start has it.
        choices: what stands there.
    """

    def __init__(self, path: Path, choices: Mapping[str, Any]) -> None:
        self._path = path
        self._choices = dict(choices)

    @property
    def is_begun(self) -> bool:
        """Tell whether an earlier start may have switched it on."""
        return _SECRET in self._choices

    def login(self, staff: Door) -> bool:
        """Log staff in with all powers; returns False when the login is refused."""
        person = self._choices["staff"]
        tokens = staff.login(person["email"], person["password"])
        if tokens is not None:
            self._switch_on(staff, tokens["refresh_token"])
            return True
        # It is on since an earlier start; a code works once, so that the next one may have to be waited for.
        deadline = time.monotonic() + 2 * otp.STEP_SECONDS
        while self.is_begun and time.monotonic() < deadline:
            if staff.login(person["email"], person["password"], self._code()) is not None:
                return True
            time.sleep(otp.STEP_SECONDS / 3)
        return False

    def end(self, staff: Door) -> None:
        """Switch it off: the demo world is there."""
        staff.send("DELETE", "/v1/me/otp", {}, f"otp-off-{secrets.token_hex(8)}", 204)

    def _switch_on(self, staff: Door, refresh_token: str) -> None:
        started = staff.send("POST", "/v1/me/otp", {}, f"otp-{secrets.token_hex(8)}", 201)
        self._choices[_SECRET] = started["secret"]
        write_private(self._path, json.dumps(self._choices).encode())
        staff.send("POST", "/v1/me/otp/confirmations", {"otp": self._code()}, f"otp-on-{secrets.token_hex(8)}", 200)
        staff.refresh(refresh_token)

    def _code(self) -> str:
        text = str(self._choices[_SECRET])
        secret = base64.b32decode(text + "=" * (-len(text) % 8))
        return otp.code_at(secret, int(time.time()) // otp.STEP_SECONDS)
