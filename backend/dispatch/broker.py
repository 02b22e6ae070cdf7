"""The Redis client: explicit retry with backoff and jitter, time-outs and health checks.

`Redis.from_url` alone has no retry in redis-py 8, so a two-second outage would end a worker.
"""

from __future__ import annotations

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0
RETRIES = 3
HEALTH_CHECK_SECONDS = 15


def connect(url: str, *, retries: int = RETRIES, answer_seconds: float = ANSWER_SECONDS) -> Redis:
    """A client for the URL. Nothing connects yet; `retries` are spent per command, with growing waits up to 2 s."""
    return Redis.from_url(
        url,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=2.0), retries),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=answer_seconds,
        health_check_interval=HEALTH_CHECK_SECONDS,
        client_name="cascade",
    )
