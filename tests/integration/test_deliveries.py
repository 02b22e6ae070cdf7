"""Deliveries: frozen once, counted, acknowledged whenever the answer comes, repeated only where that is harmless."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from backend.dispatch.pump import pump
from backend.dispatch.repairs import recover_expired, release_due
from backend.domain.identifiers import new_id
from backend.domain.orders import Failure, FetchResult, Freeze, FrozenMessage, Outcome, Receipt, WorkOrder
from backend.domain.ports import Standing
from backend.domain.retry import RetryPolicy
from backend.store.columns import now
from backend.store.deliveries import DeliveryPolicy
from backend.store.recovery import ATTEMPTS as RECOVERY_ATTEMPTS
from backend.store.session import read
from backend.store.tables import Allocation, Article, Delivery, MessageTask
from tests import building
from tests.building import LIMITS, ROBOT, deliver_ledger, drafts, outcome_of, row_of, rows_of

BUSY = Failure("http_status", "the server answered 503")
REFUSED = Failure("http_status", "the server answered 404", permanent=True)
UNANSWERED = Failure("timed_out", "no answer", ambiguous=True)
ATTEMPTS = building.DELIVERIES.retry.attempts


def freeze(engine: Engine, order: WorkOrder, body: str = "body") -> Standing:
    """Fix the bodies of the order's deliveries, as right before sending."""
    messages = {one.delivery_id: one.frozen or FrozenMessage("title", body) for one in order.deliveries}
    return deliver_ledger(engine).checkpoint(order, Freeze(messages))


def receipts_of(order: WorkOrder, failure: Failure | None = None, status: int = 200) -> Outcome:
    receipts = tuple(Receipt(one.delivery_id, status, "said", failure=failure) for one in order.deliveries)
    return Outcome(order.allocation_id, order.attempt, order.execution, "deliver", receipts=receipts)


def send(engine: Engine, execution: str, failure: Failure | None = None, status: int = 200) -> WorkOrder:
    """One attempt at everything that waits, from the plan to the settle."""
    order = building.begin_deliveries(engine, execution)
    assert freeze(engine, order) is Standing.HELD
    assert deliver_ledger(engine).settle(receipts_of(order, failure, status)) is Standing.HELD
    return order


def let_go_on(engine: Engine) -> None:
    """The wait of what failed is over."""
    building.change(engine, Delivery, not_before=now(-1))
    assert release_due(engine) > 0


def test_an_order_holds_all_that_rendering_and_sending_need(engine: Engine) -> None:
    world = building.make_world(engine)
    world.ledger.settle(outcome_of(building.begin(world), FetchResult(drafts("a", "b"))))
    order = building.begin_deliveries(engine)
    (delivery,) = order.deliveries
    assert (delivery.task_id, delivery.feed_id) == (world.task_id, world.feed_ids[0])
    assert delivery.web_hook_url == building.WEB_HOOK
    assert delivery.idempotency_key == delivery.delivery_id == row_of(engine, Delivery).id
    assert {article.title for article in delivery.articles} == {"title of a", "title of b"}
    assert delivery.frozen is None


def test_a_body_is_frozen_once_whatever_changes_later(engine: Engine) -> None:
    building.make_deliveries(engine)
    first = send(engine, "d1", BUSY, 503)
    building.change(engine, MessageTask, message_template="something else")
    building.change(engine, Article, title="another title")
    let_go_on(engine)
    second = building.begin_deliveries(engine, "d2")
    assert second.deliveries[0].frozen == FrozenMessage("title", "body")
    assert second.deliveries[0].idempotency_key == first.deliveries[0].idempotency_key
    again = Freeze({second.deliveries[0].delivery_id: FrozenMessage("new", "new body")})
    assert deliver_ledger(engine).checkpoint(second, again) is Standing.HELD
    row = row_of(engine, Delivery)
    assert (row.title, row.body) == ("title", "body")


def test_articles_that_come_later_go_into_another_delivery(engine: Engine) -> None:
    world = building.make_world(engine)
    world.ledger.settle(outcome_of(building.begin(world), FetchResult(drafts("a"))))
    order = building.begin_deliveries(engine)
    building.start_run(engine, world.task_id)
    pump(engine, None, LIMITS)
    world.ledger.settle(outcome_of(building.begin(world, "x2"), FetchResult(drafts("a", "b"))))
    later = building.begin_deliveries(engine, "d2")
    titles = [[article.title for article in one.deliveries[0].articles] for one in (order, later)]
    assert titles == [["title of a"], ["title of b"]]


def test_every_attempt_is_counted_and_retried_with_backoff_until_they_are_spent(engine: Engine) -> None:
    building.make_deliveries(engine)
    for attempt in range(1, ATTEMPTS + 1):
        send(engine, f"d{attempt}", BUSY, 503)
        row = row_of(engine, Delivery)
        assert (row.attempts, row.status_code, row.excerpt, row.error_code) == (
            attempt,
            503,
            "said",
            BUSY.code,
        )
        assert not row.in_flight
        if attempt < ATTEMPTS:
            assert (row.state, row.allocation_id) == ("waiting", None)
            assert row.not_before > row.attempted_at + timedelta(seconds=2)
            assert pump(engine, None, LIMITS) == 0
            let_go_on(engine)
    assert (row.state, row.error_message) == ("failed", BUSY.message)
    told = [(entry["attempt"], entry["code"], entry["message"]) for entry in row.errors]
    assert told == [(attempt, BUSY.code, BUSY.message) for attempt in range(1, ATTEMPTS + 1)]
    assert pump(engine, None, LIMITS) == 0


def test_a_refusal_is_final_at_the_first_attempt(engine: Engine) -> None:
    building.make_deliveries(engine)
    send(engine, "d1", REFUSED, 404)
    row = row_of(engine, Delivery)
    assert (row.state, row.attempts, row.status_code, row.error_message) == (
        "failed",
        1,
        404,
        REFUSED.message,
    )


def test_an_acknowledgement_after_a_failure_clears_the_error(engine: Engine) -> None:
    building.make_deliveries(engine)
    send(engine, "d1", BUSY, 503)
    let_go_on(engine)
    send(engine, "d2")
    row = row_of(engine, Delivery)
    assert (row.state, row.attempts, row.status_code, row.error_code) == ("delivered", 2, 200, "")
    assert row.ended_at is not None


def test_nothing_may_be_sent_by_an_execution_that_lost_its_lease(engine: Engine) -> None:
    building.make_deliveries(engine)
    order = building.begin_deliveries(engine)
    building.expire(engine)
    assert recover_expired(engine, ATTEMPTS) == 1
    assert freeze(engine, order) is Standing.SUPERSEDED
    row = row_of(engine, Delivery)
    assert (row.body, row.attempts, row.in_flight) == (None, 0, False)


def test_nothing_may_be_sent_once_the_work_was_cancelled(engine: Engine) -> None:
    building.make_deliveries(engine)
    order = building.begin_deliveries(engine)
    building.change(engine, Allocation, order.allocation_id, cancel_requested=True)
    assert freeze(engine, order) is Standing.CANCELLED
    assert row_of(engine, Delivery).attempts == 0


def test_an_acknowledgement_counts_even_from_a_superseded_execution(engine: Engine) -> None:
    building.make_deliveries(engine)
    order = building.begin_deliveries(engine)
    freeze(engine, order)
    building.expire(engine)
    recover_expired(engine, ATTEMPTS)
    again = deliver_ledger(engine).begin(order.allocation_id, 2, "d2")
    assert again is not None
    assert deliver_ledger(engine).settle(receipts_of(order)) is Standing.SUPERSEDED
    assert row_of(engine, Delivery).state == "delivered"
    # What the second execution wants to send was acknowledged, so it may not.
    assert freeze(engine, again) is Standing.SUPERSEDED
    assert row_of(engine, Delivery).attempts == 1
    assert deliver_ledger(engine).settle(receipts_of(again, BUSY, 503)) is Standing.HELD
    row = row_of(engine, Delivery)
    assert (row.state, row.status_code) == ("delivered", 200)


def test_an_acknowledgement_counts_even_after_the_delivery_was_given_up(engine: Engine) -> None:
    building.make_deliveries(engine)
    order = building.begin_deliveries(engine)
    freeze(engine, order)
    building.change(engine, Delivery, attempts=ATTEMPTS)
    building.change(engine, Allocation, order.allocation_id, attempt=3)
    building.expire(engine)
    recover_expired(engine, ATTEMPTS)
    assert row_of(engine, Delivery).state == "failed"
    assert deliver_ledger(engine).settle(receipts_of(order)) is Standing.SUPERSEDED
    assert row_of(engine, Delivery).state == "delivered"


def test_a_failure_from_a_superseded_execution_changes_nothing(engine: Engine) -> None:
    building.make_deliveries(engine)
    order = building.begin_deliveries(engine)
    freeze(engine, order)
    building.expire(engine)
    recover_expired(engine, ATTEMPTS)
    deliver_ledger(engine).begin(order.allocation_id, 2, "d2")
    assert deliver_ledger(engine).settle(receipts_of(order, REFUSED, 404)) is Standing.SUPERSEDED
    row = row_of(engine, Delivery)
    assert (row.state, row.error_code) == ("assigned", "")


def die(engine: Engine) -> None:
    """Whoever begins what waits dies of it before anything is sent, as often as the allocation is tried."""
    pump(engine, None, building.LIMITS)
    for attempt in range(1, RECOVERY_ATTEMPTS + 1):
        for allocation_id, state in building.states(engine, Allocation).items():
            if state == "pending" and row_of(engine, Allocation, allocation_id).kind == "deliver":
                deliver_ledger(engine).begin(allocation_id, attempt, new_id())
        building.expire(engine)
        recover_expired(engine, ATTEMPTS)


def test_messages_that_kill_their_worker_before_they_are_sent_are_not_tried_for_ever(engine: Engine) -> None:
    building.make_deliveries(engine, 2)
    die(engine)
    pump(engine, None, building.LIMITS)
    alone = [one for one in building.rows_of(engine, Allocation) if one.state == "pending"]
    assert [(one.kind, one.item_count, one.alone) for one in alone] == [("deliver", 1, True)] * 2
    for _ in range(ATTEMPTS):
        die(engine)
    assert building.counted(engine, Delivery) == {"failed": 2}
    assert {(one.error_code, one.attempts) for one in building.rows_of(engine, Delivery)} == {
        ("worker_died", ATTEMPTS)
    }


def test_receipts_are_recorded_as_they_come_and_the_rest_is_handed_back(engine: Engine) -> None:
    building.make_deliveries(engine, 3)
    order = building.begin_deliveries(engine)
    freeze(engine, order)
    first, *rest = order.deliveries
    ledger = deliver_ledger(engine)
    partly = receipts_of(replace(order, deliveries=(first,)))
    assert ledger.checkpoint(order, partly) is Standing.HELD
    assert row_of(engine, Delivery, first.delivery_id).state == "delivered"
    undone = tuple(one.delivery_id for one in rest)
    assert ledger.settle(replace(partly, handed_back=undone)) is Standing.HELD
    assert building.counted(engine, Delivery) == {"delivered": 1, "waiting": 2}
    allocation = row_of(engine, Allocation, order.allocation_id)
    assert (allocation.state, allocation.reason) == ("cancelled", "handed back: 2 of 3")
    assert not any(row.in_flight for row in rows_of(engine, Delivery))


def test_a_receiver_that_asks_for_a_pause_gets_it_for_all_that_waits_for_it(engine: Engine) -> None:
    world = building.make_deliveries(engine, 2)
    other = building.make_task(engine, world.feed_ids, url="https://elsewhere.example.com/")
    order = building.begin_deliveries(engine)
    building.start_run(engine, world.task_id)
    pump(engine, None, LIMITS)
    for number, one in enumerate(building.allocation_ids(engine)):
        again = world.ledger.begin(one, 1, f"y{number}")
        assert again is not None
        world.ledger.settle(outcome_of(again, FetchResult(drafts("later"))))
    first, second = order.deliveries
    freeze(engine, order)
    slow_down = replace(BUSY, retry_after=600.0)
    ledger = deliver_ledger(engine)
    one_refused = receipts_of(replace(order, deliveries=(first,)), slow_down, 429)
    assert ledger.settle(replace(one_refused, handed_back=(second.delivery_id,))) is Standing.HELD
    current = read(engine, lambda session: session.scalar(select(now())))
    assert current is not None
    pump(engine, None, LIMITS)
    for row in rows_of(engine, Delivery):
        if row.task_id == other:
            assert row.state == "assigned"
        elif row.id != second.delivery_id:
            assert row.state == "waiting"
            assert row.not_before > current + timedelta(seconds=590)
            assert row.reason


@pytest.mark.parametrize(("url", "state"), [(building.WEB_HOOK, "waiting"), (ROBOT, "unconfirmed")])
def test_a_message_without_an_answer_is_repeated_only_where_a_repeat_is_recognised(
    engine: Engine, url: str, state: str
) -> None:
    building.make_deliveries(engine, url=url)
    send(engine, "d1", UNANSWERED, 0)
    row = row_of(engine, Delivery)
    assert (row.state, row.attempts, row.error_code, row.in_flight) == (state, 1, "timed_out", False)


def test_what_a_dead_worker_was_sending_is_unconfirmed_for_a_robot(engine: Engine) -> None:
    building.make_deliveries(engine, url=ROBOT)
    order = building.begin_deliveries(engine)
    freeze(engine, order)
    building.expire(engine)
    recover_expired(engine, ATTEMPTS)
    again = deliver_ledger(engine).begin(order.allocation_id, 2, "d2")
    assert again is not None
    assert again.deliveries == ()
    row = row_of(engine, Delivery)
    assert (row.state, row.error_code, row.attempts, row.in_flight) == (
        "unconfirmed",
        "answer_lost",
        1,
        False,
    )
    # The answer was on its way after all: it counts.
    assert deliver_ledger(engine).settle(receipts_of(order)) is Standing.SUPERSEDED
    assert row_of(engine, Delivery).state == "delivered"


def test_a_robots_message_that_was_not_being_sent_goes_to_the_next_worker(engine: Engine) -> None:
    building.make_deliveries(engine, url=ROBOT)
    order = building.begin_deliveries(engine)
    building.expire(engine)
    recover_expired(engine, ATTEMPTS)
    again = deliver_ledger(engine).begin(order.allocation_id, 2, "d2")
    assert again is not None
    assert [one.delivery_id for one in again.deliveries] == [one.delivery_id for one in order.deliveries]


def test_what_a_dead_worker_was_sending_to_a_web_hook_is_repeated_under_the_same_id(engine: Engine) -> None:
    building.make_deliveries(engine)
    order = building.begin_deliveries(engine)
    freeze(engine, order)
    building.expire(engine)
    recover_expired(engine, ATTEMPTS)
    again = deliver_ledger(engine).begin(order.allocation_id, 2, "d2")
    assert again is not None
    assert again.deliveries[0].idempotency_key == order.deliveries[0].idempotency_key
    assert again.deliveries[0].frozen == FrozenMessage("title", "body")
    freeze(engine, again)
    assert row_of(engine, Delivery).attempts == 2


def test_robots_are_repeated_too_where_a_person_wants_it(engine: Engine) -> None:
    building.make_deliveries(engine, url=ROBOT)
    order = building.begin_deliveries(engine)
    freeze(engine, order)
    building.expire(engine)
    recover_expired(engine, ATTEMPTS)
    policy = DeliveryPolicy(RetryPolicy(6, 5.0), repeat_unconfirmed=True)
    ledger = deliver_ledger(engine)
    ledger = replace(ledger, terms=replace(ledger.terms, deliveries=policy))
    again = ledger.begin(order.allocation_id, 2, "d2")
    assert again is not None
    assert [one.delivery_id for one in again.deliveries] == [one.delivery_id for one in order.deliveries]
    (entry,) = row_of(engine, Delivery).errors
    assert (entry["attempt"], entry["code"], "its worker died" in entry["message"]) == (
        1,
        "answer_lost",
        True,
    )


@pytest.mark.parametrize(("url", "state"), [(building.WEB_HOOK, "failed"), (ROBOT, "unconfirmed")])
def test_when_workers_keep_dying_over_a_message_it_ends_when_its_attempts_are_spent(
    engine: Engine, url: str, state: str
) -> None:
    building.make_deliveries(engine, url=url)
    order = building.begin_deliveries(engine)
    freeze(engine, order)
    building.change(engine, Delivery, attempts=ATTEMPTS)
    building.change(engine, Allocation, order.allocation_id, attempt=3)
    building.expire(engine)
    recover_expired(engine, ATTEMPTS)
    row = row_of(engine, Delivery)
    assert (row.state, row.error_code) == (state, "worker_died" if state == "failed" else "answer_lost")
    assert row_of(engine, Allocation, order.allocation_id).state == "failed"


def test_a_warning_about_the_body_stays_with_the_delivery(engine: Engine) -> None:
    building.make_deliveries(engine)
    order = building.begin_deliveries(engine)
    (one,) = order.deliveries
    message = FrozenMessage("t", "not json", "the body is not JSON")
    deliver_ledger(engine).checkpoint(order, Freeze({one.delivery_id: message}))
    deliver_ledger(engine).settle(receipts_of(order))
    assert row_of(engine, Delivery).warning == "the body is not JSON"
