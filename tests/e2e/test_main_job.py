"""The main job on the whole system, started and used as the README says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from backend.store.runs import RunProgress
from backend.store.tables import Allocation, WorkItem
from tests.e2e.connections import ConnectionWatch
from tests.e2e.job import Job, with_feeds
from tests.e2e.system import System, Visitor, Worker, kill
from tests.servers import MariaDb, RedisServer, wait_until
from tests.standins.receivers import ReceiverServer

FEEDS, BROKEN = 300, 10
SHORT_LEASES = {"CASCADE_LEASE_SECONDS": "4", "CASCADE_RENEW_SECONDS": "1"}
WORKERS = 6


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The system as it comes: SQLite and its own Redis."""
    with System(tmp_path_factory.mktemp("embedded") / "var") as system:
        yield system


@pytest.fixture(scope="module")
def real(
    tmp_path_factory: pytest.TempPathFactory, mariadb_session: MariaDb, redis_session: RedisServer
) -> Iterator[System]:
    """The system on MariaDB and an external Redis, by two variables alone; with leases that end soon."""
    mariadb_session.restore()
    redis_session.restore()
    with redis_session.client() as redis:
        redis.flushall()
    name = mariadb_session.create_database()
    addresses = {"DATABASE_URL": mariadb_session.url(name), "REDIS_URL": redis_session.url}
    with System(tmp_path_factory.mktemp("real") / "var", **addresses, **SHORT_LEASES) as system:
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


def assert_every_item_ended(job: Job, run: RunProgress, *, gone: bool = False) -> None:
    """290 items are done; ten failed, each with its own reason. A feed that is gone is asked only once."""
    expected = {
        url: code for url, code in job.expected_failures().items() if not (gone and code == "feed_gone")
    }
    assert run.items == {"done": FEEDS - BROKEN, "failed": len(expected)}
    failed = job.failures(run)
    assert {one.url: one.error_code for one in failed} == expected
    assert all(one.error_message for one in failed)


# On MariaDB the jobs below do the same under harm.
@pytest.mark.timeout(180)
@pytest.mark.parametrize("system", ["embedded", pytest.param("real", marks=pytest.mark.soak)], indirect=True)
def test_300_feeds_are_collected_and_each_new_article_is_told_exactly_once(
    system: System, receiver: ReceiverServer, tmp_path: Path
) -> None:
    with with_feeds(FEEDS, broken=BROKEN) as feeds:
        job = Job(system, feeds, receiver, tmp_path)
        first = job.dispatch(expect=1)
        assert_every_item_ended(job, first)
        total = sum(feeds.expected_articles().values())
        assert (first.article_count, first.new_article_count) == (total, total)
        assert first.deliveries == {"delivered": FEEDS - BROKEN}
        job.assert_counts_are_right()
        job.assert_each_article_was_told_once()

        messages = len(receiver.requests())
        assert_every_item_ended(job, job.dispatch(expect=1), gone=True)
        assert len(receiver.requests()) == messages

        title = feeds.add_article(7)
        third = job.dispatch(expect=1)
        assert (third.new_article_count, third.deliveries) == (1, {"delivered": 1})
        [news] = receiver.requests()[messages:]
        assert [one["title"] for one in news.json["articles"]] == [title]
        job.assert_counts_are_right()
        job.assert_each_article_was_told_once()


@pytest.mark.timeout(120)
def test_settles_that_meet_on_mariadb_hardly_ever_deadlock(
    real: System, mariadb: MariaDb, receiver: ReceiverServer, tmp_path: Path
) -> None:
    with with_feeds(200, broken=0) as feeds:
        job = Job(real, feeds, receiver, tmp_path)
        before = deadlocks(mariadb)
        assert job.dispatch(expect=0).items == {"done": 200}
    # One a hundred settles is what begins cost by nature; locking the items of others cost one in two.
    assert deadlocks(mariadb) - before < 20


def deadlocks(server: MariaDb) -> int:
    """How many the server has resolved since its start."""
    [row] = server.execute("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    return int(row["Value"])


@pytest.mark.timeout(180)
def test_no_worker_holds_a_connection_while_it_collects_and_short_server_time_outs_harm_nothing(
    real: System, mariadb: MariaDb, receiver: ReceiverServer, tmp_path: Path
) -> None:
    mariadb.set_global("wait_timeout", 2)
    with with_feeds(60, broken=0, delay=5.0) as feeds:
        job = Job(real, feeds, receiver, tmp_path)
        with ConnectionWatch(mariadb, real.node_processes()) as watch:
            run = job.dispatch(expect=0)
        assert (run.items, run.deliveries) == ({"done": 60}, {"delivered": 60})
        job.assert_counts_are_right()
        job.assert_each_article_was_told_once()
    assert watch.of_others > 0, "the beat's connection is old, and must have been seen"
    assert watch.short_ones > 60, "each batch begins and settles on connections of its own"
    assert watch.of_nodes == {}


@pytest.mark.timeout(240)
def test_workers_that_are_killed_all_the_time_lose_nothing_and_repeat_nothing(
    real: System, receiver: ReceiverServer, tmp_path: Path
) -> None:
    dice, pause = random.Random(20261122), Event()  # noqa: S311
    killed: list[Worker] = []
    with with_feeds(FEEDS, broken=0, delay=0.5) as feeds:
        job = Job(real, feeds, receiver, tmp_path)
        run_id = job.start()
        wait_until(lambda: job.count(WorkItem, "done") > 0, 30, "the first item")
        while len(killed) < 10 and not job.progress(run_id).finished:
            victims = real.workers()
            if victims:
                victim = dice.choice(victims)
                kill(victim.pid)
                killed.append(victim)
            pause.wait(1.0)
        wait_until(lambda: job.progress(run_id).finished, 120, "the end of the run")
        run = job.progress(run_id)
    assert len(killed) >= 5
    assert job.count(Allocation, "failed") >= 1, "at least one worker died with work in its hands"
    assert (run.items, run.deliveries) == ({"done": FEEDS}, {"delivered": FEEDS})
    job.assert_counts_are_right()
    job.assert_each_article_was_kept_once()
    real.wait_for_workers(WORKERS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.soak)])
def test_wiping_redis_again_and_again_in_a_run_loses_nothing_and_repeats_nothing(
    embedded: System, receiver: ReceiverServer, tmp_path: Path, count: int
) -> None:
    with with_feeds(count, broken=0, articles=1, delay=0.2) as feeds, embedded.redis() as redis:
        job = Job(embedded, feeds, receiver, tmp_path)
        run_id = job.start()
        for share in (0.05, 0.3, 0.6, 0.9):
            wait_until(lambda share=share: job.count(WorkItem, "done") >= share * count, 90, "the next wipe")  # type: ignore[misc]
            redis.flushall()
        wait_until(lambda: job.progress(run_id).finished, 90, "the end of the run")
        run = job.progress(run_id)
        assert (run.items, run.deliveries) == ({"done": count}, {"delivered": count})
        # Collected once each, so none after its settle; moved feeds answer by sending elsewhere first.
        visits = Counter(one.path.rpartition("/")[2] for one in feeds.journal() if one.status == 200)
        assert visits == Counter({str(number): 1 for number in feeds.feeds})
        job.assert_counts_are_right()
        job.assert_each_article_was_told_once()
    # Without a restart, every worker is in RQ's registers again.
    embedded.wait_for_workers(WORKERS)


@pytest.mark.timeout(120)
def test_the_same_job_over_http(embedded: System, receiver: ReceiverServer) -> None:
    with with_feeds(3, broken=0, articles=2) as feeds, Visitor(embedded.url) as visitor:
        refused = visitor.answer("GET", "/api/v1/feeds", expect=401, headers={"Accept-Language": "zh"})
        assert refused["code"] == 401
        assert any("\u4e00" <= letter <= "\u9fff" for letter in refused["message"])
        visitor.log_in()
        ids = [
            visitor.ask("POST", "/api/v1/feeds", json={"kind": "rss", "name": f"F{number}", "url": url})["id"]
            for number, url in enumerate(map(feeds.feed_url, feeds.feeds))
        ]
        task = {"name": "By HTTP", "feed_ids": ids, "message_type": 1, "web_hook_url": receiver.url()}
        task_id = visitor.ask("POST", "/api/v1/message-tasks", json=task)["id"]
        report = visitor.ask("POST", "/api/v1/cascade/dispatch-task", params={"task_id": task_id})
        assert report["online_nodes"] == 2
        assert [(one["id"], one["mp_count"]) for one in report["tasks"]] == [(task_id, 3)]

        def allocations() -> list[dict[str, object]]:
            asked = {"task_id": task_id}
            listed: list[dict[str, object]] = visitor.ask("GET", "/api/v1/cascade/allocations", params=asked)[
                "list"
            ]
            return listed

        wait_until(
            lambda: {one["status"] for one in allocations()} == {"completed"}, 30, "the end of the work"
        )
        assert sum(int(str(one["new_article_count"])) for one in allocations()) == 6
        assert sorted(one for row in allocations() for one in row["feed_ids"]) == sorted(ids)  # type: ignore[attr-defined]
        wait_until(lambda: len(receiver.requests()) == 3, 30, "three messages")
        titles = sorted(title for found in feeds.expected_titles().values() for title in found)
        found = [
            article
            for one in ids
            for article in visitor.ask("GET", "/api/v1/articles", params={"feed_id": one})["list"]
        ]
        assert sorted(one["title"] for one in found) == titles
        searched = visitor.ask("GET", "/api/v1/articles", params={"feed_id": ids[0], "q": titles[0]})
        assert [one["title"] for one in searched["list"]] == [titles[0]]
        whole = visitor.ask("GET", f"/api/v1/articles/{found[0]['id']}")
        assert whole["title"] == found[0]["title"]
        assert receiver.articles_seen().keys() == {one["id"] for one in found}
