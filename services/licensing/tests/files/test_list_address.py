"""Where certificates say that the revocation list is."""

from __future__ import annotations

import pytest

from services.chassis.settings import Settings
from services.licensing.commands.authority import crl_url


@pytest.mark.parametrize(
    ("given", "reached"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"TESSERA_HTTP": "0.0.0.0:8000"}, "http://localhost:8000"),
        ({"TESSERA_HTTP": "[::1]:8000"}, "http://[::1]:8000"),
        ({"TESSERA_PUBLIC_URL": "https://portal.example"}, "http://127.0.0.1:8000"),
        ({"TESSERA_API_URL": "https://licenses.example/"}, "https://licenses.example"),
    ],
)
def test_certificates_name_the_gateway_and_not_the_portal(given: dict[str, str], reached: str) -> None:
    """A portal of another address was named, which answers 404 for the revocation list."""
    assert crl_url(Settings.from_environment(given)) == f"{reached}/v1/device-ca.crl"
