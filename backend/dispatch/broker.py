"""The Redis client: its addresses (TLS, sockets, Sentinel), explicit patience, time-outs and health checks.

`Redis.from_url` alone has no retry in redis-py 8, so a two-second outage would end a worker; and a reply that means
"not now" (a full disk or memory, a replica, a load, a script) would count as a bug of the command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.exceptions import ResponseError
from redis.retry import Retry
from redis.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from backend.dispatch.patience import NotNow, RedisPatience, fault_of, note_fault
from backend.domain.redis_faults import FaultKind

__all__ = ["NotNow", "RedisPatience", "connect", "fault_of", "note_fault", "redis_address"]

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 2.0
RETRIES = 1
HEALTH_CHECK_SECONDS = 15
SENTINEL_SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
SENTINEL_PORT = 26379
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
DEFAULT_SERVICE = "mymaster"


class Careful(AbstractConnection):
    """A connection that is dropped on a reply that means "not now": the next one may find the new master."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        """See redis-py. Raises `NotNow` for such replies."""
        try:
            return super().read_response(*args, **options)
        except ResponseError as error:
            fault = fault_of(error)
            # What an ACL forbids is left as it is: redis-py itself does without some of it.
            if fault.kind is FaultKind.AWAY:
                raise NotNow(fault) from error
            raise

    def connect(self) -> None:
        """See redis-py."""
        if isinstance(self.retry, RedisPatience):
            with self.retry.reaching():
                super().connect()  # type: ignore[no-untyped-call]
        else:
            super().connect()  # type: ignore[no-untyped-call]


class CarefulConnection(Careful, Connection):
    """By TCP."""


class CarefulSSLConnection(Careful, SSLConnection):
    """By TLS."""


class CarefulSocketConnection(Careful, UnixDomainSocketConnection):
    """By a socket of this machine."""


class CarefulMasterConnection(Careful, SentinelManagedConnection):
    """To whom the Sentinels call the master."""


class CarefulMasterSSLConnection(Careful, SentinelManagedSSLConnection):
    """To the master, by TLS."""


CAREFUL: dict[type, type] = {
    Connection: CarefulConnection,
    SSLConnection: CarefulSSLConnection,
    UnixDomainSocketConnection: CarefulSocketConnection,
}


def connect(
    url: str,
    *,
    retries: int = RETRIES,
    answer_seconds: float = ANSWER_SECONDS,
    patience: RedisPatience | None = None,
) -> Redis:
    """A client for the URL; nothing connects yet. Raises `ValueError` for a URL that can't be used.

    `redis+sentinel://[user:password@]host[:port][,host[:port]…]/[service][/db]` asks Sentinels for the master.
    """
    options: dict[str, Any] = {
        "retry": patience or RedisPatience(retries, says=False),
        "socket_connect_timeout": min(CONNECT_SECONDS, answer_seconds),
        "socket_timeout": answer_seconds,
        "health_check_interval": HEALTH_CHECK_SECONDS,
        "client_name": "cascade",
    }
    scheme = url.partition("://")[0]
    if scheme in SENTINEL_SCHEMES:
        return Redis.from_pool(_sentinel_pool(url, options))
    told = _read(url)
    kind = CAREFUL[told.pop("connection_class", Connection)]
    return Redis.from_pool(ConnectionPool(connection_class=kind, **options | told))


def _read(url: str) -> dict[str, Any]:
    options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    return options


def _sentinel_pool(url: str, options: Mapping[str, Any]) -> SentinelConnectionPool:
    parsed = urlsplit(url)
    service, _, database = parsed.path.strip("/").partition("/")
    query = f"?{parsed.query}" if parsed.query else ""
    # One host is enough for the library's own reading of user, password and options.
    user = f"{parsed.netloc.rpartition('@')[0]}@" if "@" in parsed.netloc else ""
    told = _read(f"{SENTINEL_SCHEMES[parsed.scheme]}://{user}sentinel/{database}{query}")
    told.pop("host", None)
    kind = told.pop("connection_class", Connection)
    own = {name.removeprefix("sentinel_"): told.pop(name) for name in SENTINEL_OPTIONS if name in told}
    timing = {name: value for name, value in options.items() if name.startswith("socket_")}
    secure = kind is SSLConnection
    trust = {name: value for name, value in told.items() if name.startswith("ssl_")}
    # One try each: the next Sentinel is asked, and the client's own patience starts over.
    once = {"retry": Retry(NoBackoff(), 0), "ssl": secure}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        sentinels_of(parsed), sentinel_kwargs=timing | own | trust | once
    )
    return SentinelConnectionPool(  # type: ignore[no-untyped-call]
        unquote(service) or DEFAULT_SERVICE,
        sentinel,
        connection_class=CarefulMasterSSLConnection if secure else CarefulMasterConnection,
        **{**options, **told},
    )


def sentinels_of(parsed: SplitResult) -> list[tuple[str, int]]:
    """Host and port of each Sentinel. Raises `ValueError` when there is none or a port is no number."""
    hosts = [part for part in parsed.netloc.rpartition("@")[2].split(",") if part]
    if not hosts:
        raise ValueError("it names no Sentinel")
    split = [urlsplit(f"//{host}") for host in hosts]
    return [(one.hostname or "localhost", one.port or SENTINEL_PORT) for one in split]


def redis_address(url: str) -> str:
    """Where a Redis URL points to: never its password. Raises `ValueError`."""
    parsed = urlsplit(url)
    if parsed.scheme in SENTINEL_SCHEMES:
        service = parsed.path.strip("/").partition("/")[0] or DEFAULT_SERVICE
        return f"{service} of " + ",".join(f"{host}:{port}" for host, port in sentinels_of(parsed))
    options = _read(url)
    if "path" in options:
        return str(options["path"])
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
