"""Settings of an installation as its commands see them: what a running fleet wrote down, then the environment.

A fleet starts its own broker and database with passwords made on the spot. It writes the settings that lead there into
`environment.json` in its data folder (mode 0600), so that `make audit` and `tessera-admin` need only the folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from services.chassis.settings import Settings, SettingsError

ENVIRONMENT_FILE = "environment.json"


def installed_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; what the environment says wins over what the fleet wrote down.

    Raises:
        SettingsError: a setting or the fleet's file cannot work.
    """
    given = dict(os.environ if environment is None else environment)
    path = Path(given.get("TESSERA_DATA_DIR", ".data")) / ENVIRONMENT_FILE
    if path.exists():
        try:
            written = {str(name): str(value) for name, value in json.loads(path.read_text()).items()}
        except (ValueError, AttributeError):
            raise SettingsError(
                f"{path} is not a JSON object of settings; delete it and start the fleet again."
            ) from None
        given = {**written, **given}
    return Settings.from_environment(given)


def existing_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of an installation that has been started before; nothing is made where there is none.

    Raises:
        SettingsError: there is no data folder or no key folder, or a setting cannot work.
    """
    settings = installed_settings(environment)
    for name, folder in (("TESSERA_DATA_DIR", settings.data_dir), ("TESSERA_KEY_DIR", settings.key_dir)):
        if not folder.is_dir():
            raise SettingsError(
                f"{name} is {folder}: there is no such folder, so nothing was done; name that of the installation, or "
                "start Tessera first."
            )
    return settings


def unreachable(settings: Settings) -> str:
    """Say which database does not answer to a command, and what to do."""
    address = settings.database_uri.rpartition("@")[2]
    return (
        f"A database does not answer: TESSERA_DATABASE_URI leads to {address}. Start its server, or correct the "
        "setting; that of a fleet runs only while `make fleet` does."
    )
