"""Runs: made by a dispatch, expanded into work items in chunks, and read for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import NotFound
from backend.domain.identifiers import new_id
from backend.domain.politeness import host_of_feed
from backend.store import transitions
from backend.store.columns import now
from backend.store.tables import Delivery, Feed, MessageTask, MessageTaskFeed, Run, WorkItem
from backend.store.transitions import Change

EXPANSION_CHUNK = 1000
SCHEDULE = "schedule"


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that was just made, and how many feeds its task names."""

    run_id: str
    task_id: str
    task_name: str
    feed_count: int


def start_run(
    session: Session,
    task_id: str,
    *,
    trigger: str,
    actor: str,
    run_id: str | None = None,
    behind: str = "",
) -> StartedRun:
    """Make a run of the task; its items follow by `expand_chunk`, once the run `behind` which it waits has ended.

    `run_id` is drawn before the transaction, so that a repeated commit makes one run. Raises `NotFound`.
    """
    task = session.get(MessageTask, task_id)
    if task is None:
        raise NotFound(noun="message task", id=task_id)
    run_id = run_id or new_id()
    if session.get(Run, run_id) is None:
        row = {
            "id": run_id,
            "task_id": task.id,
            "task_name": task.name,
            "trigger": trigger,
            "actor": actor[:100],
        }
        reason = f"waits for run {behind} to end" if behind else "dispatched"
        transitions.create(session, Run, [row], actor, reason, start="queued" if behind else "")
    return StartedRun(run_id, task.id, task.name, count_feeds(session, task))


def count_feeds(session: Session, task: MessageTask) -> int:
    """How many active feeds the task names."""
    query = select(func.count()).select_from(Feed).where(Feed.is_active)
    if not task.all_feeds:
        query = query.join(MessageTaskFeed, MessageTaskFeed.feed_id == Feed.id).where(
            MessageTaskFeed.task_id == task.id
        )
    return session.scalar(query) or 0


def enabled_tasks(session: Session) -> list[str]:
    """The ids of all enabled message tasks, oldest first."""
    return list(
        session.scalars(select(MessageTask.id).where(MessageTask.enabled).order_by(MessageTask.created_at))
    )


def expanding(session: Session) -> list[str]:
    """Runs whose items are not all made yet."""
    return list(session.scalars(select(Run.id).where(Run.state == "expanding").order_by(Run.id).limit(100)))


def expand_chunk(session: Session, run_id: str, chunk: int = EXPANSION_CHUNK) -> bool:
    """Make the next work items of a run behind its cursor; True when the run is complete.

    Items and cursor are one commit, under the run's row lock, so that a crash or a second expander repeats nothing.
    """
    run = session.execute(
        select(Run.task_id, Run.cursor, Run.trigger)
        .where(Run.id == run_id, Run.state == "expanding")
        .with_for_update()
    ).first()
    if run is None:
        return True
    feeds = _next_feeds(session, run.task_id, run.cursor, chunk, due_only=run.trigger == SCHEDULE)
    items = [
        {
            "id": new_id(),
            "run_id": run_id,
            "task_id": run.task_id,
            "feed_id": feed_id,
            "feed_kind": kind,
            "host": host_of_feed(kind, url),
        }
        for feed_id, kind, url in feeds
    ]
    transitions.create(session, WorkItem, items, "dispatch", "waits for a node")
    cursor = feeds[-1][0] if feeds else run.cursor
    if len(feeds) < chunk:
        change = Change(("expanding",), "running", "dispatch", "all items made")
        transitions.move(session, Run, [run_id], change, cursor=cursor)
        return True
    session.execute(update(Run).where(Run.id == run_id).values(cursor=cursor))
    return False


def _next_feeds(
    session: Session, task_id: str, cursor: str, chunk: int, *, due_only: bool
) -> list[tuple[str, str, str]]:
    task = session.get(MessageTask, task_id)
    if task is None:
        return []
    # In the order of the task's own rows: by the feeds' order, the server sorts all that are left for each chunk.
    position = Feed.id if task.all_feeds else MessageTaskFeed.feed_id
    query = (
        select(Feed.id, Feed.kind, Feed.url)
        .where(Feed.is_active, position > cursor)
        .order_by(position)
        .limit(chunk)
    )
    if due_only:
        # Who dispatches by hand wants to see it tried; a schedule waits for a broken feed's next check.
        query = query.where(or_(Feed.next_check_at.is_(None), Feed.next_check_at <= now()))
    if not task.all_feeds:
        query = query.join(MessageTaskFeed, MessageTaskFeed.feed_id == Feed.id).where(
            MessageTaskFeed.task_id == task.id
        )
    return [(row.id, row.kind, row.url) for row in session.execute(query)]


def ended(session: Session, limit: int = 200) -> list[str]:
    """Running runs without an open item: to be closed."""
    # A subquery with a limit is asked once for each running run. MariaDB answers an EXISTS by reading all items.
    open_item = (
        select(WorkItem.id)
        .where(WorkItem.run_id == Run.id, WorkItem.state.in_(("waiting", "assigned")))
        .limit(1)
        .scalar_subquery()
    )
    query = select(Run.id).where(Run.state == "running", open_item.is_(None)).order_by(Run.id).limit(limit)
    return list(session.scalars(query))


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is: its items and deliveries by state."""

    run_id: str
    task_id: str
    task_name: str
    state: str
    items: dict[str, int]
    deliveries: dict[str, int]
    article_count: int
    new_article_count: int
    created_at: datetime
    ended_at: datetime | None

    @property
    def open(self) -> int:
        """Items and deliveries that have not ended."""
        return sum(
            counts.get(state, 0)
            for counts in (self.items, self.deliveries)
            for state in ("waiting", "assigned")
        )

    @property
    def failed(self) -> int:
        """Items and deliveries that ended badly."""
        return sum(
            counts.get(state, 0)
            for counts in (self.items, self.deliveries)
            for state in ("failed", "unconfirmed")
        )

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in {"completed", "cancelled"} and self.open == 0


def progress(session: Session, run_id: str) -> RunProgress:
    """The run's progress. Raises `NotFound`."""
    run = session.get(Run, run_id)
    if run is None:
        raise NotFound(noun="run", id=run_id)
    items: dict[str, int] = {}
    articles = fresh = 0
    query = select(
        WorkItem.state, func.count(), func.sum(WorkItem.article_count), func.sum(WorkItem.new_article_count)
    )
    for state, count, found, new in session.execute(
        query.where(WorkItem.run_id == run_id).group_by(WorkItem.state)
    ):
        items[state] = count
        articles += int(found or 0)
        fresh += int(new or 0)
    by_state = select(Delivery.state, func.count()).where(Delivery.run_id == run_id).group_by(Delivery.state)
    return RunProgress(
        run_id=run.id,
        task_id=run.task_id,
        task_name=run.task_name,
        state=run.state,
        items=items,
        deliveries={str(row[0]): int(row[1]) for row in session.execute(by_state)},
        article_count=articles,
        new_article_count=fresh,
        created_at=run.created_at,
        ended_at=run.ended_at,
    )


def list_runs(session: Session, limit: int = 20) -> list[RunProgress]:
    """The newest runs, newest first."""
    ids = session.scalars(select(Run.id).order_by(Run.id.desc()).limit(limit)).all()
    return [progress(session, run_id) for run_id in ids]


@dataclass(frozen=True, slots=True)
class RunFailure:
    """One item or delivery of a run that ended badly, with its reason."""

    kind: str
    feed_id: str
    feed_name: str
    url: str
    state: str
    error_code: str
    error_message: str
    attempts: int


def failures(session: Session, run_id: str, limit: int = 1000) -> list[RunFailure]:
    """What ended badly in the run: items first, then deliveries, by feed name."""
    found: list[RunFailure] = []
    for kind, table in (("update", WorkItem), ("deliver", Delivery)):
        query = (
            select(
                table.feed_id,
                Feed.name,
                Feed.url,
                table.state,
                table.error_code,
                table.error_message,
                table.attempts,
            )
            .outerjoin(Feed, Feed.id == table.feed_id)
            .where(table.run_id == run_id, table.state.in_(("failed", "unconfirmed")))
            .order_by(Feed.name)
            .limit(limit)
        )
        found += [
            RunFailure(kind, feed_id, name or "", url or "", state, code, message, attempts)
            for feed_id, name, url, state, code, message, attempts in session.execute(query)
        ]
    return found
