"""The egress guard's decisions: every address that work must not reach is refused, and the error says what to set."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.domain.errors import WorkError
from backend.outbound.addresses import embedded_ipv4, judge, kind_of, parse_networks, refusal_error
from backend.outbound.resolving import Guard, literal_address

REFUSED = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "10.255.255.255": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.0.1": "private",
    "169.254.1.1": "link-local",
    "169.254.169.254": "cloud metadata",
    "169.254.170.2": "cloud metadata",
    "100.100.100.200": "cloud metadata",
    "168.63.129.16": "cloud metadata",
    "100.64.0.1": "carrier-grade NAT",
    "100.127.255.255": "carrier-grade NAT",
    "198.18.0.1": "fake-IP",
    "198.19.255.255": "fake-IP",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "192.0.0.1": "reserved",
    "192.0.2.1": "reserved",
    "192.88.99.1": "reserved",
    "198.51.100.1": "reserved",
    "203.0.113.1": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "febf::1": "link-local",
    "fc00::1": "private",
    "fdff::1": "private",
    "fec0::1": "private",
    "fd00:ec2::254": "cloud metadata",
    "ff02::1": "multicast",
    "100::1": "reserved",
    "2001::1": "reserved",
    "2001:db8::1": "reserved",
    "3fff::1": "reserved",
    "4000::1": "reserved",
    "5f00::1": "reserved",
    "::127.0.0.1": "reserved",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:10.0.0.1": "private",
    "::ffff:169.254.169.254": "cloud metadata",
    "::ffff:198.18.0.1": "fake-IP",
    "::ffff:0:127.0.0.1": "reserved",
    "64:ff9b::7f00:1": "loopback",
    "64:ff9b::a00:1": "private",
    "64:ff9b::a9fe:a9fe": "cloud metadata",
    "64:ff9b:1::1": "private",
    "2002:7f00:1::": "loopback",
    "2002:a00:1::1": "private",
    "2002:c0a8:101::5": "private",
}
REACHABLE = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "2400:3200::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]


@pytest.mark.parametrize(("text", "kind"), REFUSED.items())
def test_an_address_that_is_not_public_is_refused_by_its_kind(text: str, kind: str) -> None:
    refusal = judge(ipaddress.ip_address(text), ())
    assert refusal is not None
    assert refusal.kind == kind


@pytest.mark.parametrize("text", REACHABLE)
def test_a_public_address_may_be_reached(text: str) -> None:
    assert judge(ipaddress.ip_address(text), ()) is None


@pytest.mark.parametrize("text", [text for text in REFUSED if "%" not in text])
def test_what_the_error_suggests_is_exactly_what_lets_the_address_through(text: str) -> None:
    address = ipaddress.ip_address(text)
    refusal = judge(address, ())
    assert refusal is not None
    assert judge(address, parse_networks([refusal.suggestion])) is None


def test_an_allowed_ipv4_network_allows_its_ipv6_forms_too() -> None:
    allowed = parse_networks(["10.1.0.0/16"])
    for text in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "2002:a01:203::1"):
        assert judge(ipaddress.ip_address(text), allowed) is None
    assert judge(ipaddress.ip_address("::ffff:10.2.0.1"), allowed) is not None


def test_an_allowed_network_opens_nothing_beside_it() -> None:
    allowed = parse_networks(["127.0.0.0/8", "fd12::/16"])
    assert judge(ipaddress.ip_address("fd12::1"), allowed) is None
    assert judge(ipaddress.ip_address("::1"), allowed) is not None
    assert judge(ipaddress.ip_address("10.0.0.1"), allowed) is not None


def test_the_error_names_host_address_and_the_whole_setting() -> None:
    allowed = parse_networks(["10.1.0.0/16"])
    refusal = judge(ipaddress.ip_address("127.0.0.1"), allowed)
    assert refusal is not None
    error = refusal_error("feeds.example", refusal, allowed)
    assert (error.code, error.permanent) == ("egress_refused", True)
    for language in ("en", "zh"):
        sentence = error.sentence(language)
        assert "feeds.example" in sentence
        assert "127.0.0.1" in sentence
        assert "CASCADE_EGRESS_ALLOW=10.1.0.0/16,127.0.0.0/8" in sentence


def test_a_fake_ip_answer_says_that_dns_answers_with_proxy_addresses() -> None:
    refusal = judge(ipaddress.ip_address("198.18.0.7"), ())
    assert refusal is not None
    error = refusal_error("feeds.example", refusal, ())
    assert error.code == "egress_fake_ip"
    assert "Your DNS answers with proxy addresses" in str(error)
    assert "CASCADE_EGRESS_ALLOW=198.18.0.7/32" in str(error)
    assert "代理地址" in error.sentence("zh")


def test_one_refused_address_among_many_refuses_the_host() -> None:
    guard = Guard(resolve=lambda _host, _port, _seconds: ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(WorkError, match=r"10\.0\.0\.1"):
        guard.addresses("two-faced.example", 443, 5)


def test_a_proxy_address_is_trusted_without_a_check() -> None:
    guard = Guard(resolve=lambda _host, _port, _seconds: ["10.0.0.1"], trusting=True)
    assert guard.addresses("proxy.example", 3128, 5) == ["10.0.0.1"]


def test_an_address_in_the_url_is_checked_without_asking_the_resolver() -> None:
    asked: list[str] = []

    def resolve(host: str, _port: int, _seconds: float) -> list[str]:
        asked.append(host)
        return []

    with pytest.raises(WorkError, match="loopback"):
        Guard(resolve=resolve).addresses("[::1]", 80, 5)
    assert asked == []
    assert literal_address("127.1") is None


# Short forms such as 127.1 or 0x7f000001 are names to us: the resolver turns them into addresses, which are checked.
@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "0177.0.0.1"])
def test_odd_spellings_of_loopback_are_refused_by_what_they_resolve_to(host: str) -> None:
    guard = Guard(resolve=lambda _host, _port, _seconds: ["127.0.0.1"])
    with pytest.raises(WorkError) as caught:
        guard.addresses(host, 80, 5)
    assert caught.value.code == "egress_refused"


V4 = st.ip_addresses(v=4)
ANY = st.one_of(V4, st.ip_addresses(v=6))


@given(ANY)
@example(ipaddress.ip_address("192.0.0.9"))
def test_whatever_python_calls_special_is_refused(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    special = (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    )
    if special and embedded_ipv4(address) is None:
        assert judge(address, ()) is not None


@given(V4)
def test_an_embedded_ipv4_address_is_judged_as_itself(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    forms = (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80 | 1)
    for form in forms:
        assert kind_of(ipaddress.IPv6Address(form)) == kind_of(address)


@given(ANY)
def test_every_refusal_can_be_allowed_and_changes_nothing_else(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    refusal = judge(address, ())
    if refusal is None:
        assert judge(address, parse_networks(["10.0.0.0/8"])) is None
    else:
        assert judge(address, parse_networks([refusal.suggestion])) is None


@given(ANY, st.integers(0, 128))
def test_an_allowed_network_always_wins(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int
) -> None:
    prefix = min(length, address.max_prefixlen)
    network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
    assert judge(address, (network,)) is None
