"""HTTP to one server that the operator named: kept connections for every method, an own CA, and no redirects.

Its every call must be repeatable: a request whose kept connection turns out to be dead is sent again at once.
"""

from __future__ import annotations

import functools
import logging
import os
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import certifi
import urllib3
from urllib3.util import Url, make_headers, parse_url

from backend.domain.errors import ConfigurationError
from backend.domain.ports import HttpRequest, HttpResponse
from backend.outbound.client import read_bounded
from backend.outbound.connections import guarded_pools, proxy_pools
from backend.outbound.exchange import Exchange, current
from backend.outbound.failures import UNDERNEATH, translate
from backend.outbound.proxies import Proxies
from backend.outbound.redirects import parse_target
from backend.outbound.resolving import Guard, Resolver, system_addresses


@functools.cache
def context_trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Certificates are always checked: against this CA, or against the system's and certifi's.

    Raises `ConfigurationError` for a file that can't be read as certificates.
    """
    if ca_file is None:
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        return context
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError("bad_ca_file", path=ca_file, detail=str(error)) from error


class TrustedHttpClient:
    """Implements `HttpClient` for one trusted server. Safe for many threads; a forked process opens connections of its own.

    No guard on its address: the operator named it. A redirect is an answer like any other: it would take the secret elsewhere.
    """

    def __init__(
        self,
        ca_file: Path | None = None,
        environ: Mapping[str, str] | None = None,
        resolve: Resolver = system_addresses,
    ) -> None:
        self._context = context_trusting(ca_file)
        self._guard = Guard(resolve=resolve, trusting=True)
        self._proxies = Proxies.from_environ(os.environ if environ is None else environ)
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._owner = 0
        self._lock = threading.Lock()
        logging.getLogger("urllib3").setLevel(logging.ERROR)

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send it; any HTTP status is an answer. Raises `WorkError` as the port says."""
        exchange = Exchange.lasting(request.seconds, "GET")
        token = current.set(exchange)
        url = parse_target(request.url)
        try:
            response = self._open(request, url, exchange)
            try:
                body = read_bounded(response, request.max_bytes, url.host or "")
            finally:
                response.close()
        except UNDERNEATH as error:
            raise translate(error, url.host or "", exchange) from error
        finally:
            current.reset(token)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(response.status, headers, body, request.url, request.url)

    def _open(self, request: HttpRequest, url: Url, exchange: Exchange) -> urllib3.BaseHTTPResponse:
        try:
            return self._open_once(request, url, exchange)
        except (urllib3.exceptions.ProtocolError, OSError) as error:
            # A kept connection that its server closed just now says nothing about the server.
            if exchange.connected or isinstance(error, TimeoutError):
                raise
        return self._open_once(request, url, exchange)

    def _open_once(self, request: HttpRequest, url: Url, exchange: Exchange) -> urllib3.BaseHTTPResponse:
        return self._pools_for(self._proxies.choose(url)).urlopen(
            request.method,
            url._replace(auth=None, fragment=None).url,
            body=request.body,
            headers=dict(request.headers),
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=exchange.remaining(),
        )

    def _pools_for(self, proxy: str) -> urllib3.PoolManager:
        with self._lock:
            if self._owner != os.getpid():
                # Two processes that write into one connection would mix their requests.
                self._pools, self._owner = {}, os.getpid()
            pools = self._pools.get(proxy)
            if pools is None:
                pools = self._pools[proxy] = self._new_pools(proxy)
        return pools

    def _new_pools(self, proxy: str) -> urllib3.PoolManager:
        options: dict[str, Any] = {"ssl_context": self._context}
        if not proxy:
            return guarded_pools(self._guard, **options)
        auth = parse_url(proxy).auth
        headers = dict(make_headers(proxy_basic_auth=auth)) if auth else {}
        return proxy_pools(proxy, headers, self._guard, **options)
