"""Articles are stored once, and each one is due once per message task, whoever stored it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from backend.dispatch.pump import pump
from backend.domain.orders import ArticleDraft, FetchResult, WorkOrder
from backend.domain.ports import Standing
from backend.store.collecting import Collected, make_deliveries, store_articles
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import Article, Delivery, Feed, MessageTask, MessageTaskFeed, WorkItem
from tests import building
from tests.building import BROKEN, LIMITS, drafts, outcome_of, row_of, rows_of


def store(engine: Engine, feed_id: str, articles: tuple[ArticleDraft, ...]) -> list[str]:
    """What a settle does with a feed's articles; the ids of the new ones."""

    def work(session: object) -> list[str]:
        new = store_articles(session, [Collected(feed_id, articles)])  # type: ignore[arg-type]
        make_deliveries(session, new, {feed_id: None})  # type: ignore[arg-type]
        return new.get(feed_id, [])

    return transact(engine, work)


def test_an_article_is_the_same_by_its_feed_and_key(engine: Engine) -> None:
    first, second = building.make_feeds(engine, 2)
    assert len(store(engine, first, drafts("a", "b"))) == 2
    assert len(store(engine, first, drafts("b", "c"))) == 1
    assert len(store(engine, second, drafts("a"))) == 1
    found = sorted((row.feed_id == first, row.title) for row in rows_of(engine, Article))
    assert found == [
        (False, "title of a"),
        (True, "title of a"),
        (True, "title of b"),
        (True, "title of c"),
    ]


def test_keys_that_differ_in_case_or_spaces_are_different_articles(engine: Engine) -> None:
    (feed,) = building.make_feeds(engine, 1)
    assert len(store(engine, feed, drafts("a", "A", "a ", "ä"))) == 4


def test_a_document_that_names_a_key_twice_gives_one_article_the_first(engine: Engine) -> None:
    (feed,) = building.make_feeds(engine, 1)
    store(engine, feed, (*drafts("a", content="newest"), *drafts("a", content="older")))
    assert row_of(engine, Article).content == "newest"


def test_changed_content_updates_the_article_and_is_not_due_again(engine: Engine) -> None:
    feeds = building.make_feeds(engine, 1)
    building.make_task(engine, feeds)
    store(engine, feeds[0], drafts("a", content="old"))
    before = row_of(engine, Article)
    assert store(engine, feeds[0], drafts("a", content="new")) == []
    after = row_of(engine, Article)
    assert (after.id, after.content, after.first_stored_at) == (before.id, "new", before.first_stored_at)
    assert after.updated_at > before.updated_at
    assert building.totals(engine) == (1, 1, 1)


def test_unchanged_content_is_not_written(engine: Engine) -> None:
    (feed,) = building.make_feeds(engine, 1)
    article = ArticleDraft("a", "t", "https://a/", published_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    store(engine, feed, (article,))
    before = row_of(engine, Article)
    store(engine, feed, (article,))
    after = row_of(engine, Article)
    assert (after.updated_at, after.published_at) == (before.updated_at, article.published_at)


def test_texts_that_are_too_long_or_outside_the_basic_plane_are_stored(engine: Engine) -> None:
    (feed,) = building.make_feeds(engine, 1)
    long = ArticleDraft(
        "k" * 5000, "😀" * 2000, "https://a/" + "u" * 5000, author="a" * 900, content="𝒳" * 70000
    )
    store(engine, feed, (long,))
    row = row_of(engine, Article)
    assert (len(row.title), len(row.url), len(row.author), row.content) == (1000, 2048, 255, "𝒳" * 70000)


def test_a_thousand_articles_are_stored_at_once_and_repeating_it_changes_nothing(engine: Engine) -> None:
    feeds = building.make_feeds(engine, 1)
    building.make_task(engine, feeds)
    many = drafts(*(f"k{number}" for number in range(1200)))
    assert len(store(engine, feeds[0], many)) == 1200
    assert store(engine, feeds[0], many) == []
    assert building.totals(engine) == (1200, 1, 1200)


def begin_all(world: building.World) -> list[WorkOrder]:
    orders = [
        world.ledger.begin(one, 1, f"x{number}")
        for number, one in enumerate(building.allocation_ids(world.engine))
    ]
    return [order for order in orders if order is not None]


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
@pytest.mark.parametrize("turn", range(3))
def test_two_runs_that_settle_the_same_feed_at_once_store_and_deliver_each_article_once(
    engine: Engine, turn: int
) -> None:
    world = building.make_world(engine)
    other_task = building.make_task(engine, world.feed_ids)
    building.start_run(engine, other_task)
    pump(engine, None, LIMITS)
    keys = [f"{turn}-{number}" for number in range(30)]
    outcomes = [
        outcome_of(order, FetchResult(drafts(*chosen)))
        for order, chosen in zip(begin_all(world), (keys[:20], keys[10:][::-1]), strict=True)
    ]
    standings = building.together(*(lambda one=one: world.ledger.settle(one) for one in outcomes))
    assert standings == [Standing.HELD, Standing.HELD]
    assert len(rows_of(engine, Article)) == 30
    # Each (task, article) has its one delivery: 2 tasks over 30 articles.
    assert len(building.delivered_articles(engine)) == 60
    assert building.counted(engine, WorkItem) == {"done": 2}
    assert sum(item.new_article_count for item in building.items_of(engine)) == 30


def test_a_feed_shared_by_two_tasks_is_delivered_for_both(engine: Engine) -> None:
    world = building.make_world(engine)
    other_task = building.make_task(engine, world.feed_ids, url="https://hooks.example.com/other")
    world.ledger.settle(outcome_of(building.begin(world), FetchResult(drafts("a", "b"))))
    deliveries = rows_of(engine, Delivery)
    assert {row.task_id for row in deliveries} == {world.task_id, other_task}
    assert len({row.receiver for row in deliveries}) == 2
    assert len(building.delivered_articles(engine)) == 4
    assert {row.run_id for row in deliveries} == {world.run_id}


def test_one_message_per_feed(engine: Engine) -> None:
    world = building.make_world(engine, 3, capacity=30)
    world.ledger.settle(outcome_of(building.begin(world), FetchResult(drafts("a", "b"))))
    deliveries = rows_of(engine, Delivery)
    assert sorted(row.feed_id for row in deliveries) == sorted(world.feed_ids)
    assert len(building.delivered_articles(engine)) == 6
    assert {(row.state, row.reason) for row in deliveries} == {("waiting", "waits to be sent")}


def test_what_was_stored_before_a_task_existed_is_not_due_for_it(engine: Engine) -> None:
    feeds = building.make_feeds(engine, 1)
    store(engine, feeds[0], drafts("old"))
    building.make_task(engine, feeds)
    store(engine, feeds[0], drafts("old", "new"))
    ((_, article),) = building.delivered_articles(engine)
    assert row_of(engine, Article, article).title == "title of new"


def test_a_feed_is_due_from_its_own_baseline_on(engine: Engine) -> None:
    first, second = building.make_feeds(engine, 2)
    task_id = building.make_task(engine, [first, second])
    building.change(engine, MessageTaskFeed, baseline_at=now(3600))
    store(engine, first, drafts("a"))
    assert building.totals(engine) == (1, 0, 0)
    building.change(engine, MessageTaskFeed, baseline_at=now(-1))
    building.change(engine, MessageTask, task_id, baseline_at=now(3600))
    store(engine, second, drafts("a"))
    assert building.totals(engine) == (2, 0, 0)
    building.change(engine, MessageTask, task_id, baseline_at=now(-1))
    store(engine, second, drafts("b"))
    assert building.totals(engine) == (3, 1, 1)


@pytest.mark.parametrize("values", [{"enabled": False}, {"url": ""}])
def test_a_task_that_is_switched_off_or_has_no_receiver_gets_nothing(
    engine: Engine, values: dict[str, object]
) -> None:
    feeds = building.make_feeds(engine, 1)
    building.make_task(engine, feeds, **values)  # type: ignore[arg-type]
    building.make_task(engine, "all", **values)  # type: ignore[arg-type]
    assert len(store(engine, feeds[0], drafts("a"))) == 1
    assert rows_of(engine, Delivery) == []


def test_a_task_over_all_feeds_gets_new_feeds_too(engine: Engine) -> None:
    task_id = building.make_task(engine, "all")
    first, second = building.make_feeds(engine, 2)
    store(engine, first, drafts("a"))
    store(engine, second, drafts("b"))
    assert {row.task_id for row in rows_of(engine, Delivery)} == {task_id}
    assert {row.feed_id for row in rows_of(engine, Delivery)} == {first, second}


def test_a_settle_keeps_what_the_next_fetch_needs_to_know_of_the_feed(engine: Engine) -> None:
    world = building.make_world(engine)
    result = FetchResult(drafts("a"), etag='"v1"', last_modified="Mon, 01 Jan 2026 00:00:00 GMT")
    world.ledger.settle(outcome_of(building.begin(world), result))
    feed = row_of(engine, Feed)
    assert (feed.etag, feed.last_modified) == ('"v1"', "Mon, 01 Jan 2026 00:00:00 GMT")
    assert feed.collected_at is not None
    building.start_run(engine, world.task_id)
    pump(engine, None, LIMITS)
    order = building.begin(world, "x2")
    assert (order.feeds[0].etag, order.feeds[0].last_modified) == (feed.etag, feed.last_modified)
    world.ledger.settle(outcome_of(order, FetchResult(not_modified=True)))
    assert row_of(engine, Feed).etag == '"v1"'
    assert {item.state for item in building.items_of(engine)} == {"done"}


def test_a_failing_feed_says_so_until_it_works_again(engine: Engine) -> None:
    world = building.make_world(engine)
    world.ledger.settle(outcome_of(building.begin(world), BROKEN))
    assert (row_of(engine, Feed).error_code, row_of(engine, Feed).error_message) == (
        BROKEN.code,
        BROKEN.message,
    )
    building.change(engine, WorkItem, not_before=None)
    pump(engine, None, LIMITS)
    world.ledger.settle(outcome_of(building.begin(world, "x2")))
    assert (row_of(engine, Feed).error_code, row_of(engine, Feed).error_message) == ("", "")


def test_what_comes_late_for_a_deleted_feed_is_stored_for_nobody(engine: Engine) -> None:
    world = building.make_world(engine)
    order = building.begin(world)
    with engine.begin() as connection:
        connection.execute(Feed.__table__.delete())  # type: ignore[attr-defined]
    world.ledger.settle(outcome_of(order))
    assert rows_of(engine, Article) == []
