"""Where a request comes from: its peer, or whom trusted proxies name."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

# Whoever has one IPv6 address has usually all of these.
IPV6_PREFIX = 64

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """Who sent the request: the peer, or whom trusted proxies name in `X-Forwarded-For`, read from its end.

    A name that no trusted proxy wrote is worth nothing, so reading stops at the first one that is not trusted.
    """
    found = peer
    names = [name.strip() for name in forwarded.split(",")] if forwarded else []
    for name in reversed(names):
        if not _within(found, trusted):
            break
        address = _address(name)
        if address is None:
            break
        found = str(address)
    return found


def address_group(address: str) -> str:
    """What counts as one place: an IPv4 address, or the /64 network of an IPv6 one."""
    parsed = _address(address)
    if parsed is None:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))


def came_by_https(peer: str, forwarded: str, trusted: Sequence[Network]) -> bool:
    """Whether a trusted proxy says in `X-Forwarded-Proto` that its client used HTTPS."""
    return forwarded.partition(",")[0].strip().casefold() == "https" and _within(peer, trusted)


def _within(address: str, networks: Sequence[Network]) -> bool:
    parsed = _address(address)
    return parsed is not None and any(parsed in network for network in networks)


def _address(text: str) -> Address | None:
    # Some proxies add the port: 192.0.2.1:4711, [2001:db8::1]:4711.
    bare = text.partition("]")[0].removeprefix("[")
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
