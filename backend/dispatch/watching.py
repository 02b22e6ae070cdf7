"""Looks whether alarms are due and whether work flows, in a thread of its own, in each beat and each of the parent's processes.

All of them may: a row says whose turn it is, so there is one look in each interval, and one as long as any of them lives.
So the parent's processes raise the alarm when no beat is left, and the beats when no parent is.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from backend.dispatch import queues
from backend.domain.alarms import SHORTEST_SLOW_SECONDS, Thresholds, judge
from backend.domain.errors import Unavailable
from backend.domain.identifiers import new_id
from backend.domain.signs import Facts, QueueSign, RunSign
from backend.store import alerts, flow, signs
from backend.store.publish_signs import publish_sign
from backend.store.session import read, transact

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine

    from backend.dispatch.telling import Telling
    from backend.store.flow import ServedQueue

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
REPORT_SECONDS = 10.0
# What costs more, and changes slowly.
SELDOM_SECONDS = 60.0
SAMPLES = 3


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """How often somebody looks, when a queue gets a canary, when an alert closes, and when each rule holds."""

    every_seconds: float = 10.0
    canary_seconds: float = 60.0
    clear_seconds: float = 30.0
    thresholds: Thresholds = field(default_factory=Thresholds)


@dataclass(slots=True)
class Vitals:
    """What this process says of itself. Of its pool it tells the least of the last looks: a short peak is no news."""

    part: str
    data_dir: Path
    pooled: Engine
    id: str = field(default_factory=new_id)
    samples: deque[int] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def look(self) -> signs.Report:
        """A sample of now, and what follows from the last few."""
        used, size = signs.pool_usage(self.pooled)
        self.samples.append(used)
        disk, machine = shutil.disk_usage(_existing(self.data_dir)), platform.node()
        return signs.Report(
            id=self.id,
            process=f"{self.part}[{os.getpid()}] on {machine}",
            machine=machine,
            pool_used=min(self.samples) if len(self.samples) == SAMPLES else 0,
            pool_size=size,
            disk_free=disk.free,
            disk_total=disk.total,
        )


def _existing(directory: Path) -> Path:
    # A parent on other machines' database and Redis may have no data directory of its own yet.
    return next(path for path in (directory, *directory.parents) if path.is_dir())


@dataclass(slots=True)
class Watching:
    """One process's part in watching, over a database engine of its own: a pool that is full must not silence it."""

    engine: Engine
    redis: Redis | None
    vitals: Vitals
    limits: WatchLimits
    telling: Telling | None = None
    clock: Callable[[], float] = time.monotonic
    last_report: float = float("-inf")
    last_seldom: float = float("-inf")
    usual: dict[str, float] = field(default_factory=dict)
    failing: bool = False

    def start(self, stop: threading.Event) -> None:
        """Watch and tell until told to stop."""
        threading.Thread(target=self.keep_watching, args=(stop,), name="watch", daemon=True).start()
        if self.telling is not None:
            threading.Thread(target=self.telling.keep_telling, args=(stop,), name="tell", daemon=True).start()

    def keep_watching(self, stop: threading.Event) -> None:
        """The watching thread."""
        pause = min(LOOK_SECONDS, self.limits.every_seconds)
        while not stop.wait(pause):
            try:
                self.step()
                self.failing = False
            except Unavailable as error:
                log.debug("the database is away; nobody can look whether alarms are due: %s", error)
            except Exception:
                # A thread edge: one row that can't be digested must not end all alarms of this process.
                level = logging.DEBUG if self.failing else logging.ERROR
                log.log(level, "a look whether alarms are due failed; the next one comes", exc_info=True)
                self.failing = True

    def step(self) -> None:
        """Report and look, as far as each is due. Raises `Unavailable`."""
        if self._due("last_report", min(REPORT_SECONDS, self.limits.every_seconds)):
            report = self.vitals.look()
            transact(self.engine, lambda session: signs.report(session, report))
        watched = transact(
            self.engine, lambda session: signs.take_turn(session, self.limits.every_seconds), attempts=2
        )
        if watched is not None:
            self.look(watched)

    def _due(self, last: str, seconds: float) -> bool:
        if self.clock() - getattr(self, last) < seconds:
            return False
        setattr(self, last, self.clock())
        return True

    def look(self, watched_seconds: float) -> None:
        """One look at everything. Raises `Unavailable`."""
        served = [one for one in read(self.engine, flow.served_queues) if one.active]
        transact(self.engine, lambda session: flow.note_served(session, served))
        flowing = self._send_canaries(served)
        verdict = judge(self.gather(served, watched_seconds, flowing=flowing), self.limits.thresholds)
        opened, closed = transact(
            self.engine, lambda session: alerts.apply_verdict(session, verdict, self.limits.clear_seconds)
        )
        for one in opened:
            log.warning("ALARM %s about %s: %s", one.rule, one.subject, dict(one.params))
        if closed:
            log.warning("%d alarms are over", closed)
        if self.telling is not None:
            self.telling.plan()

    def _send_canaries(self, served: Sequence[ServedQueue]) -> bool:
        """Send canaries to idle queues with live workers; whether Redis took them, so that their absence means something."""
        if self.redis is None:
            return False
        idle = [one.name for one in served if one.attached and one.consumers and one.proved]
        token = new_id()
        sent = transact(
            self.engine,
            lambda session: flow.send_canaries(session, idle, token, self.limits.canary_seconds),
        )
        if not sent:
            return True
        try:
            queues.enqueue_canaries(self.redis, sent)
        except RedisError as error:
            log.info("canaries could not be sent: %s", type(error).__name__)
            transact(self.engine, lambda session: flow.forget_canaries(session, token))
            return False
        return True

    def gather(self, served: Sequence[ServedQueue], watched_seconds: float, *, flowing: bool) -> Facts:
        """What is known now. Raises `Unavailable`."""
        thresholds = self.limits.thresholds
        runs = self._seldom(thresholds)
        queue_signs = read(self.engine, lambda session: flow.queue_signs(session, served, watched_seconds))
        pools, disks = read(self.engine, signs.process_signs)
        beat, sweep = read(self.engine, lambda session: signs.silences(session, watched_seconds))
        shortest = _shortest(thresholds)
        return Facts(
            running=read(self.engine, lambda session: signs.running_work(session, shortest, watched_seconds)),
            usual_seconds=self.usual,
            nodes=read(self.engine, lambda session: signs.node_signs(session, watched_seconds)),
            queues=queue_signs,
            flows=_proved(queue_signs, served) if flowing else None,
            pools=pools,
            runs=runs,
            disks=disks,
            beat_silent_seconds=beat,
            sweep_silent_seconds=sweep,
            publishing=read(self.engine, publish_sign),
        )

    def _seldom(self, thresholds: Thresholds) -> list[RunSign] | None:
        """The runs when it is time to look at them, else nothing; with them, how long work usually takes."""
        if not self._due("last_seldom", min(SELDOM_SECONDS, 6 * self.limits.every_seconds)):
            return None
        self.usual = read(self.engine, signs.usual_seconds)
        transact(self.engine, signs.forget_processes)
        return read(self.engine, lambda session: signs.run_signs(session, thresholds.failed_items))


def _shortest(thresholds: Thresholds) -> float:
    """What has run for less can't be an alarm."""
    return min(thresholds.work_seconds or SHORTEST_SLOW_SECONDS, SHORTEST_SLOW_SECONDS)


def _proved(found: Sequence[QueueSign], served: Sequence[ServedQueue]) -> list[QueueSign]:
    names = {one.name for one in served if one.attached and one.proved}
    return [one for one in found if one.name in names]
