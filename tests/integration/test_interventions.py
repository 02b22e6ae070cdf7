"""What people do to allocations: cancel and retry, one and many, against workers that settle."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, select

from backend.dispatch import repairs
from backend.dispatch.interventions import apply_selection, cancel_allocation, retry_allocation
from backend.dispatch.pump import pump
from backend.domain.errors import CascadeError, Conflict, InvalidInput, NotFound
from backend.domain.identifiers import new_id
from backend.domain.orders import Receipt, WorkOrder
from backend.domain.ports import Lease, Standing
from backend.store import interventions, message_tasks, selections
from backend.store.allocation_views import AllocationFilter
from backend.store.columns import now
from backend.store.interventions import Intervention
from backend.store.selections import SelectionView
from backend.store.session import read, transact
from backend.store.tables import Allocation, Article, Delivery, MessageTask, Run, Selection, WorkItem
from tests.building import (
    GONE,
    LIMITS,
    World,
    allocation_ids,
    begin,
    begin_deliveries,
    change,
    counted,
    deliver_ledger,
    expire,
    make_deliveries,
    make_world,
    outcome_of,
    row_of,
    rows_of,
    states,
    together,
)


def cancel(engine: Engine, allocation_id: str) -> Intervention:
    return cancel_allocation(engine, None, allocation_id, "user ana")


def retry(engine: Engine, allocation_id: str, *, unconfirmed: bool = False) -> Intervention:
    return retry_allocation(engine, None, allocation_id, "user ana", unconfirmed=unconfirmed)


def settle_all(world: World, result: object = None) -> None:
    for allocation_id in allocation_ids(world.engine):
        order = world.ledger.begin(allocation_id, 1, new_id())
        assert order is not None
        world.ledger.settle(outcome_of(order, result))  # type: ignore[arg-type]


def test_pending_work_that_is_cancelled_never_begins_and_its_items_end(engine: Engine) -> None:
    world = make_world(engine, 3, capacity=30)
    [allocation_id] = allocation_ids(engine)
    done = cancel(engine, allocation_id)
    assert (done.outcome, done.status, done.items) == ("cancelled", "cancelled", 3)
    assert world.ledger.begin(allocation_id, 1, "x1") is None
    assert counted(engine, WorkItem) == {"cancelled": 3}
    repairs.close_runs(engine)
    assert row_of(engine, Run).state == "completed"


def test_cancelling_twice_changes_nothing_more(engine: Engine) -> None:
    make_world(engine)
    [allocation_id] = allocation_ids(engine)
    cancel(engine, allocation_id)
    assert cancel(engine, allocation_id).outcome == "already_cancelled"


def test_running_work_hears_of_its_cancelling_at_its_next_renewal_and_checkpoint(engine: Engine) -> None:
    world = make_world(engine, 2, capacity=20)
    order = begin(world)
    done = cancel(engine, order.allocation_id)
    assert (done.outcome, done.status) == ("cancel_requested", "executing")
    lease = Lease(order.allocation_id, order.attempt, order.execution)
    assert world.ledger.renew([lease]) == {order.execution: Standing.CANCELLED}
    assert world.ledger.checkpoint(order, outcome_of(order, {})) is Standing.CANCELLED


def test_what_had_ended_before_the_cancelling_stays_and_the_rest_never_returns(engine: Engine) -> None:
    world = make_world(engine, 3, capacity=30)
    order = begin(world)
    first, second, third = order.feeds
    world.ledger.checkpoint(order, outcome_of(order, {first.feed_id: outcome_of(order).items[0].result}))  # type: ignore[dict-item]
    cancel(engine, order.allocation_id)
    handed_back = outcome_of(order, {}, handed_back=[second.item_id, third.item_id])
    assert world.ledger.settle(handed_back) is Standing.HELD
    assert row_of(engine, Allocation).state == "cancelled"
    found = states(engine, WorkItem)
    assert [found[one.item_id] for one in order.feeds] == ["done", "cancelled", "cancelled"]
    assert pump(engine, None, LIMITS) == 1, "the delivery of the first feed, and no update work"
    assert allocation_ids(engine) == []


def test_a_result_that_comes_after_the_cancelling_brings_its_articles_and_changes_no_item(
    engine: Engine,
) -> None:
    world = make_world(engine)
    order = begin(world)
    cancel(engine, order.allocation_id)
    assert world.ledger.settle(outcome_of(order)) is Standing.HELD
    assert row_of(engine, Allocation).state == "cancelled"
    assert row_of(engine, WorkItem).state == "cancelled"
    assert len(rows_of(engine, Article)) == 1


def test_settled_work_is_not_cancelled_and_the_answer_says_its_state(engine: Engine) -> None:
    world = make_world(engine)
    order = begin(world)
    world.ledger.settle(outcome_of(order))
    with pytest.raises(Conflict, match="ended already: completed"):
        cancel(engine, order.allocation_id)


def test_of_a_cancel_and_a_settle_at_the_same_moment_exactly_one_wins(engine: Engine) -> None:
    def attempt(allocation_id: str) -> str:
        try:
            return cancel(engine, allocation_id).outcome
        except Conflict as refusal:
            return refusal.code

    world = make_world(engine, 6)
    for allocation_id in allocation_ids(engine):
        order = world.ledger.begin(allocation_id, 1, new_id())
        assert order is not None
        works: list[Callable[[], object]] = [
            lambda order=order: world.ledger.settle(outcome_of(order)),  # type: ignore[misc]
            lambda one=allocation_id: attempt(one),  # type: ignore[misc]
        ]
        _, answer = together(*works)
        state = row_of(engine, Allocation, allocation_id).state
        item = row_of(engine, WorkItem, order.feeds[0].item_id).state
        assert (answer, state, item) in {
            ("cancel_requested", "cancelled", "cancelled"),
            ("allocation_ended", "completed", "done"),
        }


def test_work_that_was_asked_to_stop_is_not_tried_again_when_its_worker_dies(engine: Engine) -> None:
    world = make_world(engine)
    order = begin(world)
    cancel(engine, order.allocation_id)
    expire(engine)
    assert repairs.recover_expired(engine, 6) == 1
    assert row_of(engine, Allocation).state == "cancelled"
    assert counted(engine, WorkItem) == {"cancelled": 1}


def test_a_cancelled_delivery_is_not_sent_and_one_in_flight_is_unconfirmed(engine: Engine) -> None:
    make_deliveries(engine, 2)
    order = begin_deliveries(engine)
    sent, unsent = (one.delivery_id for one in order.deliveries)
    change(engine, Delivery, sent, in_flight=True)
    assert cancel(engine, order.allocation_id).deliveries == 2
    assert states(engine, Delivery) == {sent: "unconfirmed", unsent: "cancelled"}
    expire(engine, order.allocation_id)
    repairs.recover_expired(engine, 6)
    assert row_of(engine, Allocation, order.allocation_id).state == "cancelled"


def fail_everything(engine: Engine, count: int = 2) -> tuple[World, str]:
    world = make_world(engine, count, capacity=count * 10)
    [allocation_id] = allocation_ids(engine)
    settle_all(world, GONE)
    repairs.close_runs(engine)
    assert row_of(engine, Run).state == "completed"
    return world, allocation_id


def test_a_retry_puts_what_failed_back_and_opens_its_run_again(engine: Engine) -> None:
    world, allocation_id = fail_everything(engine)
    done = retry(engine, allocation_id)
    assert (done.outcome, done.status, done.items) == ("tried_again", "completed", 2)
    assert row_of(engine, Run).state == "running"
    assert {(one.state, one.attempts, one.error_code) for one in rows_of(engine, WorkItem)} == {
        ("waiting", 0, "")
    }
    assert all(len(one.errors) == 1 for one in rows_of(engine, WorkItem)), "what was tried stays told"
    pump(engine, None, LIMITS)
    settle_all(world)
    repairs.close_runs(engine)
    assert counted(engine, WorkItem) == {"done": 2}
    assert row_of(engine, Run).state == "completed"


def test_a_retry_needs_an_end_and_something_that_failed(engine: Engine) -> None:
    world = make_world(engine)
    order = begin(world)
    with pytest.raises(Conflict, match="has not ended: executing"):
        retry(engine, order.allocation_id)
    world.ledger.settle(outcome_of(order))
    with pytest.raises(Conflict) as refusal:
        retry(engine, order.allocation_id)
    assert refusal.value.code == "nothing_failed"
    with pytest.raises(NotFound):
        retry(engine, "nobody")


def test_a_second_retry_finds_nothing_that_failed(engine: Engine) -> None:
    _, allocation_id = fail_everything(engine)

    def attempt() -> str:
        try:
            return retry(engine, allocation_id).outcome
        except Conflict as refusal:
            return refusal.code

    assert sorted(together(attempt, attempt)) == ["nothing_failed", "tried_again"]


def test_nothing_is_tried_again_for_a_deleted_task_or_in_a_cancelled_run(engine: Engine) -> None:
    world, allocation_id = fail_everything(engine)
    change(engine, Run, state="cancelled")
    with pytest.raises(Conflict) as refusal:
        retry(engine, allocation_id)
    assert refusal.value.code == "retry_in_cancelled_run"
    transact(engine, lambda session: session.delete(session.get_one(MessageTask, world.task_id)))
    with pytest.raises(Conflict) as refusal:
        retry(engine, allocation_id)
    assert refusal.value.code == "retry_without_task"
    assert counted(engine, WorkItem) == {"failed": 2}


def test_a_run_that_is_closed_while_its_items_are_tried_again_stays_open(engine: Engine) -> None:
    _, allocation_id = fail_everything(engine)
    change(engine, Run, state="running")
    together(
        lambda: retry(engine, allocation_id),
        lambda: repairs.close_run(engine, row_of(engine, Run).id),
    )
    assert row_of(engine, Run).state == "running"


def end_deliveries(order: WorkOrder, engine: Engine) -> None:
    receipts = tuple(Receipt(one.delivery_id, failure=GONE) for one in order.deliveries)
    base = outcome_of(order)
    deliver_ledger(engine).settle(
        type(base)(base.allocation_id, base.attempt, base.execution, base.kind, receipts=receipts)
    )


def test_unconfirmed_messages_are_sent_again_only_when_that_is_asked_for(engine: Engine) -> None:
    make_deliveries(engine, 2)
    order = begin_deliveries(engine)
    end_deliveries(order, engine)
    failed, doubtful = (one.delivery_id for one in order.deliveries)
    change(engine, Delivery, doubtful, state="unconfirmed")
    assert retry(engine, order.allocation_id).deliveries == 1
    assert states(engine, Delivery) == {failed: "waiting", doubtful: "unconfirmed"}
    assert retry(engine, order.allocation_id, unconfirmed=True).deliveries == 1
    assert counted(engine, Delivery) == {"waiting": 2}


def test_messages_of_a_deleted_task_are_not_tried_again(engine: Engine) -> None:
    world = make_deliveries(engine)
    order = begin_deliveries(engine)
    end_deliveries(order, engine)
    transact(engine, lambda session: message_tasks.delete_task(session, world.task_id, actor="ana"))
    with pytest.raises(Conflict) as refusal:
        retry(engine, order.allocation_id)
    assert refusal.value.code == "retry_without_task"
    assert counted(engine, Delivery) == {"failed": 1}


def choose(engine: Engine, action: selections.Action, **filters: object) -> SelectionView:
    wanted, selection_id = AllocationFilter(**filters), new_id()  # type: ignore[arg-type]
    return transact(
        engine, lambda session: selections.choose(session, selection_id, action, wanted, "user ana")
    )


def apply(engine: Engine, selection_id: str, seconds: float = 60.0) -> SelectionView:
    return apply_selection(engine, None, selection_id, "user ana", seconds=seconds)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selections, "PART_SIZE", 2)


@pytest.mark.usefixtures("small_parts")
def test_exactly_what_was_counted_is_changed_and_each_outcome_is_counted(engine: Engine) -> None:
    world = make_world(engine, 7)
    ids = allocation_ids(engine)
    running = world.ledger.begin(ids[0], 1, "x1")
    settled = world.ledger.begin(ids[1], 1, "x2")
    assert running is not None
    assert settled is not None
    chosen = choose(engine, "cancel", task_id=world.task_id)
    assert (chosen.count, chosen.by_status, chosen.done) == (7, {"executing": 2, "pending": 5}, 0)
    assert counted(engine, Allocation) == {"executing": 2, "pending": 5}, "nothing is changed by counting"

    world.ledger.settle(outcome_of(settled))
    later = make_another(engine, ids[2])
    applied = apply(engine, chosen.id)
    assert (applied.done, applied.remaining) == (7, 0)
    assert applied.outcomes == {"cancelled": 5, "cancel_requested": 1, "allocation_ended": 1}
    assert row_of(engine, Allocation, later).state == "pending", "it was not counted"


def make_another(engine: Engine, like: str) -> str:
    """One more pending allocation that the same filter would match."""
    row = row_of(engine, Allocation, like)
    copied = {column.name: getattr(row, column.name) for column in Allocation.__table__.columns}
    copied |= {"id": new_id(), "state": "pending", "execution": None, "lease_until": None}
    transact(engine, lambda session: session.add(Allocation(**copied)))
    return str(copied["id"])


@pytest.mark.usefixtures("small_parts")
def test_a_long_selection_is_changed_over_several_calls_and_by_several_hands(engine: Engine) -> None:
    make_world(engine, 9)
    chosen = choose(engine, "cancel")
    first = apply(engine, chosen.id, seconds=0.0)
    assert (first.done, first.remaining) == (2, 7)
    together(lambda: apply(engine, chosen.id), lambda: apply(engine, chosen.id))
    finished = apply(engine, chosen.id)
    assert (finished.outcomes, finished.remaining) == ({"cancelled": 9}, 0)


def test_a_selection_for_a_retry_counts_only_what_has_something_failed(engine: Engine) -> None:
    world = make_world(engine, 3)
    ids = allocation_ids(engine)
    for one, result in zip(ids, (GONE, None, GONE), strict=True):
        order = world.ledger.begin(one, 1, new_id())
        assert order is not None
        world.ledger.settle(outcome_of(order, result))
    chosen = choose(engine, "retry")
    assert chosen.count == 2
    assert apply(engine, chosen.id).outcomes == {"tried_again": 2}
    assert choose(engine, "retry").count == 0


def test_a_selection_is_forgotten_after_its_hour(engine: Engine) -> None:
    make_world(engine)
    chosen = choose(engine, "cancel")
    change(engine, Selection, expires_at=now(-1))
    with pytest.raises(NotFound):
        apply(engine, chosen.id)
    assert counted(engine, Allocation) == {"pending": 1}
    kept = choose(engine, "cancel")
    assert read(engine, lambda session: session.scalars(select(Selection.id)).all()) == [kept.id]


def test_too_many_matches_are_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selections, "LARGEST_SELECTION", 2)
    make_world(engine, 3)
    with pytest.raises(InvalidInput, match="More than 2 allocations match"):
        choose(engine, "cancel")


def test_publish_work_is_left_to_its_publish_task(engine: Engine) -> None:
    make_world(engine)
    change(engine, Allocation, kind="publish")
    [allocation_id] = allocation_ids(engine, kind="publish")
    for act in (interventions.cancel, interventions.retry):
        with pytest.raises(CascadeError) as refusal:
            transact(engine, lambda session, act=act: act(session, allocation_id, "user ana"))  # type: ignore[misc]
        assert refusal.value.code == "allocation_kind"
    assert choose(engine, "cancel", kind="all").count == 0
