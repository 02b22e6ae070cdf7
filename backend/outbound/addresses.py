"""Pure decisions of the egress guard: which addresses work may reach, and what to say when it may not.

The networks are those of the IANA special-purpose registries (RFC 6890 and later), written out here
because what `ipaddress` calls private differs between Python releases.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from backend.domain.errors import WorkError

IPv4 = ipaddress.IPv4Address
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FAKE_IP = "fake-IP"
"""The kind of 198.18.0.0/15, which proxies in fake-IP mode answer with."""

# The first match names the kind, so narrow networks stand before wide ones.
_REFUSED: tuple[tuple[str, str], ...] = (
    ("cloud metadata", "169.254.169.254/32 169.254.170.2/32 100.100.100.200/32 168.63.129.16/32"),
    ("unspecified", "0.0.0.0/8"),
    ("loopback", "127.0.0.0/8"),
    ("link-local", "169.254.0.0/16"),
    ("private", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"),
    ("carrier-grade NAT", "100.64.0.0/10"),
    (FAKE_IP, "198.18.0.0/15"),
    ("multicast", "224.0.0.0/4"),
    ("reserved", "192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4"),
    ("cloud metadata", "fd00:ec2::254/128 fd20:ce::254/128"),
    ("unspecified", "::/128"),
    ("loopback", "::1/128"),
    ("link-local", "fe80::/10"),
    ("private", "fc00::/7 fec0::/10 64:ff9b:1::/48"),
    ("multicast", "ff00::/8"),
    ("reserved", "2001::/23 2001:db8::/32 3fff::/20"),
)
_KINDS: tuple[tuple[str, Network], ...] = tuple(
    (kind, ipaddress.ip_network(network)) for kind, networks in _REFUSED for network in networks.split()
)
_SUGGESTED_WHOLE = {"loopback": (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))}

_UNICAST_V6 = ipaddress.ip_network("2000::/3")
_MAPPED = ipaddress.ip_network("::ffff:0:0/96")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.ip_network("2002::/16")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one address may not be reached, and the network that the setting would have to name."""

    address: Address
    kind: str
    suggestion: str


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The allowed networks. Raises `ValueError` for a text that is no network."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def embedded_ipv4(address: Address) -> IPv4 | None:
    """The IPv4 address that an IPv4-mapped, NAT64 or 6to4 address leads to."""
    if isinstance(address, IPv4):
        return None
    if address in _MAPPED or address in _NAT64:
        return IPv4(int(address) & 0xFFFF_FFFF)
    if address in _SIX_TO_FOUR:
        return IPv4(int(address) >> 80 & 0xFFFF_FFFF)
    return None


def kind_of(address: Address) -> str | None:
    """What makes the address unfit as a target, else `None`."""
    inner = embedded_ipv4(address)
    if inner is not None:
        return kind_of(inner)
    for kind, network in _KINDS:
        if address.version == network.version and address in network:
            return kind
    if isinstance(address, IPv4) or address in _UNICAST_V6:
        return None
    return "reserved"


def judge(address: Address, allowed: Sequence[Network]) -> Refusal | None:
    """Whether the address is refused. What an address embeds counts as the address itself."""
    plain = _without_zone(address)
    target = embedded_ipv4(plain) or plain
    for network in allowed:
        if any(network.version == each.version and each in network for each in (plain, target)):
            return None
    kind = kind_of(target)
    return None if kind is None else Refusal(plain, kind, _suggest(target, kind))


def _without_zone(address: Address) -> Address:
    # ipaddress keeps `%eth0` as part of the value, and then no network contains the address.
    return address if isinstance(address, IPv4) else ipaddress.IPv6Address(int(address))


def _suggest(address: Address, kind: str) -> str:
    """Loopback as a whole, anything else the single address: a setting should open no more than is needed."""
    for network in _SUGGESTED_WHOLE.get(kind, ()):
        if network.version == address.version:
            return str(network)
    return str(ipaddress.ip_network(address))


def refusal_error(host: str, refusal: Refusal, allowed: Sequence[Network]) -> WorkError:
    """The error for a refused target; `setting` is the whole line to write, what is allowed already included."""
    networks = ",".join([*(str(network) for network in allowed), refusal.suggestion])
    return WorkError(
        "egress_fake_ip" if refusal.kind == FAKE_IP else "egress_refused",
        permanent=True,
        host=host,
        address=str(refusal.address),
        kind=refusal.kind,
        setting=f"CASCADE_EGRESS_ALLOW={networks}",
    )
