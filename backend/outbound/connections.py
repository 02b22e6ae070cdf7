"""urllib3 connections that connect only to checked addresses and keep the exchange's deadline."""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from backend.domain.errors import WorkError
from backend.outbound.exchange import Exchange, current
from backend.outbound.resolving import Guard

FIRST_ADDRESS_SECONDS = 5.0
"""How long the first of several addresses may take before the next one gets its chance."""

# Pools of one host each; connections beyond a pool's size work, but are not kept. A new pool costs with its size.
KEPT_HOSTS = 16
KEPT_CONNECTIONS = 16
# Through a proxy all hosts without TLS share one pool.
KEPT_PROXY_CONNECTIONS = 64


@functools.cache
def verified_context() -> ssl.SSLContext:
    """The one TLS context of the process: the system's certificates and certifi's, both checked."""
    context = ssl.create_default_context()
    # A slim image has no system certificates at all.
    context.load_verify_locations(certifi.where())
    return context


class _DeadlineReader(io.RawIOBase):
    """Reads from the socket, each time waiting no longer than what is left of the exchange.

    A socket's own time-out starts anew with every byte, so a byte a second would hold it forever.
    """

    def __init__(self, sock: socket.socket, exchange: Exchange) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._exchange = exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._exchange.remaining())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineSocket:
    """The little of a socket that `http.client.HTTPResponse` uses."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._sock, current.get()), 32768)


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(_DeadlineSocket(sock), *args, **kwargs)  # type: ignore[arg-type]


class _GuardedMixin(HTTPConnection):
    """Resolves, checks and connects by itself; tells the exchange how far it got."""

    guard: ClassVar[Guard]
    response_class = _DeadlineResponse
    _connecting = False

    def connect(self) -> None:
        self._connecting = True
        try:
            super().connect()
        finally:
            self._connecting = False
        current.get().connected = True

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        exchange = current.get()
        self.sock.settimeout(exchange.remaining())
        # What is sent while connecting is the proxy's CONNECT and not the request.
        exchange.sent = exchange.sent or not self._connecting
        super().send(data)

    def _new_conn(self) -> socket.socket:
        exchange = current.get()
        addresses = self.guard.addresses(self._dns_host, self.port, exchange.remaining())
        sock = self._connect_first(addresses[:2], exchange)
        # The TLS handshake that may follow keeps to the socket's limit; zero would mean not to wait at all.
        sock.settimeout(max(exchange.deadline - time.monotonic(), 0.001))
        return sock

    def _connect_first(self, addresses: Sequence[str], exchange: Exchange) -> socket.socket:
        problem: OSError | None = None
        for address in addresses:
            seconds = exchange.remaining()
            if address != addresses[-1]:
                seconds = min(FIRST_ADDRESS_SECONDS, seconds / 2)
            try:
                return self._connect_to(address, seconds)
            except OSError as error:
                problem = error
        if isinstance(problem, TimeoutError):
            raise WorkError("timed_out", host=self.host)
        raise WorkError("connect_failed", host=self.host, detail=(problem and problem.strerror) or "")

    def _connect_to(self, address: str, seconds: float) -> socket.socket:
        # An address and no name: create_connection resolves nothing here.
        sock = socket.create_connection((address, self.port), seconds, self.source_address)
        for option in self.socket_options or ():
            sock.setsockopt(*option)
        return sock

    def _tunnel(self) -> None:
        super()._tunnel()
        self.sock.settimeout(current.get().remaining())


class GuardedHTTPConnection(_GuardedMixin, HTTPConnection):
    """A guarded connection without TLS."""


class GuardedHTTPSConnection(_GuardedMixin, HTTPSConnection):
    """A guarded connection with TLS."""


class _GuardedPool(HTTPConnectionPool):
    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)
        if current.get().fresh:
            # A closed connection opens anew when it is used.
            connection.close()
        return connection


class _GuardedSecurePool(_GuardedPool, HTTPSConnectionPool):
    pass


def _pool_classes(guard: Guard) -> dict[str, type[HTTPConnectionPool]]:
    # urllib3 builds connections from their class alone, so the guard has to be part of the class.
    plain = type("HTTPConnection", (GuardedHTTPConnection,), {"guard": guard})
    secure = type("HTTPSConnection", (GuardedHTTPSConnection,), {"guard": guard})
    return {
        "http": type("HTTPPool", (_GuardedPool,), {"ConnectionCls": plain}),
        "https": type("HTTPSPool", (_GuardedSecurePool,), {"ConnectionCls": secure}),
    }


def guarded_pools(guard: Guard, **options: Any) -> urllib3.PoolManager:
    """Connection pools whose every connection passes the guard."""
    pools = urllib3.PoolManager(KEPT_HOSTS, maxsize=KEPT_CONNECTIONS, **options)
    pools.pool_classes_by_scheme = _pool_classes(guard)
    return pools


def proxy_pools(
    proxy_url: str, headers: dict[str, str], guard: Guard, **options: Any
) -> urllib3.ProxyManager:
    """Connection pools that go through the proxy; `guard` is a trusting one."""
    pools = urllib3.ProxyManager(
        proxy_url, KEPT_HOSTS, proxy_headers=headers, maxsize=KEPT_PROXY_CONNECTIONS, **options
    )
    pools.pool_classes_by_scheme = _pool_classes(guard)
    return pools
