"""One pass over everything that may be stuck, too much or too old: the same in the beat, the sweeper and `./cascade sweep`.

Any number of processes may make passes at once: each change repeats its condition, and whoever comes second changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from backend.dispatch import account_repairs, queues, repairs
from backend.dispatch.forgetting import Forgetter
from backend.dispatch.publish_repairs import publish_repairs, reasons
from backend.dispatch.queue_repairs import LostFinder, Tidier
from backend.domain.errors import Unavailable
from backend.domain.messages import render
from backend.domain.publish_admission import PublishLimits
from backend.domain.retention import Retention
from backend.store import recovery, ticks
from backend.store.session import transact

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine

    from backend.dispatch.repairs import Finding, Repair
    from backend.store.ticks import Clock

log = logging.getLogger(__name__)

# What happens all the time while all is well: too much for a log.
ROUTINE = frozenset(
    {
        "sweep_due_items",
        "sweep_due_deliveries",
        "sweep_runs",
        "sweep_queued",
        "sweep_old_holds",
        "sweep_reasons",
    }
)


@dataclass(slots=True)
class Pass:
    """What one pass found; `away` are the parts that did not answer, `broken` the repairs that failed for another reason."""

    dry: bool
    findings: list[Finding] = field(default_factory=list)
    away: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether everything was looked at."""
        return not self.away and not self.broken

    @property
    def found(self) -> list[Finding]:
        """The findings that found something."""
        return [one for one in self.findings if one.found]


def line_of(finding: Finding, language: str, *, dry: bool) -> str:
    """What was found and done, in `en` or `zh`."""
    code = "sweep_would" if dry else "sweep_did"
    what = render(finding.name, language, {})
    return render(code, language, {"what": what, "found": finding.found, "mended": finding.mended})


@dataclass(slots=True)
class Sweeper:
    """All repairs, grouped by how soon people wait for them. Remembers what must be seen twice and how far it looked."""

    engine: Engine
    redis: Redis | None
    delivery_attempts: int
    work_seconds: float
    retention: Retention = field(default_factory=Retention)
    clock: Clock = ticks.clock
    publishing: PublishLimits = field(default_factory=PublishLimits)
    finder: LostFinder = field(default_factory=LostFinder)
    tidier: Tidier | None = field(init=False)
    forgetter: Forgetter = field(init=False)

    def __post_init__(self) -> None:
        self.tidier = None if self.redis is None else Tidier(self.engine, self.redis)
        self.forgetter = Forgetter(self.engine, self.retention)

    @property
    def waits(self) -> list[Repair[Any]]:
        """What only time brings."""
        return [
            repairs.due_items(self.engine),
            repairs.due_deliveries(self.engine),
            account_repairs.cooled_accounts(self.engine),
        ]

    @property
    def losses(self) -> list[Repair[Any]]:
        """Work whose worker, node or dispatcher is gone."""
        return [
            repairs.turned_nodes(self.engine),
            repairs.expired_leases(self.engine, self.delivery_attempts, self.redis, self.work_seconds),
            repairs.gone_nodes(self.engine),
            repairs.cut_expansions(self.engine),
            repairs.held_items(self.engine),
            account_repairs.unfollowed_accounts(self.engine),
            repairs.unplanned_schedules(self.engine, self.clock),
            *publish_repairs(self.engine),
            reasons(self.engine, self.publishing),
        ]

    @property
    def ends(self) -> list[Repair[Any]]:
        """Runs that are over, and those that waited for that."""
        return [repairs.ended_runs(self.engine), repairs.queued_runs(self.engine)]

    @property
    def queues(self) -> list[Repair[Any]]:
        """What Redis lost, and what it holds for nothing: nothing to do without one."""
        if self.redis is None or self.tidier is None:
            return []
        lost = self.finder.as_repair(self.engine, self.redis, self.work_seconds)
        return [lost, *self.tidier.repairs]

    @property
    def history(self) -> list[Repair[Any]]:
        """What is old."""
        return list(self.forgetter.repairs)

    def look_ahead(self) -> bool:
        """The first look for what must be seen twice; whether there is any."""
        if self.redis is None or self.tidier is None:
            return False
        self.finder.find(self.engine, self.redis)
        self.tidier.stuck()
        return bool(self.finder.suspects or self.tidier.seen_between)

    def sweep(self, *, dry: bool = False) -> Pass:
        """One whole pass; never raises for a part that is away or a row that nobody can digest."""
        made = Pass(dry)
        try:
            self._run(made, (*self.losses, *self.waits, *self.ends))
            self._run_queues(made)
            self._run(made, self.history)
            if not dry:
                transact(self.engine, recovery.stamp_sweep)
        except Unavailable as error:
            log.error("the database does not answer (%s); the rest of this pass is left out", error)  # noqa: TRY400
            made.away.append("database")
        if not dry and any(one.mended for one in made.findings):
            queues.try_wake(self.redis)
        return made

    def _run_queues(self, made: Pass) -> None:
        if self.redis is None:
            made.away.append("redis")
            return
        try:
            self._run(made, self.queues)
        except RedisError as error:
            log.warning(
                "Redis does not answer (%s); its queues are left out of this pass", type(error).__name__
            )
            made.away.append("redis")

    def _run(self, made: Pass, some: Iterable[Repair[Any]]) -> None:
        for repair in some:
            try:
                made.findings.append(repair.run(dry=made.dry))
            except (Unavailable, RedisError):
                raise
            except Exception:
                # A process edge: one row that a repair can't digest must not keep the others from being made.
                log.exception("the repair %s failed; the others go on", repair.name)
                made.broken.append(repair.name)


def mend(repair: Repair[Any]) -> int:
    """Make one repair and log what it did; how much. Raises `Unavailable` and `RedisError`."""
    finding = repair.run()
    if finding.found:
        level = logging.DEBUG if finding.name in ROUTINE else logging.INFO
        log.log(level, "%s", line_of(finding, "en", dry=False))
    return finding.mended
