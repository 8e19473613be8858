"""One process of the fleet: `python -m deploy.role accounts|projects|devices|licensing|history|gateway`.

All roles come from one image and one command; what a process is, its argument says. Databases are migrated before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace

# Sockets must be green before anything else is imported that may open one (rule D1).
from services.chassis.bus import green  # noqa: F401  # isort: skip

from deploy.rooms import GATEWAY, ROOMS, service_class
from services.chassis import logs
from services.chassis.keys.keystore import KeyStore, KeyStoreError
from services.chassis.service.runner import serve
from services.chassis.settings import Settings, SettingsError

MAILER = "accounts"
ROLES = (*ROOMS, GATEWAY)


def main(arguments: Sequence[str]) -> int:
    """Run one role until SIGTERM; exit code 2 means that it could not be started as asked."""
    if len(arguments) != 1 or arguments[0] not in ROLES:
        sys.stderr.write(f"usage: python -m deploy.role {'|'.join(ROLES)}\n")
        return 2
    (role,) = arguments
    try:
        settings = Settings.from_environment()
        if role != GATEWAY and "TESSERA_ADMIN_HTTP" not in os.environ:
            # The default is the gateway's; several rooms may share a machine.
            settings = replace(settings, admin_http=("127.0.0.1", 0))
        if role == MAILER:
            settings.check_mail_server()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if settings.is_embedded:
        sys.stderr.write("A single role needs a broker to talk to the others: set TESSERA_AMQP_URI to amqp://...\n")
        return 2
    os.umask(0o077)
    logs.configure(role, settings.log_level)
    try:
        KeyStore.from_settings(settings, role).check()
        return serve(settings, [service_class(role)], admin=None if role == GATEWAY else role)
    except (SettingsError, KeyStoreError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
