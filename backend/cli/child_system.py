"""The running child: its Redis, its node process with the workers, its small HTTP server where one is wanted, and one line of news."""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
from dataclasses import dataclass, field, replace

from backend.bootstrap import ensure_secret_key
from backend.cli.language import say
from backend.cli.output import result
from backend.cli.parts import Recipe, environment_of
from backend.cli.redis_part import RedisPart
from backend.cli.stages import APP, PARENT_STAGE, REDIS_STAGE, WORKERS_STAGE, stop_limits
from backend.cli.supervision import StopRequested, Supervisor
from backend.domain.condition import Condition
from backend.workers import condition
from config import ROOT, Settings

LOOK_SECONDS = 1.0
# What changes all the time is told so often on a terminal, and so often into a file.
TERMINAL_SECONDS = 5.0
FILE_SECONDS = 60.0

log = logging.getLogger(__name__)


class ChildSystem:
    """Starts the parts and keeps them running until a signal comes."""

    def __init__(self, settings: Settings, workers: int) -> None:
        self._settings, self._workers = settings, workers
        self._supervisor = Supervisor()
        self._redis = RedisPart(self._supervisor, settings, REDIS_STAGE)
        self._news = News(settings)

    def run(self) -> None:
        """Returns after a clean stop. Raises `ConfigurationError` when it can't start."""
        with self._supervisor.listening_to_signals():
            try:
                self._start()
                self._supervisor.wait_until(self._tell_news, float("inf"), every=LOOK_SECONDS)
            except StopRequested:
                log.debug("asked to stop")
            finally:
                self._supervisor.stop(stop_limits(self._settings.stop_seconds))
                self._redis.cleaned_up()
                # As in the parts: the last collections would take a third of a second.
                gc.freeze()

    def _start(self) -> None:
        settings = replace(self._settings, redis_url=self._redis.provide())
        settings = ensure_secret_key(settings)
        environment = environment_of(settings, os.environ)
        script = ["/bin/sh", str(ROOT / "start_workers.sh"), "--workers", str(self._workers)]
        self._supervisor.start(Recipe("workers", script, environment, WORKERS_STAGE, ROOT))
        if settings.listens_on:
            server = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), APP]
            self._supervisor.start(Recipe("http", server, environment, PARENT_STAGE, ROOT))

    def _tell_news(self) -> bool:
        line = self._news.line(condition.read(self._settings.data_dir), time.time())
        if line:
            result(line)
        return False


@dataclass(slots=True)
class News:
    """When there is something to tell in one line: at once when the parent comes or goes, else now and then if anything changed."""

    settings: Settings
    every: float = field(default_factory=lambda: TERMINAL_SECONDS if sys.stdout.isatty() else FILE_SECONDS)
    told: str = ""
    told_state: tuple[bool, bool] | None = None
    next_at: float = 0.0
    started_at: float = field(default_factory=time.time)

    def line(self, found: Condition | None, now: float) -> str:
        """The line; empty when there is nothing new."""
        if found is None or found.written_at < self.started_at or not found.is_fresh(now):
            return ""
        state = (found.connected, found.workers > 0)
        line = describe(found, self.settings.parent_url)
        if state == self.told_state and (now < self.next_at or line == self.told):
            return ""
        self.told, self.told_state, self.next_at = line, state, now + self.every
        return line


def describe(found: Condition, parent_url: str) -> str:
    """How the child stands, in one line."""
    if found.connected and found.workers:
        said = say("child_ready", name=found.name, url=parent_url)
    elif found.trouble:
        said = say("child_refused", name=found.name)
    elif found.away_seconds:
        said = say("child_away", name=found.name, url=parent_url, seconds=f"{found.away_seconds:.0f}")
    else:
        said = say("child_starting", name=found.name, url=parent_url)
    kept = say("child_keeps", outbox=found.outbox) if found.outbox else ""
    dead = say("child_dead_letters", dead=found.dead) if found.dead else ""
    work = say("child_work", workers=found.workers, running=found.running, waiting=found.waiting)
    return f"{said}{work}{kept}{dead}"
