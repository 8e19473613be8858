"""`tessera-admin`: what is done on the machine itself because no login can do it yet.

tessera-admin create-staff EMAIL            make a staff account; its password goes to a file only you can read
tessera-admin list-keys                     list the signing keys and their states
tessera-admin rotate-keys ROOM PURPOSE      make a new signing key; nobody is logged out
tessera-admin revoke-key ROOM PURPOSE KID   take an old signing key out of use for good
tessera-admin reconcile-events SOURCE       let the rooms follow SOURCE again after its database was restored
tessera-admin take-back-company ID EMAIL    give a company without people an administrator, after a restore of accounts
tessera-admin retry-parked-mails            send e-mails that could not be made
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, NoReturn, TypeVar

import typer

from deploy import keys
from deploy.installed import existing_settings, installed_settings, unreachable
from deploy.migrate import migrate
from deploy.reconcile import UnknownSourceError, reconcile_events, take_back_company, told
from deploy.staff import make_staff, release_mails
from services.chassis.errors import ServiceError
from services.chassis.keys.keyfiles import write_private
from services.chassis.keys.keystore import KeyStoreError
from services.chassis.settings import Settings, SettingsError
from services.history.audit import accept_restore
from services.history.heads import HeadsError

T = TypeVar("T")
_LEAD_SECONDS: Final = 60
# What checks signatures without asking goes on for longer than the rooms do.
_BELIEVED: Final = {
    ("licensing", "license-files"): "the rooms refuse it within two seconds, a device believes it until it next asks "
    "for its file or the keys",
    ("licensing", "license-text"): "text files are made again; devices accept the files that it made before",
    ("history", "history-heads"): "earlier heads stay valid, and it signs none after them",
}
_ADDRESS = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _commands() -> None:
    """Commands for whoever runs Tessera, on the machine that holds its data."""


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
    write_private(path, f"{password}\n".encode())
    sys.stdout.write(
        f"{email} is a staff account now; its password is in {path}.\n"
        "Its login can do nothing but switch on a second factor (POST /v1/me/otp), unless TESSERA_STAFF_OTP is "
        "0.\n"
    )


@app.command("list-keys")
def list_keys() -> None:
    """List the signing keys that can be rotated: room, purpose, state, since when they sign, id."""
    for line in _done(keys.listed):
        sys.stdout.write(f"{line.room:<10} {line.purpose:<14} {line.state:<12} {line.active_from}  {line.kid}\n")


@app.command("rotate-keys")
def rotate_keys(
    room: str, purpose: str, lead_seconds: Annotated[int, typer.Option(min=0, max=86_400)] = _LEAD_SECONDS
) -> None:
    """Make a new signing key for PURPOSE of ROOM, whether the installation is running or not; nobody is logged out.

    It is published at once and signs after LEAD_SECONDS. The previous key stays valid for checking; with 0, keys of
    PURPOSE that are waiting to sign are revoked.
    """
    kid = _done(lambda settings: keys.rotate(settings, room, purpose, timedelta(seconds=lead_seconds)))
    sys.stdout.write(
        f"{kid} of {room} is published and signs in {lead_seconds} s; the previous key stays valid for checking.\n"
    )


@app.command("revoke-key")
def revoke_key(room: str, purpose: str, kid: str) -> None:
    """Take an old signing key out of use for good, because it may have been stolen.

    Access tokens that it signed are refused within two seconds; people's sessions get new ones with their refresh
    tokens.
    """
    _done(lambda settings: keys.revoke(settings, room, purpose, kid))
    believed = _BELIEVED.get((room, purpose), "what it signed is believed for two more seconds at most")
    sys.stdout.write(f"{kid} is revoked: {believed}.\n")


@app.command("reconcile-events")
def reconcile(source: str, dry_run: Annotated[bool, typer.Option("--dry-run")] = False) -> None:
    """Let the rooms follow SOURCE again after its database was restored, whether the installation is running or not.

    Names every event that a room has applied and that SOURCE no longer knows, and takes back what others still know
    of it; --dry-run only reports.
    """
    found, settled = _done(lambda settings: reconcile_events(settings, source, dry_run=dry_run))
    sys.stdout.write(told(found, settled, dry_run=dry_run))
    if source == "history" and not dry_run and _done(lambda settings: accept_restore(settings, datetime.now(UTC))):
        sys.stdout.write("The heads that were signed before the restore are set aside; `make audit` says how many.\n")


@app.command("take-back-company")
def take_back(company: str, email: str) -> None:
    """Make EMAIL an administrator of COMPANY, an id; a company that a restore of accounts lost is made again first."""
    name = _done(lambda settings: take_back_company(settings, company, email))
    sys.stdout.write(f"{email} is an administrator of {name!r} ({company}); their next login or refresh knows it.\n")


@app.command("retry-parked-mails")
def retry_parked_mails() -> None:
    """Send the e-mails that could not be made, once the cause is fixed; `make audit` names them."""
    count = _done(release_mails)
    sys.stdout.write(f"{count} e-mails are tried again.\n")


def _done(act: Callable[[Settings], T]) -> T:
    settings = None
    try:
        settings = existing_settings()
        return act(settings)
    except ServiceError as error:
        _fail(unreachable(settings) if settings is not None and error.code == "service.unavailable" else str(error))
    except (
        SettingsError,
        KeyStoreError,
        keys.RotationError,
        UnknownSourceError,
        HeadsError,
        OSError,
    ) as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    sys.stderr.write(f"{text}\n")
    raise typer.Exit(1)


def main() -> None:
    """Run the command line."""
    os.umask(0o077)
    app()


if __name__ == "__main__":
    main()
