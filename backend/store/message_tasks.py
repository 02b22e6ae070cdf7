"""Message tasks: saved jobs. What could open somebody's receiver is stored encrypted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import CascadeError, Conflict, InvalidInput, NotFound
from backend.domain.message_tasks import ALL_FEEDS, CheckedTask, TaskContent
from backend.domain.schedules import Schedule
from backend.store import ticks
from backend.store.cipher import Cipher
from backend.store.columns import now
from backend.store.feeds import missing_feeds
from backend.store.inserting import chunked
from backend.store.tables import Delivery, MessageTask, MessageTaskFeed, Node, Tick
from backend.store.withdrawing import end_deliveries, withdraw_task


@dataclass(frozen=True, slots=True)
class TaskView:
    """A message task, its secrets in clear: mask them for whoever may not see them."""

    id: str
    content: TaskContent
    receiver_kind: str
    baseline_at: datetime
    created_at: datetime
    paused: bool = False
    next_fire_at: datetime | None = None

    def fire_times(self, count: int) -> list[datetime]:
        """The next times at which the schedule fires; none while it is paused."""
        if self.paused or self.next_fire_at is None:
            return []
        return Schedule(self.content.cron_exp, self.content.time_zone).upcoming(self.next_fire_at, count)


def create_task(session: Session, cipher: Cipher, task_id: str, task: CheckedTask) -> TaskView:
    """Add the task; `task_id` is drawn before the transaction. Raises `InvalidInput` for feeds that do not exist.

    Its baseline is now, so that articles which are there already are not delivered.
    """
    if session.get(MessageTask, task_id) is None:
        _check_feeds(session, task.content)
        _check_autonomous(session, task.content)
        at = ticks.clock(session)
        values = {"next_fire_at": _next_fire_at(session, task_id, task.content, at), **_columns(cipher, task)}
        session.execute(insert(MessageTask).values(id=task_id, **values))
        _add_feeds(session, task_id, _named(task.content))
    return get_task(session, cipher, task_id)


def get_task(session: Session, cipher: Cipher, task_id: str, *, lock: bool = False) -> TaskView:
    """The task; with `lock` nobody else changes it in this transaction. Raises `NotFound`."""
    row = session.get(MessageTask, task_id, with_for_update=lock or None)
    if row is None:
        raise NotFound(noun="message task", id=task_id)
    return _view(cipher, row, _feeds_of(session, [task_id]).get(task_id, ()))


def list_tasks(
    session: Session, cipher: Cipher, *, limit: int = 50, offset: int = 0
) -> tuple[list[TaskView], int]:
    """The newest tasks, and how many there are."""
    newest = select(MessageTask).order_by(MessageTask.created_at.desc(), MessageTask.id.desc())
    rows = session.scalars(newest.limit(limit).offset(offset)).all()
    feeds = _feeds_of(session, [row.id for row in rows])
    return [_view(cipher, row, feeds.get(row.id, ())) for row in rows], count_tasks(session)


def update_task(
    session: Session, cipher: Cipher, task_id: str, before: TaskContent, after: CheckedTask, *, actor: str
) -> TaskView:
    """Change the task from what the caller saw to what it wants. Raises `Conflict` when it changed meanwhile.

    Baselines: a feed that is new to the task starts now. The whole task starts now when it gets a receiver,
    is switched on, or goes from named feeds to all: what was collected before must not flood out. Feeds that
    are named after "all" belonged to the task before and keep its baseline.
    """
    row = session.get(MessageTask, task_id, with_for_update=True)
    if row is None:
        raise NotFound(noun="message task", id=task_id)
    standing = get_task(session, cipher, task_id)
    if standing.content == after.content:
        return standing
    if standing.content != before:
        raise Conflict("task_changed", name=standing.content.name)
    _check_feeds(session, after.content)
    if before.autonomous_node_id != after.content.autonomous_node_id:
        _check_autonomous(session, after.content)
    _change_feeds(session, standing, after.content)
    values = _columns(cipher, after)
    if _starts_anew(before, after.content):
        values["baseline_at"] = now()
    if _timing(before) != _timing(after.content):
        at = ticks.clock(session)
        ticks.skip_overdue(session, row, at, "its schedule was changed before it fired")
        values["next_fire_at"] = _next_fire_at(session, task_id, after.content, at)
    session.execute(update(MessageTask).where(MessageTask.id == task_id).values(**values))
    if before.web_hook_url and not after.content.web_hook_url:
        end_deliveries(
            session, Delivery.task_id == task_id, actor, "its message task has no receiver any more"
        )
    session.expire_all()
    return get_task(session, cipher, task_id)


def delete_task(session: Session, task_id: str, *, actor: str) -> None:
    """Delete the task, end its runs and cancel its waiting deliveries. Raises `NotFound`."""
    row = session.get(MessageTask, task_id, with_for_update=True)
    if row is None:
        raise NotFound(noun="message task", id=task_id)
    withdraw_task(session, task_id, actor=actor)
    session.execute(delete(Tick).where(Tick.task_id == task_id))
    session.execute(delete(MessageTaskFeed).where(MessageTaskFeed.task_id == task_id))
    session.delete(row)


def find_task(session: Session, name: str) -> str:
    """The id of the task of that id or name. Raises `NotFound`, and `Conflict` when several have the name."""
    if session.get(MessageTask, name) is not None:
        return name
    ids = session.scalars(select(MessageTask.id).where(MessageTask.name == name).limit(2)).all()
    if not ids:
        raise NotFound(noun="message task", id=name)
    if len(ids) > 1:
        raise Conflict("task_name_ambiguous", name=name)
    return ids[0]


def count_tasks(session: Session) -> int:
    """How many tasks there are."""
    return session.scalar(select(func.count()).select_from(MessageTask)) or 0


def _timing(content: TaskContent) -> tuple[str, str, bool]:
    return content.cron_exp, content.time_zone, content.enabled


def _next_fire_at(session: Session, task_id: str, content: TaskContent, at: datetime) -> datetime | None:
    if not content.enabled or not content.cron_exp:
        return None
    return ticks.next_fire_at(session, task_id, Schedule(content.cron_exp, content.time_zone), at)


def _starts_anew(before: TaskContent, after: TaskContent) -> bool:
    gets_receiver = bool(after.web_hook_url) and not before.web_hook_url
    switched_on = after.enabled and not before.enabled
    widened = after.feed_ids == ALL_FEEDS != before.feed_ids
    return gets_receiver or switched_on or widened


def _change_feeds(session: Session, standing: TaskView, after: TaskContent) -> None:
    had, wanted = set(_named(standing.content)), set(_named(after))
    for part in chunked(sorted(had - wanted)):
        session.execute(
            delete(MessageTaskFeed).where(
                MessageTaskFeed.task_id == standing.id, MessageTaskFeed.feed_id.in_(part)
            )
        )
    belonged = standing.content.feed_ids == ALL_FEEDS
    _add_feeds(session, standing.id, sorted(wanted - had), standing.baseline_at if belonged else None)


def _add_feeds(
    session: Session, task_id: str, feed_ids: Sequence[str], baseline: datetime | None = None
) -> None:
    given: dict[str, Any] = {} if baseline is None else {"baseline_at": baseline}
    for part in chunked(feed_ids):
        rows = [{"task_id": task_id, "feed_id": one, **given} for one in part]
        session.execute(insert(MessageTaskFeed), rows)


def _check_feeds(session: Session, content: TaskContent) -> None:
    missing = missing_feeds(session, _named(content))
    if missing:
        trouble: CascadeError = InvalidInput("unknown_feeds", count=len(missing), first=missing[0])
        raise InvalidInput(fields={"feed_ids": trouble})


def _check_autonomous(session: Session, content: TaskContent) -> None:
    """Only a remote node needs to run something by itself: attached ones see the database or do nothing."""
    if not content.autonomous_node_id:
        return
    node = session.get(Node, content.autonomous_node_id)
    if node is None or node.transport != "remote":
        trouble: CascadeError = InvalidInput("no_autonomous_node", id=content.autonomous_node_id)
        raise InvalidInput(fields={"autonomous_node_id": trouble})


def _named(content: TaskContent) -> tuple[str, ...]:
    return () if content.feed_ids == ALL_FEEDS else content.feed_ids


def _feeds_of(session: Session, task_ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    query = select(MessageTaskFeed.task_id, MessageTaskFeed.feed_id).where(
        MessageTaskFeed.task_id.in_(task_ids)
    )
    for task_id, feed_id in session.execute(query):
        found.setdefault(task_id, []).append(feed_id)
    return found


def _columns(cipher: Cipher, task: CheckedTask) -> dict[str, Any]:
    content = task.content
    return {
        "name": content.name,
        "all_feeds": content.feed_ids == ALL_FEEDS,
        "message_type": content.message_type,
        "message_template": content.message_template,
        "web_hook_url": cipher.encrypt(content.web_hook_url),
        "headers": cipher.encrypt(content.headers),
        "cookies": cipher.encrypt(content.cookies),
        "receiver": task.receiver.key if task.receiver else "",
        "receiver_kind": task.receiver.kind.value if task.receiver else "",
        "cron_exp": content.cron_exp,
        "time_zone": content.time_zone,
        "enabled": content.enabled,
        "overlap": content.overlap,
        "autonomous_node_id": content.autonomous_node_id or None,
    }


def _view(cipher: Cipher, row: MessageTask, feed_ids: Iterable[str]) -> TaskView:
    content = TaskContent(
        name=row.name,
        feed_ids=ALL_FEEDS if row.all_feeds else tuple(sorted(feed_ids)),
        message_type=row.message_type,
        message_template=row.message_template,
        web_hook_url=cipher.decrypt(row.web_hook_url),
        headers=cipher.decrypt(row.headers),
        cookies=cipher.decrypt(row.cookies),
        cron_exp=row.cron_exp,
        time_zone=row.time_zone,
        enabled=row.enabled,
        overlap=row.overlap,
        autonomous_node_id=row.autonomous_node_id or "",
    )
    return TaskView(
        id=row.id,
        content=content,
        receiver_kind=row.receiver_kind,
        baseline_at=row.baseline_at,
        created_at=row.created_at,
        paused=row.paused,
        next_fire_at=row.next_fire_at,
    )
