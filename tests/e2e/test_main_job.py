"""The main job on the whole system, started and used as the README says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.store.runs import RunProgress
from tests.e2e.job import Job, with_feeds
from tests.e2e.system import System
from tests.servers import MariaDb, RedisServer
from tests.standins.feeds import FeedServer
from tests.standins.receivers import ReceiverServer

FEEDS, BROKEN = 300, 10


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The system as it comes: SQLite and its own Redis."""
    with System(tmp_path_factory.mktemp("embedded")) as system:
        yield system


@pytest.fixture(scope="module")
def real(
    tmp_path_factory: pytest.TempPathFactory, mariadb_session: MariaDb, redis_session: RedisServer
) -> Iterator[System]:
    """The system on MariaDB and an external Redis, by two variables alone."""
    mariadb_session.restore()
    redis_session.restore()
    with redis_session.client() as redis:
        redis.flushall()
    name = mariadb_session.create_database()
    data_dir = tmp_path_factory.mktemp("real")
    with System(data_dir, DATABASE_URL=mariadb_session.url(name), REDIS_URL=redis_session.url) as system:
        yield system
    mariadb_session.drop_database(name)


@pytest.fixture(params=["embedded", "real"])
def system(request: pytest.FixtureRequest) -> System:
    """Each of the two."""
    found: System = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def receiver() -> Iterator[ReceiverServer]:
    """A web hook that keeps a journal."""
    with ReceiverServer() as server:
        yield server


@pytest.fixture
def feeds() -> Iterator[FeedServer]:
    """300 feeds in every format, ten of them broken."""
    with with_feeds(FEEDS, broken=BROKEN) as server:
        yield server


def assert_every_item_ended(job: Job, run: RunProgress) -> None:
    """290 items are done; ten failed, each with its own reason."""
    assert run.items == {"done": FEEDS - BROKEN, "failed": BROKEN}
    failed = job.failures(run)
    assert {one.url: one.error_code for one in failed} == job.expected_failures()
    assert all(one.error_message for one in failed)


@pytest.mark.timeout(180)
def test_300_feeds_are_collected_and_each_new_article_is_told_exactly_once(
    system: System, feeds: FeedServer, receiver: ReceiverServer, tmp_path: Path
) -> None:
    job = Job(system, feeds, receiver, tmp_path)
    first = job.dispatch(expect=1)
    assert_every_item_ended(job, first)
    total = sum(feeds.expected_articles().values())
    assert (first.article_count, first.new_article_count) == (total, total)
    assert first.deliveries == {"delivered": FEEDS - BROKEN}
    job.assert_counts_are_right()
    job.assert_each_article_was_told_once()

    messages = len(receiver.requests())
    assert_every_item_ended(job, job.dispatch(expect=1))
    assert len(receiver.requests()) == messages

    title = feeds.add_article(7)
    third = job.dispatch(expect=1)
    assert (third.new_article_count, third.deliveries) == (1, {"delivered": 1})
    [news] = receiver.requests()[messages:]
    assert [one["title"] for one in news.json["articles"]] == [title]
    job.assert_counts_are_right()
    job.assert_each_article_was_told_once()
