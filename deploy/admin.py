"""`tessera-admin`: what is done on the machine itself because no login can do it yet.

tessera-admin create-staff EMAIL    make a staff account; its password is written to a file only you can read
"""

from __future__ import annotations

import re
import sys

import typer

from deploy.installed import installed_settings, write_private
from deploy.migrate import migrate
from deploy.staff import make_staff
from services.chassis.errors import ServiceError
from services.chassis.settings import SettingsError

_ADDRESS = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _commands() -> None:
    """Commands for who runs Tessera, on the machine that holds its data."""


@app.command("create-staff")
def create_staff(email: str) -> None:
    """Make a staff account for EMAIL, or give the staff mark to the account that has this address.

    The password of a new account is made up and written to a file with mode 0600; it is never printed or logged.
    """
    if not _ADDRESS.fullmatch(email) or len(email) > 254:
        _fail(f"EMAIL is {email!r}: expected an address like ada@example.com.")
    try:
        settings = installed_settings()
        migrate(settings, ["accounts"])
        password = make_staff(settings, email)
    except (SettingsError, ServiceError) as error:
        _fail(str(error))
    if password is None:
        sys.stdout.write(f"{email} has the staff mark now and keeps its password.\n")
        return
    folder = settings.data_dir / "staff"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{re.sub(r'[^A-Za-z0-9.@_-]', '_', email)}.password"
    write_private(path, password + "\n")
    sys.stdout.write(f"{email} is a staff account now; its password is in {path}.\n")


def _fail(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    raise typer.Exit(1)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
