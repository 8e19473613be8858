"""Run the portal: `python -m portal`, set up by the TESSERA_ variables."""

import signal
import sys
import threading

from portal.app import Portal
from portal.server import make_server
from services.chassis import logs
from services.chassis.listening import cannot_listen
from services.chassis.settings import Settings, SettingsError


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logs.configure("portal", settings.log_level)
    host, port = settings.http
    gateway = f"http://{'127.0.0.1' if host in {'0.0.0.0', '::'} else host}:{port}"  # noqa: S104 - compared only
    try:
        server = make_server(*settings.portal, Portal(gateway))
    except OSError as error:
        sys.stderr.write(f"{cannot_listen(settings.portal, 'TESSERA_PORTAL', error)}\n")
        return 2

    def stop(*_: object) -> None:
        # shutdown waits for serve_forever, which runs in the thread that got the signal.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.serve_forever()
    server.server_close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
