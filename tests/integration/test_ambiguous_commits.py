"""The connection is lost at every single statement, and every single answer, and every statement fails in its other ways:
the end is exactly once all the same, and what was refused left nothing behind."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, select

from backend.dispatch import dispatching, repairs
from backend.dispatch.dispatching import DispatchedTask
from backend.dispatch.interventions import cancel_allocation, retry_allocation
from backend.dispatch.pump import pump
from backend.domain.orders import Failure, Freeze, FrozenMessage, Outcome, Receipt, WorkOrder
from backend.domain.ports import Lease, Standing
from backend.store import interventions, nodes
from backend.store.session import read, transact
from backend.store.tables import Allocation, Article, Delivery, DeliveryArticle, History, Node, Run, WorkItem
from backend.workers.ledger import SqlLedger
from tests import building
from tests.building import BROKEN, LIMITS, World, allocation_ids, outcome_of, row_of
from tests.faults import WAYS, Weak, weakened
from tests.servers import MariaDb

pytestmark = pytest.mark.parametrize(("backend", "way"), WAYS, indirect=["backend"])

FEEDS = 30
# A batch of one, so that each failure gets an allocation of its own.
CAPACITY = 19
REFUSED = Failure("http_status", "the server answered 410", permanent=True)


@pytest.fixture
def weak(engine: Engine, backend: str, way: str, request: pytest.FixtureRequest) -> Iterator[Weak]:
    server: MariaDb | None = request.getfixturevalue("mariadb") if backend == "mariadb" else None
    with weakened(engine, way, server) as made:
        yield made


@pytest.fixture
def world(weak: Weak) -> World:
    """Enough feeds for one per lost statement."""
    return building.make_world(weak.engine, FEEDS, capacity=CAPACITY)


def next_pending(world: World) -> str:
    pending = allocation_ids(world.engine)
    if not pending:
        building.change(world.engine, WorkItem, node_id="elsewhere")
        pump(world.engine, None, LIMITS)
        pending = allocation_ids(world.engine)
    return pending[0]


def begun(world: World, execution: str) -> WorkOrder:
    order = world.ledger.begin(next_pending(world), 1, execution)
    assert order is not None
    return order


def moves_of(engine: Engine, one: str) -> list[tuple[str, str]]:
    query = select(History.from_state, History.to_state).where(History.subject_id == one).order_by(History.id)
    return [(row[0], row[1]) for row in read(engine, lambda session: session.execute(query).all())]


def of_feed(engine: Engine, table: Any, feed_id: str) -> list[Any]:
    return [row for row in building.rows_of(engine, table) if row.feed_id == feed_id]


def check_settled_once(world: World, order: WorkOrder) -> None:
    """The allocation ended once and its one feed brought one article, in one delivery."""
    engine, (feed,) = world.engine, order.feeds
    allocation = row_of(engine, Allocation, order.allocation_id)
    assert (allocation.state, allocation.settled_by) == ("completed", order.execution)
    assert (allocation.article_count, allocation.new_article_count) == (1, 1)
    assert moves_of(engine, order.allocation_id)[-2:] == [
        ("pending", "executing"),
        ("executing", "completed"),
    ]
    assert len(moves_of(engine, order.allocation_id)) == 3
    item = row_of(engine, WorkItem, feed.item_id)
    assert (item.state, item.attempts, item.article_count, item.new_article_count) == ("done", 1, 1, 1)
    (article,) = of_feed(engine, Article, feed.feed_id)
    (delivery,) = of_feed(engine, Delivery, feed.feed_id)
    found = [row for row in building.rows_of(engine, DeliveryArticle) if row.article_id == article.id]
    assert [row.delivery_id for row in found] == [delivery.id]


def test_begin_takes_the_allocation_once(weak: Weak, world: World) -> None:
    def run(number: int) -> None:
        one = next_pending(world)
        order = weak.through(world.ledger).begin(one, 1, f"x{number}")
        assert order is not None
        assert order.allocation_id == one
        assert len(order.feeds) == 1
        assert row_of(weak.engine, Allocation, one).execution == f"x{number}"
        assert moves_of(weak.engine, one) == [("", "pending"), ("pending", "executing")]

    assert "COMMIT" in weak.at_every_statement(run)


def test_begin_next_takes_one_allocation(weak: Weak, world: World) -> None:
    def run(number: int) -> None:
        one = next_pending(world)
        order = weak.through(world.ledger).begin_next(world.queue, f"x{number}", 10)
        assert order is not None
        assert order.allocation_id == one
        taken = [row.id for row in building.rows_of(weak.engine, Allocation) if row.execution == f"x{number}"]
        assert taken == [one]
        assert moves_of(weak.engine, one) == [("", "pending"), ("pending", "executing")]

    assert "COMMIT" in weak.at_every_statement(run)


def test_settle_applies_the_outcome_once(weak: Weak, world: World) -> None:
    def run(number: int) -> None:
        order = begun(world, f"x{number}")
        assert weak.through(world.ledger).settle(outcome_of(order)) is Standing.HELD
        check_settled_once(world, order)

    assert "COMMIT" in weak.at_every_statement(run)


def test_a_failure_counts_one_attempt(weak: Weak, world: World) -> None:
    def run(number: int) -> None:
        order = begun(world, f"x{number}")
        assert weak.through(world.ledger).settle(outcome_of(order, BROKEN)) is Standing.HELD
        item = row_of(weak.engine, WorkItem, order.feeds[0].item_id)
        assert (item.state, item.attempts, len(item.errors)) == ("waiting", 1, 1)
        assert row_of(weak.engine, Allocation, order.allocation_id).settled_by == f"x{number}"

    assert "COMMIT" in weak.at_every_statement(run)


def test_a_checkpoint_counts_once_and_the_settle_after_it_adds_nothing(weak: Weak, world: World) -> None:
    def run(number: int) -> None:
        order = begun(world, f"x{number}")
        assert weak.through(world.ledger).checkpoint(order, outcome_of(order)) is Standing.HELD
        assert (
            world.ledger.settle(Outcome(order.allocation_id, 1, order.execution, "update")) is Standing.HELD
        )
        check_settled_once(world, order)

    assert "COMMIT" in weak.at_every_statement(run)


def test_items_are_handed_back_once(weak: Weak, world: World) -> None:
    def run(number: int) -> None:
        order = begun(world, f"x{number}")
        back = [feed.item_id for feed in order.feeds]
        outcome = outcome_of(order, {}, handed_back=back)
        assert weak.through(world.ledger).settle(outcome) is Standing.HELD
        item = row_of(weak.engine, WorkItem, back[0])
        assert (item.state, item.attempts, item.allocation_id) == ("waiting", 0, None)
        assert row_of(weak.engine, Allocation, order.allocation_id).state == "cancelled"

    assert "COMMIT" in weak.at_every_statement(run)


def test_renewals_hold(weak: Weak, world: World) -> None:
    order = begun(world, "x")
    lease = Lease(order.allocation_id, 1, "x")

    def run(number: int) -> None:
        assert weak.through(world.ledger).renew([lease]) == {"x": Standing.HELD}

    assert "COMMIT" in weak.at_every_statement(run)


def test_a_message_is_frozen_once_counted_once_and_acknowledged_once(
    weak: Weak,
) -> None:
    building.make_deliveries(weak.engine, FEEDS)
    strong = building.deliver_ledger(weak.engine)
    pump(weak.engine, None, LIMITS)
    ledger = weak.through(strong)
    order = strong.begin_next("default", "d", 100)
    assert order is not None
    waiting = [one.delivery_id for one in order.deliveries]

    def run(number: int) -> None:
        if not waiting:
            waiting.extend(more_deliveries(weak, strong, number))
        one = waiting.pop()
        owner = row_of(weak.engine, Delivery, one).allocation_id
        held = dataclasses.replace(order, allocation_id=owner)
        assert ledger.checkpoint(held, Freeze({one: FrozenMessage("t", f"body {number}")})) is Standing.HELD
        delivery = row_of(weak.engine, Delivery, one)
        assert (delivery.attempts, delivery.in_flight, delivery.body) == (1, True, f"body {number}")
        receipts = Outcome(owner, 1, "d", "deliver", receipts=(Receipt(one, 200, "ok"),))
        assert ledger.checkpoint(held, receipts) is Standing.HELD
        delivery = row_of(weak.engine, Delivery, one)
        assert (delivery.state, delivery.attempts, delivery.in_flight) == ("delivered", 1, False)

    assert "COMMIT" in weak.at_every_statement(run)


def test_a_settled_delivery_ends_once_and_what_was_not_sent_waits_again(weak: Weak) -> None:
    building.make_deliveries(weak.engine, FEEDS)
    strong = building.deliver_ledger(weak.engine)

    def run(number: int) -> None:
        pump(weak.engine, None, LIMITS)
        order = strong.begin_next("default", f"d{number}", 100)
        assert order is not None
        sent, *rest = [one.delivery_id for one in order.deliveries]
        outcome = Outcome(
            *(order.allocation_id, 1, order.execution, "deliver"),
            receipts=(Receipt(sent, 200, "ok"),),
            handed_back=tuple(rest),
        )
        assert weak.through(strong).settle(outcome) is Standing.HELD
        assert row_of(weak.engine, Delivery, sent).state == "delivered"
        assert {row_of(weak.engine, Delivery, one).state for one in rest} <= {"waiting"}
        assert row_of(weak.engine, Allocation, order.allocation_id).settled_by == order.execution

    assert "COMMIT" in weak.at_every_statement(run)


def more_deliveries(weak: Weak, ledger: SqlLedger, number: int) -> list[str]:
    pump(weak.engine, None, LIMITS)
    order = ledger.begin_next("default", "d", 100)
    assert order is not None, number
    return [one.delivery_id for one in order.deliveries]


def test_a_dispatch_makes_one_run_with_each_item_once(weak: Weak) -> None:
    task_id = building.make_task(weak.engine, building.make_feeds(weak.engine, 1), overlap="allow")

    def run(number: int) -> None:
        before = {row.id for row in building.rows_of(weak.engine, Run)}
        dispatched = weak.call(
            lambda engine: dispatching._dispatch_one(engine, task_id, "manual", "ana"), steps=True
        )
        assert isinstance(dispatched, DispatchedTask)
        started = dispatched.run_id
        # What was refused in the middle of its expansion is continued by a beat.
        repairs.continue_expansions(weak.engine)
        assert {row.id for row in building.rows_of(weak.engine, Run)} - before == {started}
        assert [item.run_id for item in building.items_of(weak.engine)].count(started) == 1
        assert moves_of(weak.engine, started) == [("", "expanding"), ("expanding", "running")]

    assert "COMMIT" in weak.at_every_statement(run)


def test_the_pump_places_each_item_once(weak: Weak) -> None:
    task_id = building.make_task(weak.engine, building.make_feeds(weak.engine, 1))
    building.make_node(weak.engine, capacity=200)

    def run(number: int) -> None:
        run_id = building.start_run(weak.engine, task_id)
        weak.call(lambda engine: pump(engine, None, LIMITS), steps=True)
        (item,) = [item for item in building.items_of(weak.engine) if item.run_id == run_id]
        made = [row.id for row in building.rows_of(weak.engine, Allocation) if row.run_id == run_id]
        assert (item.state, [item.allocation_id]) == ("assigned", made)

    assert "COMMIT" in weak.at_every_statement(run)


def test_a_node_is_made_once(weak: Weak) -> None:
    def run(number: int) -> None:
        node_id = weak.call(
            lambda engine: transact(engine, lambda session: nodes.ensure_attached(session, f"n{number}").id)
        )
        assert [row.id for row in building.rows_of(weak.engine, Node) if row.name == f"n{number}"] == [
            node_id
        ]

    assert "COMMIT" in weak.at_every_statement(run)


def test_who_tries_again_is_told_what_came_of_it(weak: Weak, world: World) -> None:
    def run(number: int) -> None:
        order = begun(world, f"x{number}")
        assert world.ledger.settle(outcome_of(order, REFUSED)) is Standing.HELD
        done = weak.call(lambda engine: retry_allocation(engine, None, order.allocation_id, "somebody"))
        assert (done.outcome, done.items) == (interventions.TRIED_AGAIN, 1)

    assert "COMMIT" in weak.at_every_statement(run)


def test_who_cancels_is_told_what_came_of_it(weak: Weak, world: World) -> None:
    def run(_number: int) -> None:
        pending = next_pending(world)
        done = weak.call(lambda engine: cancel_allocation(engine, None, pending, "somebody"))
        assert (done.outcome, done.items) == (interventions.CANCELLED, 1)

    assert "COMMIT" in weak.at_every_statement(run)
