"""What can be nobody's id is read as the id that nobody has, and the rooms take that one (issue 6.5)."""

from __future__ import annotations

import pytest

from gateway.paths import NOBODYS_ID, read_parameter
from gateway.tests.conftest import Gateway
from services.chassis.fields import Id
from services.devices.api import NOBODYS_HARDWARE, NOBODYS_NUMBER, canonical_hardware_id, canonical_order_number

OWN = "01a20e9a-983c-7311-8216-81980ffce01c"
ODD = ("\ufffd", "a" * 200, "x y?", "{}", "\u0663\u0663", "\u00fc", "\u202e")


def test_the_ids_of_nobody_are_ids() -> None:
    assert Id().deserialize(NOBODYS_ID) == NOBODYS_ID
    assert canonical_hardware_id(NOBODYS_HARDWARE) == NOBODYS_HARDWARE
    assert canonical_order_number(NOBODYS_NUMBER) == NOBODYS_NUMBER


@pytest.mark.parametrize(
    ("name", "own", "nobodys"),
    [
        ("device_id", OWN, NOBODYS_ID),
        ("id", OWN, NOBODYS_ID),
        ("session_id", OWN, NOBODYS_ID),
        ("serial", "0F-1A", NOBODYS_ID),
        ("hardware_id", "00-90-33-08-20-20", NOBODYS_HARDWARE),
        ("number", "ORDER-1", NOBODYS_NUMBER),
    ],
)
def test_what_can_be_no_id_is_nobodys(name: str, own: str, nobodys: str) -> None:
    assert read_parameter(name, own) == own
    for value in (*ODD, f"{own}\n", f" {own}", f"{own}\u200b", f"{own}\x00", ""):
        assert read_parameter(name, value) == nobodys, value


def test_the_serial_number_of_a_file_is_an_id() -> None:
    for value in ("x", "0F-1A", OWN.upper(), OWN[:-1], OWN.replace("-", "")):
        assert read_parameter("serial", value, is_id=True) == NOBODYS_ID, value
        assert read_parameter("serial", value) == value
    assert read_parameter("serial", OWN, is_id=True) == OWN


@pytest.mark.parametrize("serial", ["x", OWN.upper(), OWN[:-1]])
def test_a_malformed_serial_number_of_a_file_is_asked_for_as_nobodys(gateway: Gateway, serial: str) -> None:
    gateway.ask("GET", f"/v1/license-files/{serial}")
    ((_, arguments),) = gateway.rooms.named("get_license_file")
    assert arguments["serial"] == NOBODYS_ID


def test_the_session_in_use_has_a_word_of_its_own() -> None:
    assert read_parameter("session_id", "current") == "current"
    assert read_parameter("device_id", "current") == NOBODYS_ID
