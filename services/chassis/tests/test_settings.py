"""Settings: what cannot work ends the start with a sentence, and the reference says what the code reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.chassis.settings import Settings, SettingsError

ROOT = Path(__file__).parents[3]
_ROW = re.compile(r"^\| `(TESSERA_\w+)` \| (.+?) \| .+ \|$", re.MULTILINE)


def documented() -> dict[str, str]:
    return dict(_ROW.findall((ROOT / "docs/reference/settings.md").read_text()))


def test_the_reference_lists_each_setting_that_is_read() -> None:
    source = (ROOT / "services/chassis/settings.py").read_text()
    read = set(re.findall(r'"(TESSERA_\w+)"', source)) | {"TESSERA_SMTP_URI"}
    assert set(documented()) == read


def test_the_defaults_of_the_reference_are_those_of_the_code() -> None:
    cells = {name: text.strip("`") for name, text in documented().items() if re.fullmatch(r"`[^`]+`", text)}
    data = cells["TESSERA_DATA_DIR"]
    written = {
        name: text.replace("TESSERA_DATA_DIR", data).replace("TESSERA_KEY_DIR", f"{data}/keys")
        for name, text in cells.items()
        if text not in documented()  # the name of another one means: the same as that
    }
    assert len(written) > 10
    assert repr(Settings.from_environment(written)) == repr(Settings.from_environment({}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TESSERA_HTTP", "8000"),
        ("TESSERA_HTTP", "127.0.0.1:http"),
        ("TESSERA_ADMIN_HTTP", "127.0.0.1:70000"),
        ("TESSERA_PORTAL", ":8080"),
        ("TESSERA_AMQP_URI", "http://secret@host"),
        ("TESSERA_DATABASE_URI", "mysql://secret@host"),
        ("TESSERA_TRUSTED_PROXIES", "10.0.0.0/40"),
        ("TESSERA_SMTP_URI", "mail.example.com:secret"),
        *(
            ("TESSERA_API_URL", value)
            for value in ("licenses.example", "http://", "http://[", "http://x:99999", "http://x?y")
        ),
        ("TESSERA_PUBLIC_URL", "nowhere"),
        ("TESSERA_DEMO", "maybe"),
        ("TESSERA_STAFF_OTP", "2"),
        ("TESSERA_CLAIMED_CERTIFICATES", "-"),
        ("TESSERA_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_setting_that_cannot_work_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as told:
        Settings.from_environment({name: value})
    assert name in str(told.value)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("name", ["TESSERA_DEMO", "TESSERA_STAFF_OTP", "TESSERA_LOG_LEVEL"])
def test_an_empty_switch_takes_its_default(name: str) -> None:
    assert repr(Settings.from_environment({name: " "})) == repr(Settings.from_environment({}))
