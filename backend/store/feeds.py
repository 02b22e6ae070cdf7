"""Feeds: adding, importing, listing, changing, deleting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict, NotFound
from backend.domain.feeds import FeedDraft
from backend.domain.politeness import host_of_feed
from backend.store.alerts import close_alerts
from backend.store.feed_health import FEED_ALERTS, WORKER_DIED
from backend.store.inserting import chunked, insert_missing
from backend.store.tables import Feed, FeedMove, MessageTaskFeed, WorkItem
from backend.store.withdrawing import OPEN_ITEM, withdraw_feed


@dataclass(frozen=True, slots=True)
class FeedView:
    """A feed as people see it."""

    id: str
    kind: str
    name: str
    url: str
    faker_id: str
    cover: str
    intro: str
    is_active: bool
    collected_at: datetime | None
    error_code: str
    error_message: str
    failure_count: int
    next_check_at: datetime | None
    paused_reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ImportCount:
    """How many feeds an import added, and how many it found already there."""

    added: int
    existing: int


def create_feed(session: Session, draft: FeedDraft) -> FeedView:
    """Add the feed. Raises `Conflict`, naming the feed that is there already."""
    insert_missing(session, Feed, [feed_columns(draft)])
    standing = _by_hash(session, draft.url_hash)
    if standing is None or standing.id != draft.id:
        raise _exists(standing)
    return _view(standing)


def import_feeds(session: Session, drafts: Sequence[FeedDraft]) -> ImportCount:
    """Add the feeds that are not there yet; doing it again adds nothing and counts the same for the same drafts."""
    unique = {draft.url_hash: draft for draft in reversed(drafts)}
    ordered = sorted(unique.values(), key=lambda draft: draft.url_hash)
    added = 0
    for part in chunked(ordered):
        insert_missing(session, Feed, [feed_columns(draft) for draft in part])
        ids = [draft.id for draft in part]
        added += session.scalar(select(func.count()).select_from(Feed).where(Feed.id.in_(ids))) or 0
    return ImportCount(added, len(drafts) - added)


def list_feeds(
    session: Session, *, q: str = "", kind: str = "", limit: int = 50, offset: int = 0
) -> tuple[list[FeedView], int]:
    """The newest feeds whose name or URL contains `q`, and how many there are."""
    filters: list[ColumnElement[bool]] = []
    if q:
        filters.append(or_(Feed.name.icontains(q, autoescape=True), Feed.url.icontains(q, autoescape=True)))
    if kind:
        filters.append(Feed.kind == kind)
    total = session.scalar(select(func.count()).select_from(Feed).where(*filters)) or 0
    newest = select(Feed).where(*filters).order_by(Feed.created_at.desc(), Feed.id.desc())
    return [_view(row) for row in session.scalars(newest.limit(limit).offset(offset))], total


def feeds_after(session: Session, last_id: str, limit: int) -> list[FeedView]:
    """The next feeds by id: for walking through all of them in short transactions."""
    query = select(Feed).where(Feed.id > last_id).order_by(Feed.id).limit(limit)
    return [_view(row) for row in session.scalars(query)]


def get_feed(session: Session, feed_id: str) -> FeedView:
    """The feed. Raises `NotFound`."""
    return _view(_load(session, feed_id, lock=False))


@dataclass(frozen=True, slots=True)
class FeedMoveView:
    """A permanent redirect that a feed's address followed."""

    from_url: str
    to_url: str
    at: datetime


def moves_of(session: Session, feed_id: str, limit: int = 20) -> list[FeedMoveView]:
    """How the feed's address changed by itself, newest first."""
    query = select(FeedMove.from_url, FeedMove.to_url, FeedMove.at).where(FeedMove.feed_id == feed_id)
    return [FeedMoveView(*row) for row in session.execute(query.order_by(FeedMove.id.desc()).limit(limit))]


def update_feed(
    session: Session,
    feed_id: str,
    *,
    address: FeedDraft | None = None,
    name: str = "",
    is_active: bool | None = None,
) -> FeedView:
    """Change what is given: name, whether it is collected, kind and address (whose validators then start anew).

    Raises `NotFound`, and `Conflict` naming the feed that has the address already.
    """
    if address is not None:
        _lock_open_items(session, feed_id)
    row = _load(session, feed_id, lock=True)
    if address is not None and address.url_hash != row.url_hash:
        _move(session, row, address)
    if name:
        row.name = name
    if is_active is not None:
        _switch(session, row, on=is_active)
    try:
        session.flush()
    except IntegrityError:
        # Somebody added the same address between the look and the write.
        raise Conflict(detail="another feed has just got this address") from None
    return _view(row)


def _move(session: Session, row: Feed, address: FeedDraft) -> None:
    other = _by_hash(session, address.url_hash)
    if other is not None:
        raise _exists(other)
    _readdress_items(session, row.id, address)
    row.kind, row.url, row.url_hash = address.kind, address.url, address.url_hash
    row.etag = row.last_modified = row.error_code = row.error_message = ""
    if row.paused_reason == WORKER_DIED:
        # It was what came from the old address that killed its workers.
        row.is_active, row.paused_reason = True, ""
    _forget_trouble(session, row)


def _switch(session: Session, row: Feed, *, on: bool) -> None:
    row.is_active = on
    row.paused_reason = ""
    if on:
        _forget_trouble(session, row)


def _forget_trouble(session: Session, row: Feed) -> None:
    """A person looked after the feed: it is checked again at once, and nobody needs to be told of it any more."""
    row.failure_count, row.next_check_at = 0, None
    close_alerts(session, row.id, *FEED_ALERTS)


def _readdress_items(session: Session, feed_id: str, address: FeedDraft) -> None:
    """Work that waits for a node must wait for one that collects the new kind, and for no other host than the new one."""
    ids = session.scalars(
        select(WorkItem.id).where(WorkItem.feed_id == feed_id, WorkItem.state.in_(OPEN_ITEM))
    ).all()
    session.execute(
        update(WorkItem)
        .where(WorkItem.id.in_(sorted(ids)))
        .values(feed_kind=address.kind, host=host_of_feed(address.kind, address.url)),
        execution_options={"synchronize_session": False},
    )


def delete_feed(session: Session, feed_id: str, *, actor: str) -> None:
    """Delete the feed and its membership in tasks; its articles go with `articles.delete_some`.

    Raises `Conflict` while a node is collecting it.
    """
    _lock_open_items(session, feed_id)
    row = _load(session, feed_id, lock=True)
    withdraw_feed(session, feed_id, name=row.name, actor=actor)
    session.execute(delete(MessageTaskFeed).where(MessageTaskFeed.feed_id == feed_id))
    session.execute(delete(FeedMove).where(FeedMove.feed_id == feed_id))
    close_alerts(session, feed_id, *FEED_ALERTS)
    session.delete(row)


def missing_feeds(session: Session, feed_ids: Sequence[str]) -> list[str]:
    """Those of the ids that are no feed's, in their order."""
    known: set[str] = set()
    for part in chunked(feed_ids):
        known.update(session.scalars(select(Feed.id).where(Feed.id.in_(part))))
    return [one for one in feed_ids if one not in known]


def count_feeds(session: Session) -> int:
    """How many feeds there are."""
    return session.scalar(select(func.count()).select_from(Feed)) or 0


def _lock_open_items(session: Session, feed_id: str) -> None:
    """Items before their feed, as settles do: whoever takes them the other way round deadlocks with one."""
    of_feed = select(WorkItem.id).where(WorkItem.feed_id == feed_id, WorkItem.state.in_(OPEN_ITEM))
    # Read first, locked by key: the state as a condition of the lock lets the server walk the items of others.
    if ids := session.scalars(of_feed).all():
        by_key = select(WorkItem.id).where(WorkItem.id.in_(ids)).order_by(WorkItem.id)
        session.execute(by_key.with_for_update())


def _load(session: Session, feed_id: str, *, lock: bool) -> Feed:
    row = session.get(Feed, feed_id, with_for_update=lock or None)
    if row is None:
        raise NotFound(noun="feed", id=feed_id)
    return row


def _by_hash(session: Session, url_hash: str) -> Feed | None:
    return session.execute(select(Feed).where(Feed.url_hash == url_hash)).scalar_one_or_none()


def _exists(standing: Feed | None) -> Conflict:
    if standing is None:
        return Conflict(detail="the id is taken")
    return Conflict("feed_exists", name=standing.name, existing_id=standing.id)


def feed_columns(draft: FeedDraft) -> dict[str, str]:
    """What the store holds of a draft."""
    return {
        "id": draft.id,
        "kind": draft.kind,
        "name": draft.name,
        "url": draft.url,
        "url_hash": draft.url_hash,
        "faker_id": draft.faker_id,
        "cover": draft.cover,
        "intro": draft.intro,
    }


def _view(row: Feed) -> FeedView:
    return FeedView(
        id=row.id,
        kind=row.kind,
        name=row.name,
        url=row.url,
        faker_id=row.faker_id,
        cover=row.cover,
        intro=row.intro,
        is_active=row.is_active,
        collected_at=row.collected_at,
        error_code=row.error_code,
        error_message=row.error_message,
        failure_count=row.failure_count,
        next_check_at=row.next_check_at,
        paused_reason=row.paused_reason,
        created_at=row.created_at,
    )
