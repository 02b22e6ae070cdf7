"""The repairs that keep history small: what is old goes in small batches, a bounded part in each pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backend.dispatch.repairs import ROWS_AT_ONCE, Repair
from backend.store import join_tokens, retention, staging
from backend.store.requests import KEEP_SECONDS
from backend.store.retention import SECONDS_PER_DAY
from backend.store.session import read, transact

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from backend.domain.retention import Retention
    from backend.store.retention import Aged, Page

ROWS_OF_RUNS = 2000


def old_rows(engine: Engine, name: str, rows: Aged, seconds: float) -> Repair[str]:
    """Rows that go by their age alone."""
    return Repair(
        name,
        lambda: read(engine, lambda session: retention.aged(session, rows, seconds)),
        lambda keys: _in_batches(
            engine, keys, lambda session, part: retention.forget(session, rows, seconds, part)
        ),
    )


def _in_batches(
    engine: Engine,
    keys: Sequence[Any],
    change: Callable[[Session, Sequence[Any]], int],
    size: int = ROWS_AT_ONCE,
) -> int:
    parts = [keys[start : start + size] for start in range(0, len(keys), size)]
    return sum(transact(engine, lambda session, part=part: change(session, part)) for part in parts)  # type: ignore[misc]


def _prune_runs(engine: Engine, run_ids: Sequence[str]) -> int:
    """Delete the runs with all that belongs to them; what is large goes over several passes. How many rows."""
    rows = 0
    for run_id in run_ids:
        while rows < ROWS_OF_RUNS and (
            gone := transact(engine, lambda session, one=run_id: retention.prune_run(session, one))  # type: ignore[misc]
        ):
            rows += gone
    return rows


@dataclass(slots=True)
class Forgetter:
    """All that is old. Remembers how far it looked: what is old and must stay is not looked at in each pass."""

    engine: Engine
    retention: Retention
    positions: dict[str, str] = field(default_factory=dict)

    @property
    def repairs(self) -> list[Repair[str] | Repair[Any]]:
        """All that the settings ask for, in the order of a pass."""
        kept = self.retention
        found: list[Repair[str] | Repair[Any]] = [
            old_rows(self.engine, "sweep_old_requests", retention.REQUESTS, KEEP_SECONDS),
            old_rows(self.engine, "sweep_old_holds", retention.HOSTS, 0.0),
            old_rows(self.engine, "sweep_old_join_tokens", retention.JOIN_TOKENS, join_tokens.KEEP_SECONDS),
            old_rows(self.engine, "sweep_old_chunks", retention.CHUNKS, staging.KEEP_SECONDS),
        ]
        if kept.sync_log_days:
            found += [
                self._aged("sweep_old_sync_logs", retention.SYNC_LOGS, kept.sync_log_days),
                self._aged("sweep_old_results", retention.RESULTS, kept.sync_log_days),
            ]
        if kept.alert_days:
            found.append(self._aged("sweep_old_alerts", retention.ALERTS, kept.alert_days))
        if kept.runs_days:
            found += self._runs(kept.runs_days)
        if kept.articles_days:
            look = retention.old_articles
            found.append(
                self._paged("sweep_old_articles", kept.articles_days, look, retention.prune_articles)
            )
        return found

    def _aged(self, name: str, rows: Aged, days: float) -> Repair[str]:
        return old_rows(self.engine, name, rows, days * SECONDS_PER_DAY)

    def _runs(self, days: float) -> list[Repair[str] | Repair[Any]]:
        return [
            Repair(
                "sweep_old_runs",
                lambda: self._look("sweep_old_runs", days, retention.old_runs),
                lambda ids: _prune_runs(self.engine, ids),
            ),
            self._paged("sweep_old_deliveries", days, retention.old_deliveries, retention.prune_deliveries),
            self._paged(
                "sweep_old_publish_tasks",
                days,
                retention.old_publish_tasks,
                retention.prune_publish_tasks,
            ),
            self._paged(
                "sweep_old_allocations",
                days,
                retention.old_allocations,
                retention.prune_allocations,
                retention.ALLOCATIONS_AT_ONCE,
            ),
            self._aged("sweep_old_ticks", retention.TICKS, days),
            self._paged("sweep_old_history", days, retention.old_history, retention.prune_history),
        ]

    def _paged(
        self,
        name: str,
        days: float,
        look: Callable[[Session, float, str], Page],
        change: Callable[[Session, Sequence[Any]], int],
        size: int = ROWS_AT_ONCE,
    ) -> Repair[Any]:
        return Repair(
            name,
            lambda: self._look(name, days, look),
            lambda ids: _in_batches(self.engine, ids, change, size),
        )

    def _look(self, name: str, days: float, look: Callable[[Session, float, str], Page]) -> tuple[Any, ...]:
        after = self.positions.get(name, "")
        page = read(self.engine, lambda session: look(session, days, after))
        self.positions[name] = page.next
        return page.ids
