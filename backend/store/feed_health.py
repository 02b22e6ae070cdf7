"""What the end of an item says about its feed: collected, broken until a next check, moved, or gone."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.domain.errors import InvalidInput
from backend.domain.feeds import check_url, url_hash
from backend.domain.orders import Failure, FetchResult, ItemOutcome
from backend.domain.politeness import next_check_seconds
from backend.store.alerts import open_alert
from backend.store.columns import now
from backend.store.tables import Feed, FeedMove, core

log = logging.getLogger(__name__)

GONE = "feed_gone"
WORKER_DIED = "worker_died"
MOVES_KEPT = 20
FEED_ALERTS = ("alert_feed_gone", "alert_feed_duplicate", "alert_feed_quarantined")
FEEDS = core(Feed)
LOCKED_COLUMNS = (
    FEEDS.c.id,
    FEEDS.c.kind,
    FEEDS.c.name,
    FEEDS.c.url,
    FEEDS.c.etag,
    FEEDS.c.last_modified,
    FEEDS.c.failure_count,
)


def lock_feeds(session: Session, items: Iterable[ItemOutcome]) -> dict[str, Any]:
    """The feeds that still exist: one may have been deleted while it was collected, its articles would belong to nothing.

    Locked in one order, so that settles whose runs share feeds wait for each other instead of deadlocking.
    """
    query = (
        select(*LOCKED_COLUMNS)
        .where(FEEDS.c.id.in_({one.feed_id for one in items}))
        .order_by(FEEDS.c.id)
        .with_for_update()
    )
    return {row.id: row for row in session.execute(query)}


def note_ends(
    session: Session, items: Sequence[ItemOutcome], feeds: Mapping[str, Any], ended: Collection[str]
) -> None:
    """Record on the (locked) feeds what these items brought; `ended` names the items whose last attempt failed."""
    _collected(session, {one.feed_id: one.result for one in items if one.result}, feeds)
    for one in items:
        row = feeds.get(one.feed_id)
        if row is not None and one.failure is not None:
            _failed(session, row, one.failure, final=one.item_id in ended)


def _collected(session: Session, found: Mapping[str, FetchResult], feeds: Mapping[str, Any]) -> None:
    results = {feed_id: result for feed_id, result in found.items() if feed_id in feeds}
    if not results:
        return
    session.execute(
        update(FEEDS)
        .where(FEEDS.c.id.in_(sorted(results)))
        .values(collected_at=now(), error_code="", error_message="", failure_count=0, next_check_at=None)
    )
    _keep_validators(session, results, feeds)
    for feed_id, result in results.items():
        if result.final_url and result.asked_url and result.final_url != result.asked_url:
            _follow(session, feeds[feed_id], result.asked_url, result.final_url)


def _keep_validators(session: Session, results: Mapping[str, FetchResult], feeds: Mapping[str, Any]) -> None:
    """What the next conditional request sends; most collections bring none that is new."""
    changed = []
    for feed_id, result in results.items():
        kept = {"etag": result.etag[:512], "last_modified": result.last_modified[:128]}
        row = feeds[feed_id]
        if not result.not_modified and kept != {"etag": row.etag, "last_modified": row.last_modified}:
            changed.append({"feed": feed_id, **kept})
    if changed:
        session.execute(update(FEEDS).where(FEEDS.c.id == bindparam("feed")), changed)


def _failed(session: Session, row: Any, failure: Failure, *, final: bool) -> None:
    values: dict[str, Any] = {"error_code": failure.code, "error_message": failure.message}
    if final:
        failures = row.failure_count + 1
        wait = next_check_seconds(failures, failure.retry_after)
        values |= {"failure_count": failures, "next_check_at": now(wait)}
        if failure.code == GONE:
            values |= {"is_active": False, "paused_reason": GONE, "next_check_at": None}
            open_alert(session, "alert_feed_gone", row.id, feed_id=row.id, name=row.name)
    session.execute(update(FEEDS).where(FEEDS.c.id == row.id).values(**values))


def quarantine(session: Session, feed_id: str, message: str) -> None:
    """Switch off a feed that kills its workers, and tell a person; `resume` or another address lets it go on."""
    row = session.execute(select(*LOCKED_COLUMNS).where(FEEDS.c.id == feed_id).with_for_update()).first()
    if row is None:
        return
    paused = {"is_active": False, "paused_reason": WORKER_DIED, "next_check_at": None}
    told = {"error_code": WORKER_DIED, "error_message": message, "failure_count": row.failure_count + 1}
    session.execute(update(FEEDS).where(FEEDS.c.id == feed_id).values(**paused, **told))
    open_alert(session, "alert_feed_quarantined", feed_id, feed_id=feed_id, name=row.name)


def _follow(session: Session, row: Any, asked: str, final: str) -> None:
    """Permanent redirects change the feed's address, unless a person changed it meanwhile or another feed has it."""
    try:
        target = check_url(final)
    except InvalidInput as error:
        log.info("feed %s moved to an address that can't be kept: %s", row.id, error)
        return
    if row.url != asked or target == asked:
        return
    hashed = url_hash(row.kind, target)
    if _take_address(session, row.id, target, hashed):
        _note_move(session, row.id, asked, target)
        return
    other = session.scalar(select(FEEDS.c.name).where(FEEDS.c.url_hash == hashed))
    open_alert(session, "alert_feed_duplicate", row.id, name=row.name, other=other or target)


def _note_move(session: Session, feed_id: str, asked: str, target: str) -> None:
    """Record the move, and forget the oldest: some servers send each visitor to an address of its own."""
    session.execute(insert(FeedMove).values(feed_id=feed_id, from_url=asked, to_url=target))
    newest = select(FeedMove.id).where(FeedMove.feed_id == feed_id).order_by(FeedMove.id.desc())
    old = session.scalars(newest.offset(MOVES_KEPT).limit(MOVES_KEPT)).all()
    if old:
        session.execute(delete(FeedMove).where(FeedMove.id.in_(old)))


def _take_address(session: Session, feed_id: str, url: str, hashed: str) -> bool:
    try:
        with session.begin_nested():
            session.execute(update(FEEDS).where(FEEDS.c.id == feed_id).values(url=url, url_hash=hashed))
    except IntegrityError:
        return False
    return True
