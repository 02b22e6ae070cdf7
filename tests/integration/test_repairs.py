"""The beat's repairs: leases by the database's clock, suspects apart, gone nodes, ended runs, waits that are over."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from backend.dispatch.pump import pump
from backend.dispatch.repairs import (
    close_runs,
    continue_expansions,
    recover_expired,
    release_due,
    replan_gone,
)
from backend.domain.feeds import draft_feed
from backend.domain.identifiers import new_id
from backend.domain.orders import FetchResult, WorkOrder
from backend.domain.ports import Lease, Standing
from backend.store import feed_health, feeds, recovery, runs, suspects
from backend.store.columns import now
from backend.store.session import read, transact
from backend.store.tables import Alert, Allocation, Beat, Delivery, Feed, Node, Pulse, Run, WorkItem
from tests import building
from tests.building import BROKEN, LIMITS, World, outcome_of, row_of, rows_of

ATTEMPTS = 6


def stamp(engine: Engine, instance: str = "beat") -> None:
    transact(engine, lambda session: recovery.stamp_pulse(session, instance, 45.0))


def begin_all(world: World) -> list[WorkOrder]:
    orders = [world.ledger.begin(one, 1, new_id()) for one in building.allocation_ids(world.engine)]
    return [order for order in orders if order is not None]


def die(world: World) -> list[WorkOrder]:
    """Workers take all pending work and die; the beat recovers it and plans it again."""
    orders = begin_all(world)
    building.expire(world.engine)
    assert recover_expired(world.engine, ATTEMPTS) == len(orders)
    pump(world.engine, None, LIMITS)
    return orders


def test_a_lease_that_still_holds_is_left_alone(engine: Engine) -> None:
    world = building.make_world(engine)
    begin_all(world)
    stamp(engine)
    building.change(engine, Pulse, recover_after=now(-1))
    building.change(engine, Allocation, lease_until=now(1))
    assert recover_expired(engine, ATTEMPTS) == 0
    building.change(engine, Allocation, lease_until=now(-0.1))
    assert recover_expired(engine, ATTEMPTS) == 1


def test_pending_work_has_no_lease_to_lose(engine: Engine) -> None:
    building.make_world(engine)
    building.expire(engine)
    assert recover_expired(engine, ATTEMPTS) == 0


def test_a_worker_that_comes_back_between_the_look_and_the_repair_keeps_its_work(engine: Engine) -> None:
    world = building.make_world(engine)
    (order,) = begin_all(world)
    building.expire(engine)
    (expired,) = read(engine, recovery.expired_leases)
    lease = Lease(order.allocation_id, 1, order.execution)
    assert world.ledger.renew([lease]) == {order.execution: Standing.HELD}
    assert not transact(engine, lambda session: recovery.recover(session, expired, ATTEMPTS))
    assert row_of(engine, Allocation).state == "executing"


def test_a_sweeper_that_was_away_itself_recovers_nothing_that_it_read_before_the_gap(engine: Engine) -> None:
    """Its worker had come back, and could not renew while the database was away: the sweeper wakes first."""
    world = building.make_world(engine)
    (order,) = begin_all(world)
    building.expire(engine)
    (expired,) = read(engine, recovery.expired_leases)
    world.ledger.renew([Lease(order.allocation_id, 1, order.execution)])
    building.change(engine, Allocation, lease_until=now(-1))
    building.change(engine, Pulse, alive_at=now(-60))
    assert not transact(engine, lambda session: recovery.recover(session, expired, ATTEMPTS))
    stamp(engine)
    assert not transact(engine, lambda session: recovery.recover(session, expired, ATTEMPTS))
    building.change(engine, Pulse, recover_after=now(-1))
    assert transact(engine, lambda session: recovery.recover(session, expired, ATTEMPTS))


def test_lost_update_work_ends_failed_and_its_unfinished_items_wait_again(engine: Engine) -> None:
    world = building.make_world(engine, 4, capacity=40)
    (order,) = begin_all(world)
    done = order.feeds[0]
    world.ledger.checkpoint(order, outcome_of(order, {done.feed_id: FetchResult(building.drafts("a"))}))
    building.expire(engine)
    assert recover_expired(engine, ATTEMPTS) == 1
    allocation = row_of(engine, Allocation)
    assert (allocation.state, allocation.error_code, allocation.lease_until) == ("failed", "lost", None)
    assert building.counted(engine, WorkItem) == {"done": 1, "waiting": 3}
    for item in building.items_of(engine):
        if item.state == "waiting":
            assert (item.node_id, item.allocation_id, item.attempts) == (None, None, 0)
            assert item.reason == "the worker of its batch died"


def test_suspects_come_again_in_halves_then_alone_and_the_innocent_end_well(engine: Engine) -> None:
    """One feed of eight kills every worker that touches it."""
    world = building.make_world(engine, 8, capacity=80)
    deadly = world.feed_ids[3]
    sizes: list[list[int]] = []
    while waiting := building.allocation_ids(engine):
        orders = begin_all(world)
        assert len(orders) == len(waiting)
        sizes.append(sorted(len(order.feeds) for order in orders))
        for order in orders:
            if deadly not in {feed.feed_id for feed in order.feeds}:
                world.ledger.settle(outcome_of(order))
        building.expire(engine)
        recover_expired(engine, ATTEMPTS)
        pump(engine, None, LIMITS)
    # 8; two fours, of which one dies; two twos; two ones; then the deadly one alone until it is given up.
    assert sizes == [[8], [4, 4], [2, 2], [1, 1], [1], [1]]
    assert building.counted(engine, WorkItem) == {"done": 7, "failed": 1}
    (failed,) = [item for item in building.items_of(engine) if item.state == "failed"]
    assert (failed.feed_id, failed.error_code, failed.deaths) == (deadly, "worker_died", 3)
    assert "died 3 times" in failed.error_message
    assert [entry["code"] for entry in failed.errors] == ["lost", "lost", "lost"]
    assert failed.ended_at is not None


def test_an_item_that_was_alone_says_how_often_its_worker_died(engine: Engine) -> None:
    world = building.make_world(engine)
    # The first time others may have run beside it: it comes again, in a process of its own.
    (first,) = die(world)
    (second,) = begin_all(world)
    assert (first.alone, second.alone) == (False, True)
    assert row_of(engine, WorkItem).deaths == 0
    building.expire(engine)
    recover_expired(engine, ATTEMPTS)
    item = row_of(engine, WorkItem)
    assert (item.state, item.deaths, item.reason) == ("waiting", 1, "its worker died (1 of 3)")


def test_a_remote_node_that_is_cut_off_says_nothing_against_what_it_worked_on(engine: Engine) -> None:
    world = building.make_world(engine)
    building.change(engine, Node, transport="remote")
    for _ in range(suspects.DEATHS_ALLOWED + 2):
        (order,) = begin_all(world)
        assert not order.alone
        building.expire(engine)
        assert recover_expired(engine, ATTEMPTS) == 1
        building.change(engine, Node, transport="attached")
        pump(engine, None, LIMITS)
        building.change(engine, Node, transport="remote")
    item = row_of(engine, WorkItem)
    assert (item.state, item.deaths, item.batch_limit) == ("assigned", 0, None)


def test_a_feed_that_kills_its_workers_is_quarantined_until_a_person_looks_after_it(engine: Engine) -> None:
    world = building.make_world(engine)
    building.start_run(engine, building.make_task(engine, world.feed_ids))
    for _ in range(1 + suspects.DEATHS_ALLOWED):
        [mine] = [
            one.id
            for one in rows_of(engine, Allocation)
            if (one.run_id, one.state) == (world.run_id, "pending")
        ]
        die_with(world, mine)
    feed = row_of(engine, Feed)
    assert (feed.is_active, feed.paused_reason, feed.error_code) == (False, "worker_died", "worker_died")
    assert row_of(engine, Alert).rule == "alert_feed_quarantined"
    # The other run's item is in a queue already, and would kill three more.
    (other,) = building.allocation_ids(engine)
    order = world.ledger.begin(other, 1, new_id())
    assert order is not None
    assert order.feeds == ()
    assert {item.error_code for item in building.items_of(engine)} == {"worker_died"}
    building.start_run(engine, building.make_task(engine, world.feed_ids))
    assert pump(engine, None, LIMITS) == 0


@pytest.mark.parametrize("way", ["resume", "move"])
def test_a_quarantined_feed_goes_on_when_it_is_resumed_or_gets_another_address(
    engine: Engine, way: str
) -> None:
    (feed_id,) = building.make_feeds(engine, 1)
    transact(engine, lambda session: feed_health.quarantine(session, feed_id, "worker died"))
    address = draft_feed("https://elsewhere.example/", kind="rss", known_kinds={"rss"})
    told = {"is_active": True} if way == "resume" else {"address": address}
    transact(engine, lambda session: feeds.update_feed(session, feed_id, **told))
    feed = row_of(engine, Feed)
    assert (feed.is_active, feed.paused_reason) == (True, "")
    assert row_of(engine, Alert).closed_at is not None


def die_with(world: World, allocation_id: str) -> None:
    """The worker of this allocation dies; the beat recovers it and plans it again."""
    assert world.ledger.begin(allocation_id, 1, new_id()) is not None
    building.expire(world.engine, allocation_id)
    assert recover_expired(world.engine, ATTEMPTS) == 1
    pump(world.engine, None, LIMITS)


def test_lost_deliveries_are_tried_three_times_and_then_planned_anew(engine: Engine) -> None:
    building.make_deliveries(engine)
    order = building.begin_deliveries(engine)
    for attempt in (2, 3):
        building.expire(engine)
        assert recover_expired(engine, ATTEMPTS) == 1
        allocation = row_of(engine, Allocation, order.allocation_id)
        assert (allocation.state, allocation.attempt, allocation.execution) == ("pending", attempt, None)
        assert row_of(engine, Delivery).state == "assigned"
        assert building.deliver_ledger(engine).begin(order.allocation_id, attempt - 1, "old") is None
        assert building.deliver_ledger(engine).begin(order.allocation_id, attempt, f"d{attempt}") is not None
    building.expire(engine)
    assert recover_expired(engine, ATTEMPTS) == 1
    assert row_of(engine, Allocation, order.allocation_id).state == "failed"
    assert (row_of(engine, Delivery).state, row_of(engine, Delivery).allocation_id) == ("waiting", None)
    assert pump(engine, None, LIMITS) == 1


def test_after_a_gap_no_lease_is_recovered_until_renewals_and_outboxes_had_their_time(engine: Engine) -> None:
    world = building.make_world(engine)
    begin_all(world)
    building.expire(engine)
    building.change(engine, Pulse, alive_at=now(-21))
    stamp(engine)
    assert recover_expired(engine, ATTEMPTS) == 0
    # One lease (45 s) and the outbox's 30 s, from the first stamp after the gap on.
    assert not read(engine, lambda one: one.query(Pulse).filter(Pulse.recover_after < now(73)).count())
    assert read(engine, lambda one: one.query(Pulse).filter(Pulse.recover_after < now(76)).count())
    stamp(engine)
    assert recover_expired(engine, ATTEMPTS) == 0
    building.change(engine, Pulse, recover_after=now(-1))
    assert recover_expired(engine, ATTEMPTS) == 1


def test_stamps_without_a_gap_hold_nothing_up(engine: Engine) -> None:
    world = building.make_world(engine)
    begin_all(world)
    building.expire(engine)
    building.change(engine, Pulse, alive_at=now(-19))
    stamp(engine)
    assert recover_expired(engine, ATTEMPTS) == 1


def test_without_any_stamp_nothing_is_recovered(engine: Engine) -> None:
    world = building.make_world(engine)
    begin_all(world)
    transact(engine, lambda session: session.query(Pulse).delete())
    building.change(engine, Allocation, lease_until=now(-100))
    assert recover_expired(engine, ATTEMPTS) == 0


def test_beats_are_counted_while_they_live_and_forgotten_when_they_say_goodbye(engine: Engine) -> None:
    for instance in ("one", "two", "three"):
        stamp(engine, instance)
    assert read(engine, recovery.live_beats) == 3
    building.change(engine, Beat, alive_at=now(-16))
    stamp(engine, "one")
    assert read(engine, recovery.live_beats) == 1
    transact(engine, lambda session: recovery.forget_beat(session, "one"))
    assert read(engine, recovery.live_beats) == 0


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_beats_that_repair_at_once_recover_each_allocation_once(engine: Engine) -> None:
    world = building.make_world(engine, 12, capacity=19)
    building.change(engine, Allocation, alone=True)
    begin_all(world)
    building.expire(engine)
    recovered = building.together(*[lambda: recover_expired(engine, ATTEMPTS)] * 3)
    assert sum(recovered) == 12
    assert {item.deaths for item in building.items_of(engine)} == {1}
    assert building.counted(engine, WorkItem) == {"waiting": 12}


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_a_settle_and_a_recovery_at_once_agree(engine: Engine) -> None:
    """Either the settle was first, or the recovery; the item is done in any case, and counted once."""
    world = building.make_world(engine, 10, capacity=19)
    orders = begin_all(world)
    building.expire(engine)

    def settle_all() -> int:
        return sum(world.ledger.settle(outcome_of(order)) is Standing.HELD for order in orders)

    held, recovered = building.together(settle_all, lambda: recover_expired(engine, ATTEMPTS))
    assert held + recovered == 10
    assert building.counted(engine, WorkItem) == {"done": 10}
    assert {item.attempts for item in building.items_of(engine)} == {1}
    assert building.totals(engine) == (10, 10, 10)


def test_waits_that_are_over_go_on_and_others_do_not(engine: Engine) -> None:
    world = building.make_world(engine, 2)
    for order in begin_all(world):
        world.ledger.settle(outcome_of(order, BROKEN))
    first, second = building.items_of(engine)
    building.change(engine, WorkItem, first.id, not_before=now(-0.1))
    building.change(engine, WorkItem, second.id, not_before=now(30))
    assert release_due(engine) == 1
    assert (row_of(engine, WorkItem, first.id).not_before, release_due(engine)) == (None, 0)
    assert row_of(engine, WorkItem, first.id).reason == "waits for its next attempt"
    assert pump(engine, None, LIMITS) == 1


@pytest.mark.parametrize(
    ("values", "goes"),
    [
        ({"is_active": False}, True),
        ({"presence_at": None}, True),
        ({"presence_at": now(-181)}, True),
        ({"presence_at": now(-100)}, False),
        # Remote nodes: ours are gone with their presence, third-party ones by the seeds' rule.
        ({"transport": "remote", "instance": "i", "presence_at": now(-46)}, True),
        ({"transport": "remote", "instance": "i", "presence_at": now(-30)}, False),
        ({"transport": "remote", "instance": "", "presence_at": now(-100)}, False),
        ({"draining": True}, False),
        ({}, False),
    ],
)
def test_pending_work_of_a_node_that_is_gone_is_planned_anew(
    engine: Engine, values: dict[str, object], goes: bool
) -> None:
    world = building.make_world(engine, 3, capacity=30)
    other = building.make_node(engine, "other", capacity=30)
    building.change(engine, Node, world.node_id, id=world.node_id, **values)
    assert replan_gone(engine) == int(goes)
    assert replan_gone(engine) == 0
    if not goes:
        assert building.counted(engine, Allocation) == {"pending": 1}
        return
    allocation = row_of(engine, Allocation)
    assert (allocation.state, allocation.reason) == ("cancelled", "replanned: its node is gone")
    assert building.counted(engine, WorkItem) == {"waiting": 3}
    assert pump(engine, None, LIMITS) == 1
    assert {item.node_id for item in building.items_of(engine)} == {other}
    assert {item.attempts for item in building.items_of(engine)} == {0}


def test_running_work_of_a_gone_node_is_left_to_its_lease(engine: Engine) -> None:
    world = building.make_world(engine)
    begin_all(world)
    building.change(engine, Node, presence_at=None)
    assert replan_gone(engine) == 0
    assert row_of(engine, Allocation).state == "executing"


def test_a_worker_that_begins_while_its_work_is_replanned_gets_it_or_not_but_never_both(
    engine: Engine,
) -> None:
    world = building.make_world(engine)
    building.change(engine, Node, presence_at=None)
    (one,) = building.allocation_ids(engine)
    order, ended = building.together(lambda: world.ledger.begin(one, 1, "x"), lambda: replan_gone(engine))
    assert (order is None) == (ended == 1)
    assert row_of(engine, WorkItem).state == ("waiting" if ended else "assigned")


def test_runs_are_closed_when_their_last_item_has_ended(engine: Engine) -> None:
    world = building.make_world(engine, 2)
    first, second = begin_all(world)
    world.ledger.settle(outcome_of(first))
    assert close_runs(engine) == 0
    world.ledger.settle(outcome_of(second, building.GONE))
    assert (close_runs(engine), close_runs(engine)) == (1, 0)
    assert (row_of(engine, Run).state, row_of(engine, Run).reason) == ("completed", "all items ended")


def test_a_run_without_feeds_is_closed_too(engine: Engine) -> None:
    building.start_run(engine, building.make_task(engine, "all"))
    assert close_runs(engine) == 1


def test_an_expansion_that_a_crash_cut_short_is_finished_with_each_feed_once(engine: Engine) -> None:
    feeds = building.make_feeds(engine, 7)
    task_id = building.make_task(engine, feeds)
    run = transact(engine, lambda session: runs.start_run(session, task_id, trigger="manual", actor="ana"))
    assert not transact(engine, lambda session: runs.expand_chunk(session, run.run_id, chunk=3))
    assert len(building.items_of(engine)) == 3
    assert continue_expansions(engine) == 1
    assert continue_expansions(engine) == 0
    assert sorted(item.feed_id for item in building.items_of(engine)) == sorted(feeds)
    assert row_of(engine, Run).state == "running"


@pytest.mark.parametrize("chunk", [1, 2, 4, 5])
def test_chunks_of_any_size_make_each_item_once(engine: Engine, chunk: int) -> None:
    feeds = building.make_feeds(engine, 4)
    task_id = building.make_task(engine, "all")
    run = transact(engine, lambda session: runs.start_run(session, task_id, trigger="manual", actor="ana"))
    while not transact(engine, lambda session: runs.expand_chunk(session, run.run_id, chunk=chunk)):
        pass
    assert sorted(item.feed_id for item in building.items_of(engine)) == sorted(feeds)


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_a_chunk_reads_its_own_feeds_and_not_all_that_are_left(engine: Engine) -> None:
    # With fewer, the server picks a good plan even where it has the choice.
    task_id = building.make_task(engine, building.make_feeds(engine, 3000))
    run = transact(engine, lambda session: runs.start_run(session, task_id, trigger="manual", actor="ana"))
    with engine.connect() as connection:
        connection.execute(text("ANALYZE TABLE feeds, message_task_feeds"))

    def rows_read(session: Session) -> int:
        session.execute(text("FLUSH STATUS"))
        assert not runs.expand_chunk(session, run.run_id, chunk=10)
        found = session.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'")).all()
        return sum(int(row[1]) for row in found)

    assert transact(engine, rows_read) < 100


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_two_that_expand_a_run_at_once_make_each_item_once(engine: Engine) -> None:
    feeds = building.make_feeds(engine, 30)
    task_id = building.make_task(engine, feeds)
    run = transact(engine, lambda session: runs.start_run(session, task_id, trigger="manual", actor="ana"))

    def expand() -> None:
        while not transact(engine, lambda session: runs.expand_chunk(session, run.run_id, chunk=4)):
            pass

    building.together(expand, expand, expand)
    assert sorted(item.feed_id for item in rows_of(engine, WorkItem)) == sorted(feeds)
