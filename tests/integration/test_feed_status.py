"""How fresh feeds are: every status, and the same few queries for any number of feeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from backend.domain.freshness import Freshness
from backend.store.columns import now
from backend.store.feed_status import FeedStatusPage, feed_status
from backend.store.session import read, transact
from backend.store.tables import Feed, WorkItem
from tests.building import (
    GONE,
    allocation_ids,
    begin,
    change,
    make_feeds,
    make_task,
    make_world,
    outcome_of,
    start_run,
)

HOUR = 3600.0


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """The SELECTs that are sent inside."""
    sent: list[str] = []

    def note(*arguments: object) -> None:
        text = str(arguments[2])
        if text.startswith("SELECT"):
            sent.append(text)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def page(engine: Engine, **options: object) -> FeedStatusPage:
    return read(engine, lambda session: feed_status(session, Freshness(), **options))  # type: ignore[arg-type]


def test_each_status_is_counted_and_found(engine: Engine) -> None:
    ids = make_feeds(engine, 6)
    for feed_id, hours in zip(ids, (0.5, 2, 30, 80, 100), strict=False):
        change(engine, Feed, feed_id, collected_at=now(-hours * HOUR))
    everything = page(engine)
    assert everything.counts == {"fresh": 1, "recent": 1, "stale": 1, "outdated": 2, "unknown": 1}
    assert everything.total == 6
    by_id = {one.id: one.update_status for one in everything.found}
    assert [by_id[one] for one in ids] == ["fresh", "recent", "stale", "outdated", "outdated", "unknown"]
    for status, count in everything.counts.items():
        found = page(engine, status=status)
        assert (found.total, {one.update_status for one in found.found}) == (count, {status})


def test_the_limits_are_settings(engine: Engine) -> None:
    [feed_id] = make_feeds(engine, 1)
    change(engine, Feed, feed_id, collected_at=now(-2 * HOUR))
    strict = Freshness(60.0, 120.0, 180.0)
    found = read(engine, lambda session: feed_status(session, strict))
    assert found.found[0].update_status == "outdated"


def test_a_feed_tells_its_last_task_and_its_error(engine: Engine) -> None:
    world = make_world(engine)
    order = begin(world)
    world.ledger.settle(outcome_of(order, GONE))
    [feed] = page(engine, feed_id=world.feed_ids[0]).found
    assert feed.last_task is not None
    assert (feed.last_task.status, feed.last_task.node_name, feed.last_task.task_name) == ("failed", "n", "T")
    assert feed.last_task.allocation_id == order.allocation_id
    assert (feed.error_code, feed.error_message) == (GONE.code, GONE.message)
    again = start_run(engine, world.task_id)
    [feed] = page(engine).found
    assert feed.last_task is not None
    assert (feed.last_task.run_id, feed.last_task.status) == (again, "waiting"), "the newest one counts"
    change(engine, WorkItem, not_before=now(60))
    assert page(engine).found[0].next_check_at is not None


def test_articles_are_counted_with_their_latest(engine: Engine) -> None:
    world = make_world(engine, 2, capacity=20)
    world.ledger.settle(outcome_of(begin(world)))
    assert [(one.article_count, one.latest_article_at is not None) for one in page(engine).found] == [
        (1, True)
    ] * 2
    assert allocation_ids(engine) == []


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_ten_feeds_and_five_hundred_cost_the_same_number_of_queries(engine: Engine) -> None:
    count = 600
    transact(engine, lambda session: _many_feeds(session, count))
    task_id = make_task(engine, "all")
    start_run(engine, task_id)
    read(engine, lambda session: feed_status(session, Freshness(), limit=1))
    sent = {}
    for limit in (10, 500):
        with statements(engine) as queries:
            found = page(engine, limit=limit)
        assert len(found.found) == limit
        assert all(one.last_task for one in found.found)
        sent[limit] = len(queries)
    assert sent[10] == sent[500] <= 6


def _many_feeds(session: Session, count: int) -> None:
    session.add_all(
        Feed(id=f"f{number:05}", kind="rss", name="f", url="https://a", url_hash=f"{number}")
        for number in range(count)
    )


def test_pages_follow_each_other_by_key(engine: Engine) -> None:
    ids = sorted(make_feeds(engine, 5))
    first = page(engine, limit=2)
    second = page(engine, limit=2, cursor=first.next_cursor)
    third = page(engine, limit=2, cursor=second.next_cursor)
    assert [one.id for part in (first, second, third) for one in part.found] == ids
    assert third.next_cursor is None
