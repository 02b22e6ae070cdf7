"""The Redis of a data directory as a part of a running system: somebody else's, or an embedded one that is kept running."""

from __future__ import annotations

import os

from backend.cli import embedded_redis
from backend.cli.embedded_redis import EmbeddedRedis
from backend.cli.opening import check_redis
from backend.cli.supervision import Supervisor
from backend.domain.errors import ConfigurationError
from config import Settings

START_SECONDS = 30.0  # an append-only file may have to be read first


class RedisPart:
    """Provided once; `cleaned_up` belongs after the supervisor's stop."""

    def __init__(self, supervisor: Supervisor, settings: Settings, stage: int) -> None:
        self._supervisor, self._settings, self._stage = supervisor, settings, stage
        self._embedded: EmbeddedRedis | None = None

    def provide(self) -> str:
        """Its address, once it serves. Raises `ConfigurationError` when it does not, and `StopRequested`."""
        settings = self._settings
        if not embedded_redis.is_embedded(settings.data_dir, settings.redis_url):
            check_redis(settings.redis_url)
            return settings.redis_url
        embedded_redis.end_leftover(settings.data_dir)
        server = self._embedded = embedded_redis.prepare(settings.data_dir, settings.log_level)
        self._supervisor.start(server.recipe(os.environ, self._stage))
        self._supervisor.wait_until(
            lambda: server.answers() or self._supervisor.failures("redis") > 0, START_SECONDS
        )
        if not server.answers():
            detail = server.words[-1] if server.words else "it said nothing"
            raise ConfigurationError("redis_failed", detail=detail, folder=server.folder)
        return server.url

    def cleaned_up(self) -> None:
        """Remove what only lives as long as the server."""
        if self._embedded is not None:
            self._embedded.cleaned_up()
