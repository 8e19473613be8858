"""The portal's only way to the system: HTTP calls to the gateway, each bounded in time."""

from dataclasses import dataclass
from typing import Any

import requests

_TIMEOUT_SECONDS = (3.0, 15.0)  # to connect; for the answer


class GatewayUnreachable(Exception):
    """The gateway did not answer; whether the call had an effect is unknown, its key makes a repeat safe."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the gateway: its status and its JSON body, {} when there is none."""

    status: int
    body: dict[str, Any]

    @property
    def is_success(self) -> bool:
        """Tell whether the call did what was asked."""
        return 200 <= self.status < 300

    @property
    def detail(self) -> str:
        """Return the gateway's own explanation of a refusal, in the language that was asked for."""
        return str(self.body.get("detail") or self.body.get("title") or self.status)


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway as one visitor sees it."""

    address: str
    language: str
    visitor: str

    def call(
        self, method: str, path: str, body: dict[str, str] | None = None, *, key: str = "", token: str = ""
    ) -> Answer:
        """Call a route.

        Args:
            key: idempotency key of the form, so that a second click is the first one again.
            token: access token of the visitor's session.

        Raises:
            GatewayUnreachable: there was no answer, or none of the gateway's.
        """
        headers = {"Accept-Language": self.language, "X-Forwarded-For": self.visitor}
        if key:
            headers["Idempotency-Key"] = key
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            with requests.Session() as session:
                session.trust_env = False  # the gateway is next door, whatever proxy leads to the world
                response = session.request(
                    method, self.address + path, json=body, headers=headers, timeout=_TIMEOUT_SECONDS,
                    allow_redirects=False,
                )  # fmt: skip
                content = response.json() if response.content else {}
        except (requests.RequestException, ValueError) as error:
            raise GatewayUnreachable(str(error)) from error
        return Answer(response.status_code, content if isinstance(content, dict) else {})
