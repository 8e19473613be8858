"""The command line `tessera-device`: what a device's own web page does, for a shell and for firmware writers' tests."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.device.device import Device, Installed
from clients.device.errors import DeviceError, exit_code_table
from clients.device.formats import LicenseFile, read_keys
from clients.device.portal import Portal
from clients.device.possession import prove_possession as word_of

app = typer.Typer(
    name="tessera-device",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Make a device's key, get its certificate, fetch, verify, show and return its licenses.",
    epilog="Exit codes:\n\n" + exit_code_table(),
)

StateOption = Annotated[
    Path, typer.Option("--state", envvar="TESSERA_DEVICE_STATE", help="Folder of the device; the key in it is secret.")
]
PortalOption = Annotated[
    str, typer.Option("--portal", envvar="TESSERA_DEVICE_PORTAL", help="Address of the gateway, https://...")
]
LoginOption = Annotated[str, typer.Option("--login", envvar="TESSERA_DEVICE_LOGIN", help="E-mail of the account.")]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        help="File with the password or an API token of scope device; otherwise TESSERA_DEVICE_PASSWORD or a prompt.",
    ),
]
DEFAULT_STATE = Path(".tessera-device")
DEFAULT_PORTAL = "http://127.0.0.1:8000"


def _told(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a refusal into one line on standard error and its exit code."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except DeviceError as error:
            typer.echo(f"{error.word}: {error.detail}", err=True)
            raise typer.Exit(error.exit_code) from error
        except OSError as error:
            typer.echo(f"unexpected: {error.strerror}: {error.filename}", err=True)
            raise typer.Exit(1) from error

    return run


def _portal(url: str, login: str, password_file: Path | None) -> Portal:
    if password_file is not None:
        password = password_file.read_text().strip()
    elif "TESSERA_DEVICE_PASSWORD" in os.environ:
        password = os.environ["TESSERA_DEVICE_PASSWORD"]
    else:
        password = typer.prompt("Password", hide_input=True, err=True)
    return Portal(url, login, password)


@app.command()
@_told
def keygen(
    hardware_id: Annotated[str, typer.Argument(help="The device's MAC address, any usual spelling.")],
    state: StateOption = DEFAULT_STATE,
    renew: Annotated[
        bool, typer.Option("--renew", help="Make the next key; it takes over with its certificate.")
    ] = False,
) -> None:
    """Make the device's P-256 key (file mode 0600)."""
    canonical = Device(state).keygen(hardware_id, renew=renew)
    typer.echo(f"The key of {canonical} is in {state}.")


@app.command()
@_told
def fingerprint(state: StateOption = DEFAULT_STATE) -> None:
    """Print the fingerprint of the device's key, to compare with what the portal shows before accepting it."""
    typer.echo(Device(state).fingerprint())


@app.command("request-certificate")
@_told
def request_certificate(
    state: StateOption = DEFAULT_STATE,
    portal: PortalOption = DEFAULT_PORTAL,
    login: LoginOption = "",
    password_file: PasswordFileOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the request to a file and ask nobody.")] = None,
    chain: Annotated[Path | None, typer.Option("--install", help="Install a chain fetched by hand.")] = None,
) -> None:
    """Get the device's certificate from the portal; a renewal is proven with the old key."""
    device = Device(state)
    if out is not None:
        out.write_text(device.certificate_request())
        typer.echo(f"The request is in {out}; upload it and install the answer with --install.")
        return
    if chain is not None:
        certificate = device.install_certificate(chain.read_bytes())
    else:
        certificate = device.request_certificate(_portal(portal, login, password_file))
    typer.echo(f"Certificate {certificate.serial_number:x} for {device.hardware_id} is installed,")
    typer.echo(f"valid until {certificate.not_valid_after_utc:%Y-%m-%d}.")


@app.command("prove-possession")
@_told
def prove_possession(
    record: Annotated[str, typer.Argument(help="Id of your company's record of the device (GET /v1/devices).")],
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Print the device's signed statement that you have it in hand; send it as `proof` of possession within a day."""
    typer.echo(word_of(Device(state), record), nl=False)


@app.command()
@_told
def fetch(
    state: StateOption = DEFAULT_STATE,
    portal: PortalOption = DEFAULT_PORTAL,
    login: LoginOption = "",
    password_file: PasswordFileOption = None,
) -> None:
    """Fetch the current license file, verify, decrypt and install it."""
    _tell_installed(Device(state).fetch(_portal(portal, login, password_file)))


@app.command()
@_told
def install(
    file: Annotated[Path, typer.Argument(help="A license file downloaded by hand.", exists=True, dir_okay=False)],
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Verify and install a license file without the portal."""
    _tell_installed(Device(state).install(file.read_bytes()))


@app.command()
@_told
def verify(
    file: Annotated[Path, typer.Argument(help="A license file.", exists=True, dir_okay=False)],
    state: StateOption = DEFAULT_STATE,
    keys: Annotated[Path | None, typer.Option("--keys", help="JWK set of /v1/keys; by default the pinned one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Verify a license file offline without installing it."""
    given = None
    if keys is not None:
        try:
            given = read_keys(json.loads(keys.read_bytes()))
        except ValueError as error:
            raise DeviceError("malformed", f"{keys} is not JSON.") from error
    _tell_file(Device(state).verify(file.read_bytes(), given), as_json)


@app.command()
@_told
def trust(
    keys: Annotated[Path, typer.Argument(help="JWK set, as /v1/keys publishes it.")], state: StateOption = DEFAULT_STATE
) -> None:
    """Pin the published verification keys, for a device without a network."""
    for kid in Device(state).trust(keys.read_bytes()):
        typer.echo(f"Trusted: {kid}")


@app.command()
@_told
def show(
    state: StateOption = DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the installed licenses; they are verified again."""
    file = Device(state).installed()
    if file is None:
        raise DeviceError("not_ready", "There is no license file on the device.")
    _tell_file(file, as_json)


@app.command("return")
@_told
def return_licenses(
    state: StateOption = DEFAULT_STATE,
    portal: PortalOption = DEFAULT_PORTAL,
    login: LoginOption = "",
    password_file: PasswordFileOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the return to a file for upload by hand.")] = None,
) -> None:
    """Give the licenses back: uninstall the file for good and deliver the signed return."""
    device = Device(state)
    if out is not None:
        out.write_bytes(device.make_return())
        typer.echo(f"The return is in {out}; the licenses are no longer on the device. Upload it in the portal.")
        return
    receipt = device.deliver_return(_portal(portal, login, password_file))
    for verb in ("returned", "kept"):
        lines = receipt.get(verb)
        for line in lines if isinstance(lines, list) else []:
            reason = f" ({line['reason']})" if "reason" in line else ""
            typer.echo(f"{verb:9} {line.get('quantity')} x {line.get('name')}{reason}")
    typer.echo(f"Receipt {receipt.get('receipt')}")


def _tell_installed(outcome: Installed) -> None:
    if outcome.state == "nothing":
        typer.echo("The portal has no license file for this device.")
        return
    typer.echo("Installed." if outcome.state == "installed" else "The current file is installed already.")
    if outcome.file is not None:
        _tell_file(outcome.file, as_json=False)


def _tell_file(file: LicenseFile, as_json: bool) -> None:
    if as_json:
        record = {
            "device": file.device,
            "serial": file.serial,
            "counter": file.counter,
            "issued_at": file.issued_at.isoformat(),
            "expires_at": file.expires_at.isoformat() if file.expires_at else None,
            "kind": file.kind,
            "form": file.form,
            "key": file.key,
            "licenses": [
                {"license_type": one.license_type, "name": one.name, "version": one.version, "quantity": one.quantity}
                for one in file.licenses
            ],
        }
        typer.echo(json.dumps(record, indent=2))
        return
    until = f"TEST LICENSE until {file.expires_at:%Y-%m-%d %H:%M} UTC" if file.expires_at else "no expiry"
    typer.echo(f"Device {file.device}  file {file.serial}  counter {file.counter}  {file.form}  {until}")
    for one in file.licenses:
        typer.echo(f"{one.quantity:>9} x {one.name}")


def main() -> None:
    """Run the command line."""
    app(prog_name="tessera-device")
    sys.exit(0)


if __name__ == "__main__":
    main()
