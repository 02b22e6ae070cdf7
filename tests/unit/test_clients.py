"""Whom a request comes from, and what counts as one place."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.clients import address_group, client_address

PROXIES = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
addresses = st.ip_addresses().map(str)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.2.2.2", "198.51.100.7"),
        ("10.0.0.1", "10.3.3.3, 10.2.2.2", "10.3.3.3"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("fd00::1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7,", "10.0.0.1"),
        ("", "198.51.100.7", ""),
    ],
)
def test_only_what_trusted_proxies_wrote_is_believed(peer: str, forwarded: str, client: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == client


@given(addresses, st.lists(st.one_of(addresses, st.text(max_size=20)), max_size=5))
def test_without_trusted_proxies_the_peer_counts_whatever_it_claims(peer: str, claimed: list[str]) -> None:
    assert client_address(peer, ",".join(claimed), []) == peer


@given(st.text(max_size=60), st.ip_addresses(v=4).map(str))
def test_what_a_client_puts_in_front_changes_nothing(claimed: str, client: str) -> None:
    if any(ipaddress.ip_address(client) in network for network in PROXIES):
        client = "198.51.100.7"
    assert client_address("10.0.0.1", f"{claimed}, {client}", PROXIES) == client


def test_addresses_of_one_ipv6_network_are_one_place() -> None:
    assert address_group("2001:db8::1") == address_group("2001:db8::ffff:2") == "2001:db8::/64"
    assert address_group("2001:db8::1") != address_group("2001:db8:0:1::1")
    assert address_group("192.0.2.1") == address_group("::ffff:192.0.2.1") == "192.0.2.1"
    assert address_group("") == ""
