"""Keeps the test process on loopback: a connection to anywhere else fails the test, names are not looked up."""

from __future__ import annotations

import ipaddress
import socket
import sys

LOCAL_NAMES = frozenset({"", "localhost", "localhost.localdomain", "ip6-localhost"})

violations: list[str] = []


class LeftLoopback(Exception):
    """The test process tried to reach another machine."""


def is_local(host: str) -> bool:
    """Whether the host is this machine's loopback (the unspecified address leads there too)."""
    if host.casefold() in LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def _text(host: object) -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")


def _refuse_connection(address: object) -> None:
    # A path or bytes is a Unix socket, which cannot leave the machine.
    if isinstance(address, tuple) and not is_local(_text(address[0])):
        violations.append(f"{address[0]}:{address[1]}")
        raise LeftLoopback(f"tests may connect to loopback only, not to {address[0]}:{address[1]}")


def _refuse_lookup(host: object) -> None:
    name = _text(host)
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        if not is_local(name):
            raise socket.gaierror(socket.EAI_NONAME, f"tests look up no names: {name}") from None


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        _refuse_connection(arguments[1])
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        _refuse_lookup(arguments[0])


def guard() -> None:
    """Start watching; Python's audit hooks see every connection, whichever library makes it, and never end."""
    sys.addaudithook(_watch)
