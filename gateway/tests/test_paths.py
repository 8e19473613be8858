"""What can be nobody's id is read as the id that nobody has, and the rooms take that one (issue 6.5)."""

from __future__ import annotations

import pytest

from gateway.paths import NOBODYS_ID, read_parameter
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


def test_the_session_in_use_has_a_word_of_its_own() -> None:
    assert read_parameter("session_id", "current") == "current"
    assert read_parameter("device_id", "current") == NOBODYS_ID
