"""Decision 9: staff need a second factor, but where the demo world runs and nobody comes from elsewhere."""

from pathlib import Path

import pytest

from deploy.demo import DEMO, PENDING
from deploy.factor import with_staff_otp
from services.chassis.settings import Settings


def decided(folder: Path, given: dict[str, str], *, first_start: bool = True) -> bool:
    """Return whether staff need a second factor in an installation."""
    environment = {"TESSERA_DATA_DIR": str(folder), **given}
    settings = Settings.from_environment(environment)
    return with_staff_otp(settings, environment, first_start=first_start).staff_otp


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({}, False),
        ({"TESSERA_HTTP": "localhost:8000", "TESSERA_ADMIN_HTTP": "[::1]:8001"}, False),
        ({"TESSERA_HTTP": "127.9.9.9:8000", "TESSERA_PUBLIC_URL": "http://[::1]:8080/x"}, False),
        ({"TESSERA_HTTP": "0.0.0.0:8000"}, True),
        ({"TESSERA_HTTP": "[::]:8000"}, True),
        ({"TESSERA_HTTP": "10.0.0.1:8000"}, True),
        ({"TESSERA_ADMIN_HTTP": "0.0.0.0:8001"}, True),
        ({"TESSERA_PORTAL": "0.0.0.0:8080", "TESSERA_PUBLIC_URL": "http://127.0.0.1:8080"}, True),
        ({"TESSERA_PUBLIC_URL": "https://portal.example"}, True),
        ({"TESSERA_PUBLIC_URL": "http://127.0.0.1.portal.example"}, True),
        ({"TESSERA_DEMO": "0"}, True),
        ({"TESSERA_DEMO": "0", "TESSERA_STAFF_OTP": "0"}, False),
        ({"TESSERA_HTTP": "0.0.0.0:8000", "TESSERA_STAFF_OTP": "0"}, False),
        ({"TESSERA_STAFF_OTP": "1"}, True),
        ({"TESSERA_STAFF_OTP": " "}, False),
    ],
)
def test_only_the_demo_world_on_loopback_does_without(tmp_path: Path, given: dict[str, str], needed: bool) -> None:
    assert decided(tmp_path, given) is needed


def test_a_later_start_asks_whether_the_demo_world_is_there(tmp_path: Path) -> None:
    assert decided(tmp_path, {}, first_start=False) is True
    for name in (DEMO, PENDING):
        (tmp_path / name).touch()
        assert decided(tmp_path, {}, first_start=False) is False
        (tmp_path / name).unlink()


def test_a_process_that_knows_nothing_of_a_demo_world_demands_it(tmp_path: Path) -> None:
    assert Settings.from_environment({}).staff_otp is True
