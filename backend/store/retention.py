"""What is old: found by index without locks, a bounded number at a time, and deleted by key, repeating the condition.

Runs go with their items and update allocations, everything else by its own age. Nothing goes that something unfinished
still refers to. What a message task has sent stays known as long as the article: `delivery_articles` is never pruned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, delete, func, or_, select, update
from sqlalchemy.orm import Session

from backend.domain.identifiers import first_id_of
from backend.domain.states import LIFE_CYCLES
from backend.store import publishing, transitions
from backend.store.columns import now
from backend.store.tables import (
    Alert,
    AlertNotice,
    Allocation,
    Article,
    Base,
    Delivery,
    DeliveryArticle,
    History,
    Host,
    IdempotentRequest,
    JoinToken,
    PublishTask,
    Result,
    Run,
    StagedChunk,
    SyncLog,
    Tick,
    WorkItem,
)

BATCH = 200
RUNS_AT_ONCE = 100
# With its history an allocation is several rows.
ALLOCATIONS_AT_ONCE = 30
WINDOW = 1000
SECONDS_PER_DAY = 86_400.0
ENDED_RUN = ("completed", "cancelled")
OPEN_RUN = ("queued", "expanding", "running")
OPEN_ITEM = OPEN_DELIVERY = ("waiting", "assigned")
OPEN_PUBLISH = tuple(sorted(LIFE_CYCLES["publish_task"].states - {"success", "failed", "cancelled"}))
OPEN_ALLOCATION = ("pending", "claimed", "executing")


@dataclass(frozen=True, slots=True)
class Aged:
    """Rows that go by their age alone: of which table, and by which indexed time."""

    table: type[Base]
    at: Any

    @property
    def key(self) -> Any:
        """The column of its primary key."""
        (column,) = self.table.__table__.primary_key
        return column


SYNC_LOGS = Aged(SyncLog, SyncLog.completed_at)
RESULTS = Aged(Result, Result.created_at)
ALERTS = Aged(Alert, Alert.closed_at)
TICKS = Aged(Tick, Tick.decided_at)
REQUESTS = Aged(IdempotentRequest, IdempotentRequest.created_at)
HOSTS = Aged(Host, Host.held_until)
JOIN_TOKENS = Aged(JoinToken, JoinToken.expires_at)
CHUNKS = Aged(StagedChunk, StagedChunk.created_at)


def aged(session: Session, rows: Aged, seconds: float, limit: int = WINDOW) -> list[str]:
    """The keys of rows that are older than so many seconds, oldest first."""
    query = select(rows.key).where(rows.at < now(-seconds)).order_by(rows.at).limit(limit)
    return list(session.scalars(query))


def forget(session: Session, rows: Aged, seconds: float, keys: Sequence[str]) -> int:
    """Delete those of the rows that are still that old; how many."""
    if rows is ALERTS:
        # What is closed stays closed, so these are as old.
        _delete(session, delete(AlertNotice).where(AlertNotice.alert_id.in_(sorted(keys))))
    return _delete(session, delete(rows.table).where(rows.key.in_(sorted(keys)), rows.at < now(-seconds)))


def _delete(session: Session, statement: Any) -> int:
    result = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount


def _before(session: Session, days: float) -> datetime:
    return session.scalars(select(now())).one() - timedelta(days=days)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what is old: what of it may go, and where the next part begins ('' at the end)."""

    ids: tuple[Any, ...] = ()
    next: str = ""


def _page(rows: Sequence[Any], position: str, ids: Sequence[Any], size: int = 0) -> Page:
    return Page(tuple(ids), str(getattr(rows[-1], position)) if len(rows) == (size or WINDOW) else "")


def old_runs(session: Session, days: float, after: str) -> Page:
    """Runs that ended so long ago and have nothing open left, of those behind `after`."""
    before = _before(session, days)
    query = select(Run.id, Run.state, Run.ended_at).where(Run.id > after, Run.id < first_id_of(before))
    rows = session.execute(query.order_by(Run.id).limit(RUNS_AT_ONCE)).all()
    over = [row.id for row in rows if _is_over(row, OPEN_RUN, before)]
    unfinished = _unfinished(session, over)
    return _page(rows, "id", [one for one in over if one not in unfinished], RUNS_AT_ONCE)


def _unfinished(session: Session, run_ids: Sequence[str]) -> set[str]:
    """Those of the runs that have an open item, delivery or allocation."""
    found: set[str] = set()
    if run_ids:
        for table, states in (
            (WorkItem, OPEN_ITEM),
            (Delivery, OPEN_DELIVERY),
            (Allocation, OPEN_ALLOCATION),
        ):
            query = select(table.run_id).where(table.run_id.in_(run_ids), table.state.in_(states))
            found.update(one for one in session.scalars(query.distinct()) if one)
    return found


def prune_run(session: Session, run_id: str) -> int:
    """Delete a bounded part of an ended run, itself last; how many rows, 0 when it is gone or runs again."""
    locked = transitions.lock(session, Run, run_id)
    if locked is None or locked[0] not in ENDED_RUN:
        return 0
    of_run = select(WorkItem.id).where(WorkItem.run_id == run_id).order_by(WorkItem.id).limit(BATCH)
    if items := session.scalars(of_run).all():
        return _delete(session, delete(WorkItem).where(WorkItem.id.in_(items)))
    of_run = select(Allocation.id).where(Allocation.run_id == run_id).order_by(Allocation.id)
    if allocations := session.scalars(of_run.limit(ALLOCATIONS_AT_ONCE)).all():
        return _delete_recorded(session, Allocation, allocations)
    return _delete_recorded(session, Run, [run_id])


def _delete_recorded(
    session: Session, table: type[Allocation | Run], ids: Sequence[str], *guards: ColumnElement[bool]
) -> int:
    gone = _delete(session, delete(table).where(table.id.in_(ids), *guards))
    if gone == len(ids):
        noun = transitions.NOUNS[table]
        gone += _delete(session, delete(History).where(History.noun == noun, History.subject_id.in_(ids)))
    return gone


def old_deliveries(session: Session, days: float, after: str) -> Page:
    """Deliveries that ended so long ago, of those behind `after`."""
    before = _before(session, days)
    query = select(Delivery.id, Delivery.state, Delivery.ended_at).where(
        Delivery.id > after, Delivery.id < first_id_of(before)
    )
    rows = session.execute(query.order_by(Delivery.id).limit(WINDOW)).all()
    return _page(rows, "id", [row.id for row in rows if _is_over(row, OPEN_DELIVERY, before)])


def _is_over(row: Any, open_states: Sequence[str], before: datetime) -> bool:
    return row.state not in open_states and row.ended_at is not None and row.ended_at < before


def prune_deliveries(session: Session, ids: Sequence[str]) -> int:
    """Delete those of the deliveries that have still ended."""
    return _delete(
        session, delete(Delivery).where(Delivery.id.in_(ids), Delivery.state.not_in(OPEN_DELIVERY))
    )


def old_publish_tasks(session: Session, days: float, after: str) -> Page:
    """Publish tasks that ended so long ago, of those behind `after`. What a person must still look at stays."""
    before = _before(session, days)
    query = select(PublishTask.id, PublishTask.state, PublishTask.completed_at.label("ended_at")).where(
        PublishTask.id > after, PublishTask.id < first_id_of(before)
    )
    rows = session.execute(query.order_by(PublishTask.id).limit(WINDOW)).all()
    return _page(rows, "id", [row.id for row in rows if _is_over(row, OPEN_PUBLISH, before)])


def prune_publish_tasks(session: Session, ids: Sequence[str]) -> int:
    """Delete those of the publish tasks that have still ended, with their history."""
    locked = select(PublishTask.id).where(PublishTask.id.in_(ids), PublishTask.state.not_in(OPEN_PUBLISH))
    over = session.scalars(locked.with_for_update()).all()
    publishing.forget_tasks(session, over)
    return len(over)


def old_allocations(session: Session, days: float, after: str) -> Page:
    """Allocations that ended so long ago and belong to no run, of those behind `after`."""
    before = _before(session, days)
    query = (
        select(Allocation.id, Allocation.state, Allocation.ended_at, Run.id.label("run"))
        .outerjoin(Run, Run.id == Allocation.run_id)
        .where(Allocation.id > after, Allocation.id < first_id_of(before))
    )
    rows = session.execute(query.order_by(Allocation.id).limit(WINDOW)).all()
    over = [row.id for row in rows if row.run is None and _is_over(row, OPEN_ALLOCATION, before)]
    named = _named(session, over)
    return _page(rows, "id", [one for one in over if one not in named])


def _named(session: Session, ids: Sequence[str]) -> set[str]:
    """Those that an unfinished delivery or publish task still names."""
    found: set[str] = set()
    for table, states in ((Delivery, OPEN_DELIVERY), (PublishTask, OPEN_PUBLISH)):
        if ids:
            query = select(table.allocation_id).where(table.allocation_id.in_(ids), table.state.in_(states))
            found.update(one for one in session.scalars(query) if one)
    return found


def prune_allocations(session: Session, ids: Sequence[str]) -> int:
    """Delete those of the allocations that have still ended, with their history."""
    over = session.scalars(
        select(Allocation.id).where(Allocation.id.in_(ids), Allocation.state.not_in(OPEN_ALLOCATION))
    ).all()
    return _delete_recorded(session, Allocation, over) if over else 0


def old_history(session: Session, days: float, after: str) -> Page:
    """History of what is gone, of nodes, and of publish tasks that have ended: older than so many days, behind `after`."""
    query = select(History.id, History.noun, History.subject_id, History.at).where(
        History.at < now(-days * SECONDS_PER_DAY)
    )
    if after:
        query = query.where(History.at >= datetime.fromisoformat(after))
    rows = session.execute(query.order_by(History.at, History.id).limit(WINDOW)).all()
    kept = _kept_subjects(session, rows)
    return _page(rows, "at", [row.id for row in rows if row.subject_id not in kept.get(row.noun, ())])


def _kept_subjects(session: Session, rows: Sequence[Any]) -> Mapping[str, set[str]]:
    """By noun, the subjects that are there (of publish tasks: and have not ended)."""
    open_publish = PublishTask.state.not_in(("success", "failed", "cancelled"))
    kept: dict[str, set[str]] = {}
    for table, guards in ((Allocation, ()), (Run, ()), (PublishTask, (open_publish,))):
        noun = transitions.NOUNS[table]
        ids = sorted({row.subject_id for row in rows if row.noun == noun})
        if ids:
            kept[noun] = set(session.scalars(select(table.id).where(table.id.in_(ids), *guards)))
    return kept


def prune_history(session: Session, ids: Sequence[int]) -> int:
    """Delete these rows of the history."""
    return _delete(session, delete(History).where(History.id.in_(ids)))


def old_articles(session: Session, days: float, after: str) -> Page:
    """Articles first stored so long ago that still have their text and are in no open delivery, behind `after`."""
    query = select(
        Article.id,
        Article.first_stored_at,
        or_(func.length(Article.content) > 0, func.length(Article.summary) > 0).label("full"),
    ).where(Article.first_stored_at < now(-days * SECONDS_PER_DAY))
    if after:
        query = query.where(Article.first_stored_at >= datetime.fromisoformat(after))
    rows = session.execute(query.order_by(Article.first_stored_at, Article.id).limit(WINDOW)).all()
    full = [row.id for row in rows if row.full]
    due = _due(session, full)
    return _page(rows, "first_stored_at", [one for one in full if one not in due])


def _due(session: Session, ids: Sequence[str]) -> set[str]:
    query = (
        select(DeliveryArticle.article_id)
        .join(Delivery, Delivery.id == DeliveryArticle.delivery_id)
        .where(
            DeliveryArticle.article_id.in_(ids), Delivery.state.in_((*OPEN_DELIVERY, "unconfirmed", "failed"))
        )
    )
    return set(session.scalars(query)) if ids else set()


def prune_articles(session: Session, ids: Sequence[str]) -> int:
    """Empty the articles' text. The row stays: a feed that still lists the article would else bring it as a new one."""
    statement = update(Article).where(Article.id.in_(ids)).values(summary="", content="")
    return _delete(session, statement)
