"""What every ledger promises, whatever lies behind it. A new ledger adds its factory to `LEDGERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from backend.dispatch.pump import pump
from backend.dispatch.repairs import recover_expired, release_due
from backend.domain.orders import FetchResult, Outcome, Receipt
from backend.domain.ports import Lease, Ledger, Standing
from backend.store.columns import now
from backend.store.session import read
from backend.store.tables import Allocation, Article, Delivery, WorkItem
from tests import building
from tests.building import BROKEN, GONE, LIMITS, World, begin, drafts, outcome_of, row_of, rows_of
from tests.contracts.http_ledgers import http_ledgers

MakeLedger = Callable[[Engine, str], Ledger]


@contextmanager
def sql_ledgers(_folder: Path) -> Iterator[MakeLedger]:
    """Straight on the database."""
    yield building.ledger_for


LEDGERS: dict[str, Callable[[Path], AbstractContextManager[MakeLedger]]] = {
    "sql": sql_ledgers,
    "http": http_ledgers,
}
# Deliveries are the parent's own: no other ledger knows them.
DELIVERING = ("sql",)


@pytest.fixture(params=LEDGERS)
def make_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeLedger]:
    with LEDGERS[request.param](tmp_path) as make:
        yield make


@pytest.fixture
def world(engine: Engine) -> World:
    """One node with one feed to collect."""
    return building.make_world(engine)


@pytest.fixture
def ledger(world: World, make_ledger: MakeLedger) -> Ledger:
    return make_ledger(world.engine, world.node_id)


def only_allocation(engine: Engine) -> str:
    (one,) = building.allocation_ids(engine)
    return one


def state_of(engine: Engine, one: str) -> str:
    return building.states(engine, Allocation)[one]


def recover(engine: Engine) -> None:
    """The lease runs out and a beat gives the work back."""
    building.expire(engine)
    assert recover_expired(engine, 6) == 1


def test_begin_gives_the_order_with_all_that_the_work_needs(ledger: Ledger, world: World) -> None:
    one = only_allocation(world.engine)
    order = ledger.begin(one, 1, "x1")
    assert order is not None
    assert (order.allocation_id, order.attempt, order.execution) == (one, 1, "x1")
    assert (order.kind, order.queue, order.size) == ("update", world.queue, 1)
    assert [(feed.feed_id, feed.kind, feed.url) for feed in order.feeds] == [
        (world.feed_ids[0], "rss", "https://example.com/0")
    ]
    assert state_of(world.engine, one) == "executing"


def test_begin_repeated_by_the_same_execution_gives_the_same_order(ledger: Ledger, world: World) -> None:
    one = only_allocation(world.engine)
    assert ledger.begin(one, 1, "x1") == ledger.begin(one, 1, "x1") is not None


def test_begin_by_another_execution_gives_nothing(ledger: Ledger, world: World) -> None:
    one = only_allocation(world.engine)
    assert ledger.begin(one, 1, "x1") is not None
    assert ledger.begin(one, 1, "x2") is None
    assert row_of(world.engine, Allocation, one).execution == "x1"


def test_begin_gives_nothing_for_another_attempt_or_node_or_allocation(
    world: World, make_ledger: MakeLedger
) -> None:
    one = only_allocation(world.engine)
    other = make_ledger(world.engine, building.make_node(world.engine, "other"))
    assert other.begin(one, 1, "x1") is None
    mine = make_ledger(world.engine, world.node_id)
    assert mine.begin(one, 2, "x1") is None
    assert mine.begin("no-such-allocation", 1, "x1") is None
    assert state_of(world.engine, one) == "pending"


def test_begin_gives_nothing_once_the_work_was_cancelled(ledger: Ledger, world: World) -> None:
    building.change(world.engine, Allocation, cancel_requested=True)
    assert ledger.begin(only_allocation(world.engine), 1, "x1") is None
    assert ledger.begin_next(world.queue, "x2", 10) is None


def test_begin_next_takes_the_oldest_of_its_own_queue(engine: Engine, make_ledger: MakeLedger) -> None:
    world = building.make_world(engine, 3)
    ledger = make_ledger(engine, world.node_id)
    waiting = building.allocation_ids(engine)
    first = ledger.begin_next(world.queue, "x1", 10)
    assert first is not None
    assert first.allocation_id == waiting[0]
    second = ledger.begin_next(world.queue, "x2", 10)
    assert second is not None
    assert second.allocation_id == waiting[1]
    assert ledger.begin_next("node:other", "x3", 10) is None


def test_begin_next_passes_over_what_does_not_fit(engine: Engine, make_ledger: MakeLedger) -> None:
    # A capacity of 30 makes batches of three: 3, then 1.
    world = building.make_world(engine, 4, capacity=30)
    ledger = make_ledger(engine, world.node_id)
    order = ledger.begin_next(world.queue, "x1", 2)
    assert order is not None
    assert order.size == 1
    assert ledger.begin_next(world.queue, "x2", 2) is None
    assert ledger.begin_next(world.queue, "x3", 3) is not None


def test_settle_stores_everything_that_the_outcome_brings(ledger: Ledger, world: World) -> None:
    order = begin(world)
    result = FetchResult(drafts("a", "b"), etag='"1"', last_modified="today")
    assert ledger.settle(outcome_of(order, result)) is Standing.HELD
    allocation = row_of(world.engine, Allocation)
    assert (allocation.state, allocation.settled_by, allocation.lease_until) == ("completed", "x1", None)
    assert (allocation.article_count, allocation.new_article_count) == (2, 2)
    item = row_of(world.engine, WorkItem)
    assert (item.state, item.attempts, item.article_count, item.new_article_count) == ("done", 1, 2, 2)
    assert building.totals(world.engine) == (2, 1, 2)


def test_settle_repeated_is_held_and_changes_nothing_more(ledger: Ledger, world: World) -> None:
    outcome = outcome_of(begin(world), FetchResult(drafts("a", "b")))
    assert ledger.settle(outcome) is Standing.HELD
    before = (row_of(world.engine, Allocation).ended_at, row_of(world.engine, WorkItem).ended_at)
    assert ledger.settle(outcome) is Standing.HELD
    assert (row_of(world.engine, Allocation).ended_at, row_of(world.engine, WorkItem).ended_at) == before
    assert row_of(world.engine, WorkItem).attempts == 1
    assert row_of(world.engine, Allocation).new_article_count == 2
    assert building.totals(world.engine) == (2, 1, 2)


def test_settle_of_failures_repeated_counts_each_attempt_once(ledger: Ledger, world: World) -> None:
    outcome = outcome_of(begin(world), BROKEN)
    assert ledger.settle(outcome) is Standing.HELD
    assert ledger.settle(outcome) is Standing.HELD
    item = row_of(world.engine, WorkItem)
    assert (item.state, item.attempts, len(item.errors)) == ("waiting", 1, 1)


def test_a_failure_reported_again_after_the_item_was_planned_anew_takes_nothing_away(
    ledger: Ledger, world: World
) -> None:
    outcome = outcome_of(begin(world), BROKEN)
    ledger.settle(outcome)
    building.change(world.engine, WorkItem, not_before=None)
    assert pump(world.engine, None, LIMITS) == 1
    assert ledger.settle(outcome) is Standing.HELD
    item = row_of(world.engine, WorkItem)
    assert (item.state, item.attempts) == ("assigned", 1)
    assert item.allocation_id == only_allocation(world.engine)


def test_a_settle_by_an_execution_that_never_began_is_refused(ledger: Ledger, world: World) -> None:
    order = begin(world)
    stranger = outcome_of(order)
    stranger = Outcome(stranger.allocation_id, 1, "stranger", "update", stranger.items)
    assert ledger.settle(stranger) is Standing.SUPERSEDED
    assert row_of(world.engine, Allocation).state == "executing"
    assert row_of(world.engine, WorkItem).state == "assigned"


def test_a_late_result_counts_until_the_next_execution_has_begun(ledger: Ledger, world: World) -> None:
    outcome = outcome_of(begin(world), FetchResult(drafts("a", "b")))
    recover(world.engine)
    assert ledger.settle(outcome) is Standing.SUPERSEDED
    allocation = row_of(world.engine, Allocation)
    assert (allocation.state, allocation.error_code, allocation.settled_by) == ("failed", "lost", None)
    assert row_of(world.engine, WorkItem).state == "done"
    assert building.totals(world.engine) == (2, 1, 2)


def test_a_late_result_counts_for_an_item_that_is_planned_again_but_not_begun(
    ledger: Ledger, world: World
) -> None:
    outcome = outcome_of(begin(world))
    recover(world.engine)
    assert pump(world.engine, None, LIMITS) == 1
    assert ledger.settle(outcome) is Standing.SUPERSEDED
    assert row_of(world.engine, WorkItem).state == "done"
    order = ledger.begin(only_allocation(world.engine), 1, "x2")
    assert order is not None
    assert order.feeds == ()
    assert ledger.settle(outcome_of(order)) is Standing.HELD
    assert row_of(world.engine, WorkItem).state == "done"


def test_a_late_failure_neither_counts_nor_takes_the_item_away(ledger: Ledger, world: World) -> None:
    outcome = outcome_of(begin(world), GONE)
    recover(world.engine)
    assert pump(world.engine, None, LIMITS) == 1
    assert ledger.settle(outcome) is Standing.SUPERSEDED
    item = row_of(world.engine, WorkItem)
    assert (item.state, item.attempts, item.error_code) == ("assigned", 0, "")


def test_after_the_next_execution_began_a_late_result_leaves_the_item_and_keeps_the_articles(
    ledger: Ledger, world: World
) -> None:
    outcome = outcome_of(begin(world), FetchResult(drafts("a", "b")))
    recover(world.engine)
    pump(world.engine, None, LIMITS)
    order = ledger.begin(only_allocation(world.engine), 1, "x2")
    assert order is not None
    assert ledger.settle(outcome) is Standing.SUPERSEDED
    assert (row_of(world.engine, WorkItem).state, len(rows_of(world.engine, Article))) == ("assigned", 2)
    assert ledger.settle(outcome_of(order, FetchResult(drafts("b", "c")))) is Standing.HELD
    item = row_of(world.engine, WorkItem)
    assert (item.state, item.attempts, item.article_count, item.new_article_count) == ("done", 1, 2, 1)
    # Whoever stored an article made it due, and nobody else does again.
    assert building.totals(world.engine) == (3, 2, 3)


def test_checkpoints_keep_what_is_ready_and_the_settle_adds_the_rest(
    engine: Engine, make_ledger: MakeLedger
) -> None:
    world = building.make_world(engine, 3, capacity=30)
    ledger = make_ledger(engine, world.node_id)
    order = begin(world)
    first, second, third = world.feed_ids
    assert ledger.checkpoint(order, outcome_of(order, {first: FetchResult(drafts("a"))})) is Standing.HELD
    assert building.counted(engine, WorkItem) == {"done": 1, "assigned": 2}
    assert building.totals(engine) == (1, 1, 1)
    rest = outcome_of(
        order, {first: FetchResult(drafts("a")), second: FetchResult(drafts("b")), third: BROKEN}
    )
    assert ledger.settle(rest) is Standing.HELD
    assert building.counted(engine, WorkItem) == {"done": 2, "waiting": 1}
    assert building.totals(engine) == (2, 2, 2)
    assert row_of(engine, Allocation).new_article_count == 2


def test_a_result_reported_twice_counts_once(ledger: Ledger, world: World) -> None:
    order = begin(world)
    for _ in range(2):
        assert ledger.checkpoint(order, outcome_of(order, FetchResult(drafts("a")))) is Standing.HELD
    item = row_of(world.engine, WorkItem)
    assert (item.state, item.attempts, item.new_article_count) == ("done", 1, 1)
    assert building.totals(world.engine) == (1, 1, 1)


def test_renew_extends_a_lease_and_tells_what_was_cancelled_or_lost(
    engine: Engine, make_ledger: MakeLedger
) -> None:
    world = building.make_world(engine, 3)
    ledger = make_ledger(engine, world.node_id)
    orders = [
        ledger.begin(one, 1, f"x{number}") for number, one in enumerate(building.allocation_ids(engine))
    ]
    held, cancelled, lost = [Lease(one.allocation_id, 1, one.execution) for one in orders if one]
    building.change(engine, Allocation, cancelled.allocation_id, cancel_requested=True)
    building.expire(engine, lost.allocation_id)
    recover_expired(engine, 6)
    building.change(engine, Allocation, held.allocation_id, lease_until=now(1))
    assert ledger.renew([lost, held, cancelled]) == {
        held.execution: Standing.HELD,
        cancelled.execution: Standing.CANCELLED,
        lost.execution: Standing.SUPERSEDED,
    }
    current = read(engine, lambda session: session.scalar(select(now())))
    left = row_of(engine, Allocation, held.allocation_id).lease_until - current
    assert timedelta(seconds=40) < left <= timedelta(seconds=45)
    assert row_of(engine, Allocation, lost.allocation_id).lease_until is None


def test_a_renewed_lease_is_not_recovered(ledger: Ledger, world: World) -> None:
    order = begin(world)
    building.expire(world.engine)
    assert ledger.renew([Lease(order.allocation_id, 1, "x1")]) == {"x1": Standing.HELD}
    assert recover_expired(world.engine, 6) == 0
    assert ledger.settle(outcome_of(order)) is Standing.HELD


def test_renewing_nothing_answers_nothing(ledger: Ledger) -> None:
    assert ledger.renew([]) == {}


def test_a_cancel_request_is_told_by_the_next_checkpoint(ledger: Ledger, world: World) -> None:
    order = begin(world)
    building.change(world.engine, Allocation, cancel_requested=True)
    nothing = Outcome(order.allocation_id, 1, "x1", "update")
    assert ledger.checkpoint(order, nothing) is Standing.CANCELLED


def test_a_checkpoint_tells_a_lost_lease(ledger: Ledger, world: World) -> None:
    order = begin(world)
    recover(world.engine)
    assert ledger.checkpoint(order, Outcome(order.allocation_id, 1, "x1", "update")) is Standing.SUPERSEDED


def test_failures_are_retried_with_backoff_and_then_fail_with_everything_that_went_wrong(
    ledger: Ledger, world: World
) -> None:
    for attempt in (1, 2, 3):
        ledger.settle(outcome_of(begin(world, f"x{attempt}"), BROKEN))
        item = row_of(world.engine, WorkItem)
        assert item.attempts == len(item.errors) == attempt
        if attempt < 3:
            assert (item.state, item.node_id, item.allocation_id) == ("waiting", None, None)
            assert f"attempt {attempt} of 3 failed; the next one comes in" in item.reason
            assert pump(world.engine, None, LIMITS) == release_due(world.engine) == 0
            building.change(world.engine, WorkItem, not_before=now(-1))
            assert release_due(world.engine) == 1
            assert pump(world.engine, None, LIMITS) == 1
    item = row_of(world.engine, WorkItem)
    assert (item.state, item.error_code, item.error_message) == ("failed", BROKEN.code, BROKEN.message)
    assert [entry["attempt"] for entry in item.errors] == [1, 2, 3]
    assert {(entry["code"], entry["message"]) for entry in item.errors} == {(BROKEN.code, BROKEN.message)}
    assert building.counted(world.engine, Allocation) == {"completed": 3}


def test_a_permanent_failure_fails_at_once(ledger: Ledger, world: World) -> None:
    assert ledger.settle(outcome_of(begin(world), GONE)) is Standing.HELD
    item = row_of(world.engine, WorkItem)
    assert (item.state, item.attempts, item.error_code) == ("failed", 1, GONE.code)
    assert item.ended_at is not None
    assert row_of(world.engine, Allocation).state == "completed"


def test_items_that_a_stop_left_undone_wait_again_without_an_attempt(
    engine: Engine, make_ledger: MakeLedger
) -> None:
    world = building.make_world(engine, 3, capacity=30)
    ledger = make_ledger(engine, world.node_id)
    order = begin(world)
    done, *undone = order.feeds
    back = [feed.item_id for feed in undone]
    outcome = outcome_of(order, {done.feed_id: FetchResult(drafts("a"))}, handed_back=back)
    assert ledger.settle(outcome) is Standing.HELD
    allocation = row_of(engine, Allocation)
    assert (allocation.state, allocation.reason) == ("cancelled", "handed back: 2 of 3")
    assert building.counted(engine, WorkItem) == {"done": 1, "waiting": 2}
    assert {item.attempts for item in building.items_of(engine) if item.state == "waiting"} == {0}
    # One allocation of the two items, one of the delivery that the first one made.
    assert pump(engine, None, LIMITS) == 2
    assert ledger.settle(outcome) is Standing.HELD
    assert building.counted(engine, WorkItem) == {"done": 1, "assigned": 2}


def test_an_item_that_the_outcome_does_not_name_is_not_lost(ledger: Ledger, world: World) -> None:
    order = begin(world)
    assert ledger.settle(Outcome(order.allocation_id, 1, "x1", "update")) is Standing.HELD
    item = row_of(world.engine, WorkItem)
    assert (item.state, item.attempts, item.error_code) == ("waiting", 1, "no_result")


@pytest.mark.parametrize("make_ledger", DELIVERING, indirect=True)
def test_a_settled_delivery_is_done_and_repeating_the_settle_changes_nothing(
    engine: Engine, make_ledger: MakeLedger
) -> None:
    building.make_deliveries(engine)
    order = building.begin_deliveries(engine)
    ledger = make_ledger(engine, row_of(engine, Allocation, order.allocation_id).node_id)
    receipts = tuple(Receipt(one.delivery_id, 200, "ok") for one in order.deliveries)
    outcome = Outcome(order.allocation_id, 1, "d1", "deliver", receipts=receipts)
    assert ledger.settle(outcome) is Standing.HELD
    before = row_of(engine, Delivery).ended_at
    assert ledger.settle(outcome) is Standing.HELD
    delivery = row_of(engine, Delivery)
    assert (delivery.state, delivery.status_code, delivery.excerpt) == ("delivered", 200, "ok")
    assert delivery.ended_at == before


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_concurrent_takers_get_each_allocation_once(engine: Engine, make_ledger: MakeLedger) -> None:
    world = building.make_world(engine, 60, capacity=60)
    waiting = building.allocation_ids(engine)
    assert len(waiting) == 10

    def take_all(taker: int) -> list[str]:
        ledger = make_ledger(engine, world.node_id)
        taken: list[str] = []
        while order := ledger.begin_next(world.queue, f"x{taker}-{len(taken)}", 10):
            taken.append(order.allocation_id)
        return taken

    taken = building.together(*(lambda taker=taker: take_all(taker) for taker in range(8)))
    assert sorted(one for group in taken for one in group) == waiting


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_concurrent_begins_of_one_allocation_have_one_winner(engine: Engine, make_ledger: MakeLedger) -> None:
    world = building.make_world(engine, 5)
    ledger = make_ledger(engine, world.node_id)
    for one in building.allocation_ids(engine):
        orders = building.together(
            *(lambda taker=taker, one=one: ledger.begin(one, 1, f"x{taker}") for taker in range(6))
        )
        winners = [order.execution for order in orders if order]
        assert winners == [row_of(engine, Allocation, one).execution]


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_an_allocation_in_somebodys_hands_right_now_is_passed_over_without_waiting(
    engine: Engine, make_ledger: MakeLedger
) -> None:
    world = building.make_world(engine, 2)
    ledger = make_ledger(engine, world.node_id)
    first, second = building.allocation_ids(engine)
    with engine.connect() as holder:
        holder.execute(select(Allocation.id).where(Allocation.id == first).with_for_update())
        order = ledger.begin_next(world.queue, "x1", 10)
        assert order is not None
        assert order.allocation_id == second
        assert ledger.begin_next(world.queue, "x2", 10) is None


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_a_lease_whose_work_is_being_settled_holds_up_no_other_lease(
    engine: Engine, make_ledger: MakeLedger
) -> None:
    world = building.make_world(engine, 2)
    ledger = make_ledger(engine, world.node_id)
    settling, other = building.allocation_ids(engine)
    for one in (settling, other):
        assert ledger.begin(one, 1, f"x-{one[-4:]}") is not None
    leases = [Lease(one, 1, f"x-{one[-4:]}") for one in (settling, other)]
    building.change(engine, Allocation, lease_until=now(1))
    with engine.connect() as holder:
        holder.execute(select(Allocation.id).where(Allocation.id == settling).with_for_update())
        assert set(ledger.renew(leases).values()) == {Standing.HELD}
    renewed = read(
        engine,
        lambda session: session.scalars(select(Allocation.id).where(Allocation.lease_until > now(40))).all(),
    )
    assert renewed == [other]


def test_executions_that_end_together_are_settled_as_if_each_had_ended_alone(
    engine: Engine, make_ledger: MakeLedger
) -> None:
    world = building.make_world(engine, 60, capacity=60)
    ledger = make_ledger(engine, world.node_id)
    begun = [ledger.begin(one, 1, one) for one in building.allocation_ids(engine)]
    orders = [order for order in begun if order is not None]
    failed, good = orders[::2], orders[1::2]
    firsts = [outcome_of(order, {order.feeds[0].feed_id: BROKEN}) for order in failed]
    firsts += [outcome_of(order, {order.feeds[0].feed_id: FetchResult(drafts("a", "b"))}) for order in good]
    checkpoints = [partial(ledger.checkpoint, *each) for each in zip([*failed, *good], firsts, strict=True)]
    assert set(building.together(*checkpoints)) == {Standing.HELD}
    rest = [
        outcome_of(order, {feed.feed_id: FetchResult(drafts("c")) for feed in order.feeds[1:]})
        for order in orders
    ]
    assert set(building.together(*(partial(ledger.settle, one) for one in rest))) == {Standing.HELD}
    assert building.counted(engine, Allocation) == {"completed": len(orders)}
    assert building.counted(engine, WorkItem) == {"done": 60 - len(failed), "waiting": len(failed)}
    stored = 60 - len(failed) + len(good)
    assert len(rows_of(engine, Article)) == stored
    assert sum(row.new_article_count for row in rows_of(engine, Allocation)) == stored
