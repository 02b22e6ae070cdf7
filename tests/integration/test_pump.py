"""Placing work: never above capacity, nothing lost, enqueued after the commit, whatever Redis does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest
from redis import Redis
from redis.exceptions import RedisError
from rq.job import Job
from rq.serializers import JSONSerializer
from sqlalchemy import Engine, event

from backend.dispatch import queues
from backend.dispatch.broker import connect
from backend.dispatch.pump import pump
from backend.dispatch.queue_repairs import LostFinder
from backend.dispatch.repairs import continue_expansions
from backend.domain.errors import Conflict, NotFound
from backend.domain.feeds import draft_feed
from backend.domain.orders import FetchResult, Outcome, Receipt
from backend.store import feeds, nodes, runs
from backend.store.columns import now
from backend.store.session import read, transact
from backend.store.tables import Allocation, Delivery, Node, Run, WorkItem
from backend.store.waiting import waiting
from tests import building
from tests.building import LIMITS, drafts, outcome_of, rows_of
from tests.servers import RedisServer


@pytest.fixture
def impatient(redis_server: RedisServer) -> Iterator[Redis]:
    """The product's own client, without its patience."""
    client = connect(redis_server.url, retries=0, answer_seconds=0.5)
    yield client
    client.close()


def in_flight(engine: Engine) -> dict[str, int]:
    return Counter(item.node_id or "" for item in building.items_of(engine) if item.state == "assigned")


# --- capacity, availability, quota


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_pumps_that_run_at_once_never_fill_a_node_above_its_capacity(engine: Engine) -> None:
    capacities = {building.make_node(engine, f"n{size}", capacity=size): size for size in (1, 7, 20, 30)}
    task_id = building.make_task(engine, building.make_feeds(engine, 100))
    building.start_run(engine, task_id)
    made = building.together(*[lambda: pump(engine, None, LIMITS)] * 4)
    assert in_flight(engine) == capacities
    assert sum(made) == len(rows_of(engine, Allocation))
    assert building.counted(engine, WorkItem) == {"assigned": 58, "waiting": 42}
    members = Counter(item.allocation_id for item in building.items_of(engine) if item.allocation_id)
    assert {row.id: row.item_count for row in rows_of(engine, Allocation)} == members


def test_what_finds_no_room_waits_and_goes_on_as_soon_as_there_is_some(engine: Engine) -> None:
    world = building.make_world(engine, 3, capacity=2)
    assert building.counted(engine, WorkItem) == {"assigned": 2, "waiting": 1}
    assert pump(engine, None, LIMITS) == 0
    world.ledger.settle(outcome_of(building.begin(world)))
    assert pump(engine, None, LIMITS) == 2
    assert building.counted(engine, WorkItem) == {"done": 1, "assigned": 2}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"is_active": False}, "It waits for a node: n: switched off."),
        ({"draining": True}, "It waits for a node: n: draining."),
        ({"presence_at": None}, "It waits for a node: n: not running."),
        ({"presence_at": now(-46)}, "It waits for a node: n: silent for 4"),
    ],
)
def test_a_node_that_is_not_available_gets_nothing_and_nothing_fails(
    engine: Engine, values: dict[str, object], reason: str
) -> None:
    node_id = building.make_node(engine)
    building.change(engine, Node, node_id, id=node_id, **values)
    report = building.dispatch(engine, building.make_task(engine, building.make_feeds(engine, 3)))
    assert (report.allocations_created, report.items_waiting) == (0, 3)
    # On a busy machine the silence has grown a second or two meanwhile.
    assert report.reason.startswith(reason)
    assert building.counted(engine, WorkItem) == {"waiting": 3}


def test_without_any_node_everything_waits_and_the_report_says_what_to_do(engine: Engine) -> None:
    report = building.dispatch(engine, building.make_task(engine, building.make_feeds(engine, 2)))
    assert (report.online_nodes, report.items_waiting) == (0, 2)
    assert "node add" in report.reason


def test_a_full_node_is_named_with_its_numbers(engine: Engine) -> None:
    building.make_node(engine, capacity=1)
    report = building.dispatch(engine, building.make_task(engine, building.make_feeds(engine, 2)))
    assert (report.online_nodes, report.allocations_created, report.items_waiting) == (1, 1, 1)
    assert report.reason == "It waits for a node: n: full: 1/1."


# --- what a node can collect


def test_a_werss_child_gets_wechat_feeds_and_other_nodes_the_rest(engine: Engine) -> None:
    ours, child = building.make_node(engine, capacity=3), building.make_third_party(engine)
    # The older half can be collected by the child alone; more than our node has room for.
    wechat = building.make_feeds(engine, 5, "mp.example.com", kind="wechat")
    rss = building.make_feeds(engine, 3)
    report = building.dispatch(engine, building.make_task(engine, [*wechat, *rss]))
    assert (report.items_waiting, report.reason) == (0, "")
    given_to = {item.feed_id: item.node_id for item in building.items_of(engine)}
    assert given_to == dict.fromkeys(wechat, child) | dict.fromkeys(rss, ours)


def test_feeds_that_no_node_collects_wait_with_the_reason_and_hide_nobody(engine: Engine) -> None:
    building.make_node(engine, capacity=2, sources=["rss"])
    wechat = building.make_feeds(engine, 4, "mp.example.com", kind="wechat")
    rss = building.make_feeds(engine, 2)
    report = building.dispatch(engine, building.make_task(engine, [*wechat, *rss]))
    why = (
        "It waits for a node: no node collects feeds of kind wechat; "
        "add a WeRSS child with ./cascade node add NAME."
    )
    assert (report.allocations_created, report.items_waiting, report.reason) == (2, 4, why)
    assert {item.feed_id for item in building.items_of(engine) if item.state == "assigned"} == set(rss)
    assert [(group.reason, group.count) for group in read(engine, waiting)] == [(why, 4)]
    child = building.make_third_party(engine, max_capacity=3)
    assert pump(engine, None, LIMITS) == 3
    assert [(group.reason, group.count) for group in read(engine, waiting)] == [
        ("It waits for a node: werss: full: 3/3.", 1)
    ]
    assert in_flight(engine)[child] == 3


def test_a_quota_does_not_give_a_node_what_it_cannot_collect(engine: Engine) -> None:
    feed_id = building.make_feeds(engine, 1)[0]
    ours = building.make_node(engine)
    building.make_third_party(engine, feed_quota={feed_id: 9})
    building.dispatch(engine, building.make_task(engine, [feed_id]))
    assert in_flight(engine) == {ours: 1}


def test_a_feed_that_becomes_another_kind_waits_for_a_node_that_collects_it(engine: Engine) -> None:
    feed_id = building.make_feeds(engine, 1, kind="wechat")[0]
    ours = building.make_node(engine)
    building.dispatch(engine, building.make_task(engine, [feed_id]))
    address = draft_feed("https://example.com/0", kind="rss", known_kinds={"rss"})
    transact(engine, lambda session: feeds.update_feed(session, feed_id, address=address))
    assert pump(engine, None, LIMITS) == 1
    assert in_flight(engine) == {ours: 1}


def test_the_parents_own_node_collects_nothing(engine: Engine) -> None:
    parent = transact(engine, lambda session: nodes.ensure_parent(session).id)
    transact(
        engine,
        lambda session: nodes.beat(session, parent, "i", workers_alive=1, version="t"),
    )
    report = building.dispatch(engine, building.make_task(engine, building.make_feeds(engine, 1)))
    assert (report.allocations_created, report.items_waiting) == (0, 1)


def test_a_feed_goes_to_the_node_whose_quota_names_it(engine: Engine) -> None:
    feeds = building.make_feeds(engine, 4)
    busy = building.make_node(engine, "busy", capacity=10, feed_quota={feeds[0]: 5})
    other = building.make_node(engine, "other", capacity=100, feed_quota={feeds[0]: 3, feeds[1]: 1})
    building.dispatch(engine, building.make_task(engine, feeds[:2]))
    assert {item.feed_id: item.node_id for item in building.items_of(engine)} == {
        feeds[0]: busy,
        feeds[1]: other,
    }


def test_an_allocation_holds_items_of_one_run_and_names_its_feeds(engine: Engine) -> None:
    building.make_node(engine, capacity=50)
    feeds = building.make_feeds(engine, 4)
    reports = [building.start_run(engine, building.make_task(engine, feeds)) for _ in range(2)]
    assert pump(engine, None, LIMITS) == 2
    for row in rows_of(engine, Allocation):
        members = [item for item in building.items_of(engine) if item.allocation_id == row.id]
        assert {item.run_id for item in members} == {row.run_id}
        assert sorted(row.feed_ids) == sorted(item.feed_id for item in members) == sorted(feeds)
        assert (row.item_count, row.queue, row.kind) == (4, "node:n", "update")
    assert {row.run_id for row in rows_of(engine, Allocation)} == set(reports)


def test_a_pump_without_work_only_looks(engine: Engine) -> None:
    building.make_node(engine)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    assert pump(engine, None, LIMITS) == 0
    asked = [one for one in statements if not one.startswith(("BEGIN", "PRAGMA"))]
    assert len(asked) == 3
    assert all(one.startswith("SELECT") and "FOR UPDATE" not in one for one in asked)


# --- jobs in Redis


def test_every_allocation_is_a_job_in_its_explicit_queue_with_ids_only(
    engine: Engine, redis_client: Redis
) -> None:
    building.make_node(engine, "Beijing 1", capacity=2)
    building.make_node(engine, "Shanghai 2", capacity=2)
    task_id = building.make_task(engine, building.make_feeds(engine, 4))
    building.dispatch(engine, task_id, redis_client)
    rows = rows_of(engine, Allocation)
    assert len(rows) == 4
    for name in ("node:beijing-1", "node:shanghai-2"):
        wanted = [queues.job_id(row.id, 1) for row in rows if row.queue == name]
        assert sorted(queues.waiting_jobs(redis_client, name)) == sorted(wanted)
        assert queues.length(redis_client, name) == 2
    for row in rows:
        job = Job.fetch(queues.job_id(row.id, 1), connection=redis_client, serializer=JSONSerializer)
        assert (job.func_name, list(job.args), job.kwargs) == (queues.JOB_FUNCTION, [row.id, 1], {})
        # 60 s of wake-up, the longest work, 30 s to settle.
        assert (job.timeout, job.origin) == (60 + 120 + 30, row.queue)
        # JSON, in which the work is named and nothing more is told.
        assert json.loads(job.data) == [queues.JOB_FUNCTION, None, [row.id, 1], {}]


def test_deliveries_are_jobs_of_the_default_queue(engine: Engine, redis_client: Redis) -> None:
    building.make_deliveries(engine, 25)
    assert pump(engine, redis_client, LIMITS) == 2
    assert queues.length(redis_client, "default") == 2
    sizes = sorted(row.item_count for row in rows_of(engine, Allocation) if row.kind == "deliver")
    assert sizes == [5, 20]


def test_work_of_a_remote_node_is_planned_for_its_claim_and_not_enqueued(
    engine: Engine, redis_client: Redis
) -> None:
    building.make_node(engine, transport="remote")
    report = building.dispatch(
        engine, building.make_task(engine, building.make_feeds(engine, 1)), redis_client
    )
    assert report.allocations_created == 1
    assert building.counted(engine, Allocation) == {"pending": 1}
    assert redis_client.keys("rq:*") == []


def test_nothing_is_enqueued_before_the_commit(engine: Engine, redis_client: Redis) -> None:
    building.make_node(engine)
    task_id = building.make_task(engine, building.make_feeds(engine, 3))
    building.start_run(engine, task_id)
    lengths: list[int] = []
    event.listen(engine, "commit", lambda _: lengths.append(queues.length(redis_client, "node:n")))
    pump(engine, redis_client, LIMITS)
    assert queues.length(redis_client, "node:n") == 3
    assert lengths[-1] == 3
    assert 0 in lengths
    # The commit of the placing itself saw an empty queue.
    assert lengths.index(3) >= 1


def test_with_redis_away_work_is_committed_and_enqueued_when_redis_is_back(
    engine: Engine, redis_server: RedisServer, impatient: Redis
) -> None:
    building.make_node(engine)
    task_id = building.make_task(engine, building.make_feeds(engine, 3))
    redis_server.stop()
    report = building.dispatch(engine, task_id, impatient)
    assert report.allocations_created == 3
    assert building.counted(engine, Allocation) == {"pending": 3}
    redis_server.start()
    finder = LostFinder(seconds=-1)
    assert finder.repair(engine, impatient, 120.0) == 0
    assert finder.repair(engine, impatient, 120.0) == 3
    assert sorted(queues.waiting_jobs(impatient, "node:n")) == sorted(
        queues.job_id(row.id, 1) for row in rows_of(engine, Allocation)
    )
    assert finder.repair(engine, impatient, 120.0) == 0


def test_what_a_flush_of_redis_took_is_enqueued_again_and_only_that(
    engine: Engine, redis_client: Redis
) -> None:
    world = building.make_world(engine, 3)
    pending = building.allocation_ids(engine)
    finder = LostFinder(seconds=-1)
    finder.repair(engine, redis_client, 120.0)
    # One is begun between the passes, one comes back by itself: neither is lost.
    assert world.ledger.begin(pending[0], 1, "x") is not None
    redis_client.rpush(queues.queue(redis_client, "node:n").key, queues.job_id(pending[1], 1))
    assert finder.repair(engine, redis_client, 120.0) == 1
    # What has waited for longer is put in front.
    assert queues.waiting_jobs(redis_client, "node:n") == [queues.job_id(pending[at], 1) for at in (2, 1)]


def test_young_work_and_work_of_silent_or_remote_nodes_is_not_looked_for(
    engine: Engine, redis_client: Redis
) -> None:
    building.make_world(engine, 1)
    finder = LostFinder()
    assert [finder.repair(engine, redis_client, 120.0) for _ in range(3)] == [0, 0, 0]
    old = LostFinder(seconds=-1)
    building.change(engine, Node, presence_at=now(-200))
    assert [old.repair(engine, redis_client, 120.0) for _ in range(3)] == [0, 0, 0]
    building.change(engine, Node, presence_at=now(), transport="remote")
    assert [old.repair(engine, redis_client, 120.0) for _ in range(3)] == [0, 0, 0]
    assert queues.length(redis_client, "node:n") == 0


def test_enqueuing_twice_is_harmless(engine: Engine, redis_client: Redis) -> None:
    world = building.make_world(engine)
    (one,) = building.allocation_ids(engine)
    finder = LostFinder(suspects={(one, 1)}, seconds=-1)
    finder.repair(engine, redis_client, 120.0)
    finder.suspects.add((one, 1))
    redis_client.delete(queues.queue(redis_client, "node:n").key)
    finder.repair(engine, redis_client, 120.0)
    assert world.ledger.begin(one, 1, "first") is not None
    assert world.ledger.begin(one, 1, "second") is None


def test_wake_ups_are_coalesced(redis_client: Redis) -> None:
    for _ in range(50):
        queues.wake(redis_client)
    assert redis_client.llen(queues.WAKE_KEY) == 1
    assert queues.wait_for_wake(redis_client, 0.5)
    assert not queues.wait_for_wake(redis_client, 0.05)


def test_a_wake_up_that_cannot_be_sent_says_so(redis_server: RedisServer, impatient: Redis) -> None:
    redis_server.stop()
    with pytest.raises(RedisError):
        queues.wake(impatient)


def test_a_begun_allocations_wake_up_is_withdrawn(engine: Engine, redis_client: Redis) -> None:
    building.make_node(engine)
    building.dispatch(engine, building.make_task(engine, building.make_feeds(engine, 2)), redis_client)
    first, second = building.allocation_ids(engine)
    queues.withdraw(redis_client, "node:n", first, 1)
    assert queues.waiting_jobs(redis_client, "node:n") == [queues.job_id(second, 1)]


# --- dispatching


def test_an_unknown_task_is_refused_and_makes_nothing(engine: Engine) -> None:
    with pytest.raises(NotFound):
        building.dispatch(engine, "no-such-task")
    assert rows_of(engine, Run) == []


def test_all_means_every_enabled_task_and_none_is_a_conflict(engine: Engine) -> None:
    feeds = building.make_feeds(engine, 2)
    disabled = building.make_task(engine, feeds, enabled=False)
    with pytest.raises(Conflict) as refused:
        building.dispatch(engine, None)
    assert refused.value.code == "no_enabled_task"
    enabled = [building.make_task(engine, feeds[:1]), building.make_task(engine, "all")]
    report = building.dispatch(engine, None)
    assert [(task.id, task.mp_count) for task in report.tasks] == [(enabled[0], 1), (enabled[1], 2)]
    assert disabled not in {row.task_id for row in rows_of(engine, Run)}


def test_a_disabled_task_that_is_named_is_collected_but_nothing_is_delivered_for_it(engine: Engine) -> None:
    node_id = building.make_node(engine)
    task_id = building.make_task(engine, building.make_feeds(engine, 1), enabled=False)
    report = building.dispatch(engine, task_id)
    assert report.allocations_created == 1
    ledger = building.ledger_for(engine, node_id)
    order = ledger.begin(building.allocation_ids(engine)[0], 1, "x")
    assert order is not None
    ledger.settle(outcome_of(order, FetchResult(drafts("a"))))
    assert building.totals(engine) == (1, 0, 0)


def test_a_dispatch_whose_process_died_before_expanding_is_continued(engine: Engine) -> None:
    building.make_node(engine)
    task_id = building.make_task(engine, building.make_feeds(engine, 3))
    transact(engine, lambda session: runs.start_run(session, task_id, trigger="manual", actor="ana"))
    assert rows_of(engine, WorkItem) == []
    assert continue_expansions(engine) == 1
    assert pump(engine, None, LIMITS) == 3


def test_a_run_says_how_far_it_is_and_what_failed(engine: Engine) -> None:
    world = building.make_world(engine, 2)
    first, second = building.allocation_ids(engine)
    for one, result in ((first, FetchResult(drafts("a", "b"))), (second, building.GONE)):
        order = world.ledger.begin(one, 1, one)
        assert order is not None
        world.ledger.settle(outcome_of(order, result))
    progress = transact(engine, lambda session: runs.progress(session, world.run_id))
    assert progress.items == {"done": 1, "failed": 1}
    assert progress.deliveries == {"waiting": 1}
    assert (progress.article_count, progress.new_article_count) == (2, 2)
    assert (progress.open, progress.failed, progress.finished) == (1, 1, False)
    (failure,) = transact(engine, lambda session: runs.failures(session, world.run_id))
    assert (failure.kind, failure.state, failure.error_code) == ("update", "failed", building.GONE.code)
    assert failure.url in {"https://example.com/0", "https://example.com/1"}


# --- receivers' limits


def test_a_robot_gets_no_more_than_its_messages_per_minute(engine: Engine) -> None:
    building.make_deliveries(engine, 30, url=building.ROBOT)
    pump(engine, None, LIMITS)
    assert building.counted(engine, Delivery) == {"assigned": 20, "waiting": 10}
    assert pump(engine, None, LIMITS) == 0
    building.change(engine, Delivery, attempted_at=now(-30))
    order = building.deliver_ledger(engine).begin_next("default", "d", 100)
    assert order is not None
    finish(engine, order.allocation_id)
    assert pump(engine, None, LIMITS) == 0
    building.change(engine, Delivery, attempted_at=now(-61))
    assert pump(engine, None, LIMITS) == 1
    assert building.counted(engine, Delivery) == {"delivered": 20, "assigned": 10}


def finish(engine: Engine, allocation_id: str) -> None:
    """What a worker of the parent began is acknowledged."""
    mine = [row.id for row in rows_of(engine, Delivery) if row.allocation_id == allocation_id]
    receipts = tuple(Receipt(one, 200) for one in mine)
    building.deliver_ledger(engine).settle(Outcome(allocation_id, 1, "d", "deliver", receipts=receipts))


def test_a_robot_at_its_limit_does_not_starve_the_receivers_behind_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.dispatch.pump.ITEMS_PER_TRANSACTION", 5)
    world = building.make_deliveries(engine, 30, url=building.ROBOT)
    hooked = building.make_task(engine, world.feed_ids[:1])
    building.start_run(engine, hooked)
    pump(engine, None, LIMITS)
    (one,) = building.allocation_ids(engine)
    order = world.ledger.begin(one, 1, "y")
    assert order is not None
    world.ledger.settle(outcome_of(order, FetchResult(drafts("later"))))
    pump(engine, None, LIMITS)
    assigned = Counter(row.receiver_kind for row in rows_of(engine, Delivery) if row.state == "assigned")
    assert assigned == {"dingtalk": 20, "webhook": 1}


def test_web_hooks_are_limited_by_the_parents_room_alone(engine: Engine) -> None:
    building.make_deliveries(engine, 50)
    pump(engine, None, LIMITS)
    assert building.counted(engine, Delivery) == {"assigned": nodes.PARENT_CAPACITY, "waiting": 10}


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_pumps_at_once_keep_to_a_robots_limit_too(engine: Engine) -> None:
    building.make_deliveries(engine, 30, url=building.ROBOT)
    building.together(*[lambda: pump(engine, None, LIMITS)] * 4)
    assert building.counted(engine, Delivery) == {"assigned": 20, "waiting": 10}


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_processes_that_start_at_once_make_one_parent_and_one_node_of_a_name(engine: Engine) -> None:
    parents = building.together(
        *[lambda: transact(engine, lambda session: nodes.ensure_parent(session).id)] * 6
    )
    named = building.together(
        *[lambda: transact(engine, lambda session: nodes.ensure_attached(session, "n").id)] * 6
    )
    assert (len(set(parents)), len(set(named)), len(rows_of(engine, Node))) == (1, 1, 2)
