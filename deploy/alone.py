"""One installation, one set of processes: its ports and its data folder are taken before anything is started."""

from __future__ import annotations

import fcntl
import os
from typing import IO

from services.chassis.listening import check_free
from services.chassis.settings import Settings, SettingsError

LOCK_FILE = ".running"
FOLDERS = ("keys", "mail", "log", "staff", "heads", "admin")


def check_ports(settings: Settings) -> None:
    """Refuse to start when a port is taken.

    Raises:
        SettingsError: naming the port and its setting.
    """
    check_free(
        {
            "TESSERA_HTTP": settings.http,
            "TESSERA_ADMIN_HTTP": settings.admin_http,
            "TESSERA_PORTAL": settings.portal,
        }
    )


def hold(settings: Settings) -> IO[str]:
    """Hold the data folder as long as the returned file is open; the lock ends with this process, however it ends.

    Raises:
        SettingsError: another installation runs on it.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = settings.data_dir / LOCK_FILE
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        running = file.read().strip() or "unknown"
        file.close()
        raise SettingsError(
            f"{settings.data_dir} is in use by process {running}; stop it, or set TESSERA_DATA_DIR"
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def keep_private(settings: Settings) -> None:
    """Let this process make files for its user alone, and take the others' rights from those that it made before."""
    os.umask(0o077)
    settings.data_dir.chmod(0o700)
    # Only what is ours by name: a data folder may be set to a folder that holds other things too.
    own = [path for path in settings.data_dir.iterdir() if path.is_file()]
    for folder in (settings.data_dir / name for name in FOLDERS):
        own += [folder, *folder.rglob("*")] if folder.is_dir() else []
    for path in own:
        if not path.is_symlink() and path.stat().st_mode & 0o077:
            path.chmod(0o700 if path.is_dir() else 0o600)
