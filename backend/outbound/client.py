"""The one HTTP client: guarded, bounded in time and size, redirects followed step by step."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

import urllib3
from urllib3.util import Url, make_headers, parse_url

from backend.domain.errors import WorkError
from backend.domain.ports import HttpRequest, HttpResponse
from backend.outbound.addresses import parse_networks
from backend.outbound.connections import guarded_pools, proxy_pools, verified_context
from backend.outbound.exchange import REPEATABLE, Exchange, current
from backend.outbound.failures import UNDERNEATH, translate
from backend.outbound.proxies import Proxies
from backend.outbound.redirects import (
    MAX_REDIRECTS,
    PERMANENT,
    REDIRECTS,
    Hop,
    follow,
    parse_target,
    sendable,
)
from backend.outbound.resolving import Guard, Resolver, system_addresses

DEFAULT_HEADERS = {
    "User-Agent": "Cascade/0.1 (+feed reader)",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate, br",
}
CHUNK = 64 * 1024
REDIRECT_BODY = 16 * 1024
KEPT_SECONDS = 30.0


class GuardedHttpClient:
    """Implements `HttpClient`. Make it after forking; close nothing, its connections go with it.

    `egress_allow` are CIDR texts; `environ` holds the proxy variables; `resolve` is the name resolver.
    """

    def __init__(
        self,
        egress_allow: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
        resolve: Resolver = system_addresses,
    ) -> None:
        self._guard = Guard(parse_networks(egress_allow), resolve)
        self._trusting = Guard(resolve=resolve, trusting=True)
        self._proxies = Proxies.from_environ(os.environ if environ is None else environ)
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._pools_until = 0.0
        self._lock = threading.Lock()
        # urllib3 writes whole URLs into its log, and those of web hooks and feeds hold secrets.
        logging.getLogger("urllib3").setLevel(logging.ERROR)

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send it; any HTTP status is an answer. Raises `WorkError` as the port says."""
        exchange = Exchange.lasting(request.seconds, request.method)
        token = current.set(exchange)
        try:
            return self._follow(request, exchange)
        finally:
            current.reset(token)

    def _follow(self, request: HttpRequest, exchange: Exchange) -> HttpResponse:
        hop = Hop(request.method.upper(), request.url, request.headers, request.body)
        permanent_url, still_permanent = request.url, True
        for _ in range(MAX_REDIRECTS + 1):
            status, headers, body = self._exchange(hop, request, exchange)
            location = headers.get("location", "")
            if not (request.follow_redirects and status in REDIRECTS and location):
                named = {name.lower(): value for name, value in headers.items()}
                cookies = tuple(headers.getlist("set-cookie"))
                return HttpResponse(status, named, body, hop.url, permanent_url, cookies)
            hop = follow(hop, status, location)
            still_permanent = still_permanent and status in PERMANENT
            if still_permanent:
                permanent_url = hop.url
        raise WorkError(
            "redirect_loop", permanent=True, host=parse_target(request.url).host, count=MAX_REDIRECTS
        )

    def _exchange(
        self, hop: Hop, request: HttpRequest, exchange: Exchange
    ) -> tuple[int, urllib3.HTTPHeaderDict, bytes]:
        url = parse_target(hop.url)
        host = url.host or ""
        try:
            response = self._open(hop, url, exchange)
            try:
                redirected = request.follow_redirects and response.status in REDIRECTS
                body = b"" if redirected else read_bounded(response, request.max_bytes, host)
                if redirected:
                    response.read(REDIRECT_BODY)
            finally:
                # A no-op for an answer read to its end: that connection is back in its pool already.
                response.close()
        except UNDERNEATH as error:
            raise translate(error, host, exchange) from error
        return response.status, response.headers, body

    def _open(self, hop: Hop, url: Url, exchange: Exchange) -> urllib3.BaseHTTPResponse:
        exchange.connected = False
        try:
            return self._open_once(hop, url, exchange)
        except (urllib3.exceptions.ProtocolError, OSError) as error:
            # A kept connection that its server closed just now says nothing about the server.
            if exchange.connected or hop.method not in REPEATABLE or isinstance(error, TimeoutError):
                raise
        return self._open_once(hop, url, exchange)

    def _open_once(self, hop: Hop, url: Url, exchange: Exchange) -> urllib3.BaseHTTPResponse:
        headers = sendable(hop, url, DEFAULT_HEADERS)
        pools = self._pools_for(self._proxies.choose(url))
        return pools.urlopen(
            hop.method,
            url._replace(auth=None, fragment=None).url,
            body=hop.body,
            headers=headers,
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=exchange.remaining(),
        )

    def _pools_for(self, proxy: str) -> urllib3.PoolManager:
        """The pools that lead there. All are replaced now and then: so idle connections end."""
        with self._lock:
            now = time.monotonic()
            if now >= self._pools_until:
                self._pools, self._pools_until = {}, now + KEPT_SECONDS
            pools = self._pools.get(proxy)
            if pools is None:
                pools = self._pools[proxy] = self._new_pools(proxy)
        return pools

    def _new_pools(self, proxy: str) -> urllib3.PoolManager:
        options: dict[str, Any] = {"ssl_context": verified_context()}
        if not proxy:
            return guarded_pools(self._guard, **options)
        auth = parse_url(proxy).auth
        headers = dict(make_headers(proxy_basic_auth=auth)) if auth else {}
        return proxy_pools(proxy, headers, self._trusting, **options)


def read_bounded(response: urllib3.BaseHTTPResponse, limit: int, host: str) -> bytes:
    """The decoded body. Raises `WorkError` (too_large) as soon as it is longer than `limit` bytes."""
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read(CHUNK, decode_content=True):
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise WorkError("too_large", permanent=True, ambiguous=True, host=host, limit=limit)
    return b"".join(chunks)
