"""The same guard for libraries that use `requests` (Apprise): a transport adapter and a recorder."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import requests
import requests.sessions
import urllib3
from requests.adapters import HTTPAdapter

from backend.domain.errors import WorkError
from backend.outbound.addresses import parse_networks
from backend.outbound.client import read_bounded
from backend.outbound.connections import guarded_pools, proxy_pools, verified_context
from backend.outbound.exchange import Exchange, current
from backend.outbound.failures import UNDERNEATH, translate
from backend.outbound.redirects import parse_target
from backend.outbound.resolving import Guard, Resolver, system_addresses

DEFAULT_SECONDS = 30.0
MAX_BYTES = 2 * 1024 * 1024
EXCERPT = 2000


@dataclass(slots=True)
class Recording:
    """The last exchange made through `requests`. `status` is 0 when no answer arrived.

    `headers` has lower-case names; `sent`: the request may have reached the other side; `count`: exchanges so far.
    """

    status: int = 0
    excerpt: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: bool = False
    error: WorkError | None = None
    count: int = 0


_recording: ContextVar[Recording | None] = ContextVar("outbound_recording", default=None)


@contextmanager
def recorded() -> Iterator[Recording]:
    """Record what goes through `requests` in this thread until the block ends."""
    recording = Recording()
    token = _recording.set(recording)
    try:
        yield recording
    finally:
        _recording.reset(token)


class GuardedAdapter(HTTPAdapter):
    """A transport adapter over guarded pools that all sessions share."""

    def __init__(self, pools: urllib3.PoolManager, resolve: Resolver = system_addresses) -> None:
        self._shared_pools = pools
        self._trusting = Guard(resolve=resolve, trusting=True)
        super().__init__()

    def init_poolmanager(self, *_args: Any, **_kwargs: Any) -> None:
        """Take the shared pools."""
        self.poolmanager = self._shared_pools

    def proxy_manager_for(self, proxy: str, **_options: Any) -> urllib3.ProxyManager:
        """Pools through the proxy, which the operator chose and the guard therefore trusts."""
        return proxy_pools(proxy, self.proxy_headers(proxy), self._trusting)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """As `requests` does, but with the process's one TLS context wherever certificates are checked."""
        options: Any
        host, options = super().build_connection_pool_key_attributes(request, verify, cert)
        if verify is True and cert is None:
            # Another session's verify=False must never reach the shared context, so it is only given here.
            options = {"ssl_context": verified_context()}
        return host, options

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the shared context alone; it holds its certificates already."""
        if verify is not True or cert is not None:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Nothing: the pools belong to the process and outlive the session."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send it, and record how it ended."""
        exchange = Exchange.lasting(_seconds(timeout), request.method or "")
        token = current.set(exchange)
        try:
            response = super().send(request, stream, timeout, verify, cert, proxies)
            if not stream:
                _read_now(response)
        except (WorkError, *UNDERNEATH) as error:
            failure = translate(error, parse_target(request.url or "").host or "", exchange)
            _record(exchange, failure=failure)
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(str(failure), request=request) from error
        finally:
            current.reset(token)
        _record(exchange, response=response, read=not stream)
        return response


def _seconds(timeout: Any) -> float:
    """The limit of a whole exchange, from what `requests` takes as (connect, read) time-outs."""
    parts = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    return sum(DEFAULT_SECONDS if part is None else float(part) for part in parts)


def _read_now(response: requests.Response) -> None:
    """Read the body within the limits, and leave it where `requests` will look for it."""
    raw = response.raw
    try:
        body = read_bounded(raw, MAX_BYTES, parse_target(response.url).host or "")
    finally:
        raw.close()
    response.raw = urllib3.HTTPResponse(
        io.BytesIO(body), status=raw.status, reason=raw.reason, preload_content=False
    )


def _record(
    exchange: Exchange,
    *,
    response: requests.Response | None = None,
    failure: WorkError | None = None,
    read: bool = True,
) -> None:
    recording = _recording.get()
    if recording is None:
        return
    recording.count += 1
    recording.sent, recording.error = exchange.sent, failure
    recording.status, recording.excerpt, recording.headers = 0, "", {}
    if response is not None:
        recording.status = response.status_code
        recording.headers = {name.lower(): value for name, value in response.headers.items()}
        recording.excerpt = response.text[:EXCERPT] if read else ""


def install(egress_allow: tuple[str, ...] = (), resolve: Resolver = system_addresses) -> Callable[[], None]:
    """From now on every new `requests` session of the process goes through the guard; returns the undoing.

    Call it after forking.
    """
    before = requests.sessions.HTTPAdapter
    pools = guarded_pools(Guard(parse_networks(egress_allow), resolve))
    adapter = functools.partial(GuardedAdapter, pools, resolve)
    requests.sessions.HTTPAdapter = adapter  # type: ignore[assignment]

    def undo() -> None:
        requests.sessions.HTTPAdapter = before

    return undo
