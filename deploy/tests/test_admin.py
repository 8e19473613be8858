"""`tessera-admin`: keys are listed, rotated and revoked by commands that tell what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.admin import app
from services.chassis.keys.keystore import Algorithm, KeyStore
from services.chassis.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TESSERA_DATA_DIR", str(tmp_path))
    return Settings.from_environment()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def states(room: str) -> list[str]:
    return [line.split()[2] for line in run("list-keys").stdout.splitlines() if line.split()[0] == room]


def test_a_key_is_rotated_published_first_and_the_old_one_revoked(settings: Settings) -> None:
    old = KeyStore.from_settings(settings, "accounts").active("tokens", "Ed25519").kid
    assert states("accounts") == ["active"]
    done = run("rotate-keys", "accounts", "tokens")
    assert done.exit_code == 0
    assert "signs in 60 s" in done.stdout
    assert states("accounts") == ["active", "published"]
    refused = run("revoke-key", "accounts", "tokens", old)
    assert refused.exit_code == 1
    assert "rotate first" in refused.stderr
    run("rotate-keys", "accounts", "tokens", "--lead-seconds", "0")
    assert run("revoke-key", "accounts", "tokens", old).exit_code == 0
    # The one that waited was made before, and would have signed again after the good one.
    assert states("accounts") == ["revoked", "active", "revoked"]


def test_revoking_tells_who_believes_the_key_for_longer(settings: Settings) -> None:
    cases: tuple[tuple[str, str, Algorithm, str], ...] = (
        ("accounts", "tokens", "Ed25519", "for two more seconds at most"),
        ("licensing", "license-files", "ES256", "a device believes it until it next asks"),
    )
    for room, purpose, algorithm, text in cases:
        old = KeyStore.from_settings(settings, room).active(purpose, algorithm).kid
        run("rotate-keys", room, purpose, "--lead-seconds", "0")
        assert text in run("revoke-key", room, purpose, old).stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("rotate-keys", "accounts", "fingerprints"), "there are: accounts tokens, licensing license-files"),
        (("rotate-keys", "projects", "tokens"), "There is no key projects tokens"),
        (("revoke-key", "accounts", "tokens", "nonsense"), "There is no key nonsense"),
        (("rotate-keys", "accounts", "tokens", "--lead-seconds", "-1"), "--lead-seconds"),
    ],
)
def test_what_cannot_be_done_is_told(settings: Settings, arguments: tuple[str, ...], text: str) -> None:
    KeyStore.from_settings(settings, "accounts").active("tokens", "Ed25519")
    result = run(*arguments)
    assert result.exit_code != 0
    assert text in result.output
