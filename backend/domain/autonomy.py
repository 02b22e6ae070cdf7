"""What a child collected by itself while it did not reach its parent: which ticks it runs, and how it tells of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.domain.orders import Failure, FetchResult
from backend.domain.schedules import Due, Schedule, due_ticks

BATCH = 10
# Clocks of machines differ; a tick further ahead than that is a wrong clock's.
AHEAD = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class TickItem:
    """How one feed went."""

    feed_id: str
    result: FetchResult | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class TickReport:
    """What one batch of a tick brought. (`task_id`, `planned_at`) is the tick; `execution` tells its report from others."""

    task_id: str
    planned_at: datetime
    execution: str
    items: tuple[TickItem, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalTask:
    """A message task in a child's copy. `feed_ids` is `None` for all feeds; of where it is delivered to nothing is kept."""

    id: str
    name: str
    feed_ids: tuple[str, ...] | None
    cron_exp: str
    time_zone: str = "UTC"
    autonomous: bool = False
    paused: bool = False


def tick_to_run(task: LocalTask, since: datetime, now: datetime) -> Due | None:
    """The ticks of the task after `since`, which are run as one, or `None` when none has come.

    Raises what an expression or a time zone that this machine can't read raises.
    """
    if not task.autonomous or task.paused or not task.cron_exp:
        return None
    schedule = Schedule(task.cron_exp, task.time_zone)
    first = schedule.next_after(since)
    return None if first is None or first > now else due_ticks(schedule, first, now)


def batches(feed_ids: Sequence[str], size: int = BATCH) -> list[tuple[str, ...]]:
    """The feeds in pieces that are worked on side by side."""
    return [tuple(feed_ids[start : start + size]) for start in range(0, len(feed_ids), size)]
