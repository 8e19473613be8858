"""Source addresses: what counts as one place, and whether an address lies in networks that a setting names."""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Iterable
from functools import lru_cache
from typing import Final

_BLOCK: Final = 64
"""Bits of an IPv6 address that one customer of a provider shares; whoever has one address has all under it (S24)."""


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return what counts as one place: an IPv4 address itself, of an IPv6 address its /64 (rule S24).

    Args:
        address: as the connection or a trusted proxy names it; what is no address counts as itself.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _BLOCK), strict=False))


def forwarded(text: str) -> str | None:
    """Return the address in one part of an X-Forwarded-For, without a port; None for what is no address.

    Args:
        text: such as `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::1` or `[2001:db8::1]:443`.
    """
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


class Networks(Container[str]):
    """Addresses and networks, such as `127.0.0.1`, `10.0.0.0/8` and `fd00::/8`.

    Args:
        texts: one address or network each.

    Raises:
        ValueError: a text is neither; the message names it.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(text) for text in sorted(texts))

    def __contains__(self, address: object) -> bool:
        """Tell whether an address lies in one of the networks; what is no address lies in none."""
        try:
            parsed = ipaddress.ip_address(str(address).partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any(candidate in network for network in self._networks for candidate in (parsed, mapped) if candidate)

    def __repr__(self) -> str:
        """Show the networks."""
        return f"Networks({[str(network) for network in self._networks]})"
