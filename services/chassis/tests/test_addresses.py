"""What counts as one place, and whose word about the place of others counts (issue 6.2, rule S24)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.addresses import Networks, forwarded, network_of
from services.chassis.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_what_counts_as_one_place(address: str, place: str) -> None:
    assert network_of(address) == place


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "10.255.0.1", "fd00::7", "fd00::7%eth0"])
def test_an_address_in_a_network(address: str) -> None:
    assert address in Networks({"127.0.0.1", "10.0.0.0/8", "fd00::/8"})


@pytest.mark.parametrize("address", ["127.0.0.2", "11.0.0.1", "fe00::7", "unknown", "", "10.0.0.0/8"])
def test_an_address_outside_of_networks(address: str) -> None:
    assert address not in Networks({"127.0.0.1", "10.0.0.0/8", "fd00::/8"})
    assert address not in Networks()


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    assert isinstance(network_of(text), str)
    assert text not in Networks({"192.0.2.0/24"}) or text.startswith(("192.0.2.", "::ffff:"))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("unknown", None),
        ("_hidden", None),
        ("192.0.2.7/24", None),
        ("[", None),
        ("", None),
    ],
)
def test_what_a_proxy_forwards_has_no_port(text: str, address: str | None) -> None:
    assert forwarded(text) == address


def test_the_setting_takes_networks_and_names_what_is_none() -> None:
    settings = Settings.from_environment({"TESSERA_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8"})
    assert "10.9.8.7" in settings.trusted_proxies
    for wrong in ("10.0.0.1/8", "proxy.example.org", "10.0.0.0/40"):
        with pytest.raises(SettingsError) as caught:
            Settings.from_environment({"TESSERA_TRUSTED_PROXIES": wrong})
        assert "TESSERA_TRUSTED_PROXIES" in str(caught.value)
        assert wrong in str(caught.value)
