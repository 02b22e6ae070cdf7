"""The beat process: fires schedules and pumps when woken or each second, stamps the pulse, sweeps on timers.

Any number of copies may run. `python -m backend.dispatch.beat`
"""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from backend import bootstrap, bootstrap_parent, metrics
from backend.dispatch import queues, scheduler
from backend.dispatch.broker import note_fault
from backend.dispatch.notifying import Notifying
from backend.dispatch.pump import Limits, pump
from backend.dispatch.sweeping import Sweeper, mend
from backend.domain.errors import CascadeError, Unavailable
from backend.domain.identifiers import new_id
from backend.domain.retention import Retention
from backend.store import nodes, recovery, ticks
from backend.store.schema import require_current
from backend.store.session import transact

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine

    from backend.dispatch.repairs import Repair
    from backend.dispatch.watching import Watching
    from backend.store.ticks import Clock
    from config import Settings

log = logging.getLogger(__name__)

TIMER_SECONDS = 1.0
PULSE_SECONDS = 5.0
REPAIR_SECONDS = 5.0
# What only time brings is not looked for at each of the dozens of wake-ups a second of a loaded system.
MOMENT_SECONDS = 0.5
LOST_SECONDS = 15.0


@dataclass(slots=True)
class Timer:
    """Says when something is due again, by the monotonic clock."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    last: float = float("-inf")

    def due(self) -> bool:
        """Whether the time has come; counts from now on when it has."""
        if self.clock() - self.last < self.seconds:
            return False
        self.last = self.clock()
        return True


@dataclass(slots=True)
class Beat:
    """One beat. `tick` never raises for a database or Redis that is away: the next tick tries again."""

    engine: Engine
    redis: Redis
    limits: Limits
    lease_seconds: float
    delivery_attempts: int
    retention: Retention = field(default_factory=Retention)
    notifying: Notifying | None = None
    watching: Watching | None = None
    instance: str = field(default_factory=new_id)
    sweeper: Sweeper = field(init=False)
    pulse: Timer = field(default_factory=lambda: Timer(PULSE_SECONDS))
    moment: Timer = field(default_factory=lambda: Timer(MOMENT_SECONDS))
    repair: Timer = field(default_factory=lambda: Timer(REPAIR_SECONDS))
    lost: Timer = field(default_factory=lambda: Timer(LOST_SECONDS))
    away: set[str] = field(default_factory=set)
    clock: Clock = ticks.clock

    def __post_init__(self) -> None:
        self.sweeper = Sweeper(
            self.engine,
            self.redis,
            self.delivery_attempts,
            self.limits.work_seconds,
            self.retention,
            self.clock,
            self.limits.publishing,
        )

    def tick(self) -> None:
        """Stamp, repair and pump once, as far as each is due; without the database the rest of the tick is left out."""
        try:
            for step in self._due():
                self._attempt(step)
            self._answered("database")
        except Unavailable as error:
            self._silent("database", error)

    def _due(self) -> Iterator[Callable[[], object]]:
        if self.pulse.due():
            yield self.stamp
        time_went_on = self.moment.due()
        if time_went_on:
            yield from self._repairs(self.sweeper.waits)
        if self.repair.due():
            yield from self._repairs(self.sweeper.losses)
            yield lambda: transact(self.engine, recovery.stamp_sweep)
        if time_went_on:
            yield lambda: scheduler.fire_due(self.engine, self.clock)
        yield lambda: pump(self.engine, self.redis, self.limits)
        if self.notifying is not None:
            yield self.notifying.tell
        # Here and not among the repairs: people wait for the end of a run.
        yield from self._repairs(self.sweeper.ends)
        if self.lost.due():
            yield self._tend_queues
            yield from self._repairs(self.sweeper.history)

    def _repairs(self, some: Iterable[Repair[Any]]) -> Iterator[Callable[[], object]]:
        return (partial(mend, one) for one in some)

    def _attempt(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Unavailable:
            raise
        except Exception:
            # A process edge: one row that a step can't digest must not stop the other steps of every beat.
            log.exception("a step of this beat failed; the others go on")

    def stamp(self) -> None:
        """Say that renewals can arrive. Raises `Unavailable`."""
        transact(
            self.engine, lambda session: recovery.stamp_pulse(session, self.instance, self.lease_seconds)
        )

    def keep_stamping(self, stop: threading.Event) -> None:
        """The pulse's own thread: a slow Redis must not look like a gap in which renewals could not arrive."""
        while not stop.wait(PULSE_SECONDS):
            try:
                self.stamp()
            except (Unavailable, SQLAlchemyError) as error:
                # Whatever it is: without this thread a slow tick would look like a gap for ever after.
                log.debug("the pulse could not be stamped: %s", type(error).__name__)

    def _tend_queues(self) -> None:
        try:
            for repair in self.sweeper.queues:
                mend(repair)
        except RedisError as error:
            note_fault(log, error, "nobody could look for jobs that Redis has lost")

    def wait(self, seconds: float) -> None:
        """Until a wake-up or the timer; without Redis the timer alone decides."""
        try:
            queues.wait_for_wake(self.redis, seconds)
        except RedisError as error:
            note_fault(log, error, "nothing wakes this beat but its timer")
            time.sleep(seconds)

    def farewell(self) -> None:
        """Say that this beat stops."""
        if self.notifying is not None:
            self.notifying.close()
        try:
            transact(self.engine, lambda session: recovery.forget_beat(session, self.instance), attempts=1)
        except Unavailable:
            log.info("the database is away; this beat is forgotten by its age instead")

    def _silent(self, part: str, error: Exception) -> None:
        if part not in self.away:
            log.error("%s does not answer (%s); trying again each second", part, error)
        self.away.add(part)

    def _answered(self, part: str) -> None:
        if part in self.away:
            log.warning("%s answers again", part)
        self.away.discard(part)


def build(settings: Settings) -> Beat:
    """A beat over the settings' database and Redis."""
    engine, redis = bootstrap.build_engine(settings, pooled=True), bootstrap.build_redis(settings)
    return Beat(
        engine=engine,
        redis=redis,
        notifying=Notifying(engine, redis, bootstrap.build_http(settings)),
        watching=bootstrap_parent.build_watching(settings, engine, redis, "beat"),
        limits=bootstrap.build_limits(settings),
        lease_seconds=settings.lease_seconds,
        delivery_attempts=settings.delivery_attempts,
        retention=bootstrap_parent.build_retention(settings),
    )


def serve(beat: Beat, stop: threading.Event) -> None:
    """Tick until told to stop."""
    transact(beat.engine, nodes.ensure_parent)
    log.info("beat %s started", beat.instance)
    threading.Thread(target=beat.keep_stamping, args=(stop,), name="pulse", daemon=True).start()
    if beat.watching is not None:
        beat.watching.start(stop)
    while not stop.is_set():
        beat.tick()
        beat.wait(TIMER_SECONDS)
    beat.farewell()


def main() -> int:
    """Run a beat process until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = bootstrap.load_settings()
        bootstrap.configure_logging(settings, "beat")
        metrics.share(settings.metrics_dir)
        beat = build(settings)
        require_current(beat.engine)
        serve(beat, stop)
        # The last collections of an ending interpreter would look at everything; a stop waits for that.
        gc.freeze()
    except CascadeError as error:
        log.error("%s", error)  # noqa: TRY400
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
