"""Whether staff need a second factor here: decided where it is known whether the demo world runs, and who can reach it.

The setting TESSERA_STAFF_OTP is 1 by default (decision 9). The demo world's staff have a password in a file and nobody
else who could help, so that on a machine of one's own the first start stays two commands.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from deploy.demo import DEMO, PENDING
from services.chassis.settings import Settings

STAFF_OTP: Final = "TESSERA_STAFF_OTP"


def with_staff_otp(settings: Settings, environment: Mapping[str, str], *, first_start: bool) -> Settings:
    """Return the settings with the default of TESSERA_STAFF_OTP that holds here (S19, decision 9).

    Args:
        settings: of the installation.
        environment: where they came from; a value that is given there wins.
        first_start: whether the data folder was empty.
    """
    if environment.get(STAFF_OTP, "").strip():
        return settings
    return replace(settings, staff_otp=not (_has_demo(settings, first_start) and _is_at_home(settings)))


def _has_demo(settings: Settings, first_start: bool) -> bool:
    there = any((settings.data_dir / name).exists() for name in (DEMO, PENDING))
    return settings.demo and (first_start or there)


def _is_at_home(settings: Settings) -> bool:
    """Tell whether nobody reaches this installation but who sits at the machine."""
    hosts = [host for host, _ in (settings.http, settings.admin_http, settings.portal)]
    return all(_is_loopback(host) for host in (*hosts, urlsplit(settings.public_url).hostname or ""))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
