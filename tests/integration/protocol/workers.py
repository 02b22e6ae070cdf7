"""What workers of attached nodes do: begin, report, renew, settle, send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from backend.domain.identifiers import new_id
from backend.domain.orders import (
    Failure,
    FetchResult,
    Freeze,
    FrozenMessage,
    ItemOutcome,
    Outcome,
    Receipt,
    WorkOrder,
)
from backend.domain.ports import Lease, Standing
from tests.building import BROKEN, GONE, drafts
from tests.integration.protocol.promises import Execution, Promises
from tests.integration.protocol.sight import OPEN, Sight
from tests.integration.protocol.stage import NOTHING, Expected, Stage
from tests.integration.protocol.world import DELIVERY_ATTEMPTS, ITEM_ATTEMPTS

LEFT, UNNAMED = "left", "unnamed"
# How a feed ends: with articles of these keys, or not well; `LEFT` is handed back, `UNNAMED` forgotten.
RESULTS: Mapping[str, FetchResult | Failure] = {
    "a": FetchResult(drafts("a")),
    "a+b": FetchResult(drafts("a", "b")),
    "same": FetchResult(not_modified=True),
    "broken": BROKEN,
    "gone": GONE,
}
ENDS = (*RESULTS, LEFT, UNNAMED)
LOST = Failure("answer_lost", "the answer was lost", ambiguous=True)
ANSWERS: Mapping[str, Failure | None] = {"heard": None, "refused": BROKEN, "gone": GONE, "lost": LOST}
LONGEST_LEASES = 20


def begin(stage: Stage, node: str, allocation_id: str, attempt: int, execution: str | None = None) -> None:
    """A job of the node begins; `execution` is one that began before."""
    execution = execution or new_id()
    row = stage.seen.allocations[allocation_id]
    order = stage.world.ledger(node).begin(allocation_id, attempt, execution)
    mine = (row.attempt, row.node_id) == (attempt, stage.world.attached[node]) and not row.cancel_requested
    fresh = mine and row.state in ("pending", "claimed")
    again = (row.attempt, row.state, row.execution) == (attempt, "executing", execution)
    assert (order is not None) == (fresh or again), f"{execution} was given {order} of {row}"
    if order is None:
        stage.see(NOTHING)
    else:
        _began(stage, node, order)


def begin_next(stage: Stage, node: str, queue: str, max_size: int) -> None:
    """A worker with free slots takes the next of its queue."""
    waiting = [
        row
        for row in stage.seen.allocations.values()
        if (row.queue, row.state) == (queue, "pending") and row.item_count <= max_size
    ]
    order = stage.world.ledger(node).begin_next(queue, new_id(), max_size)
    mine = bool(waiting) and waiting[0].node_id == stage.world.attached[node]
    assert (order.allocation_id if order else None) == (waiting[0].id if mine else None), f"given {order}"
    if order is None:
        stage.see(NOTHING)
    else:
        _began(stage, node, order)


def _began(stage: Stage, node: str, order: WorkOrder) -> None:
    before = stage.seen
    stage.promises.began(node, order)
    ordered, deadly = {one.item_id for one in order.feeds}, before.deadly_of(order.allocation_id)
    items = {row.id for row in before.items_of(order.allocation_id)}
    assert ordered == items - deadly, f"other items: {order}"
    after = stage.see(
        Expected(
            {one: ("failed", before.items[one].attempts) for one in deadly},
            {order.allocation_id: "executing"},
            _doubted(before, order),
        )
    )
    fresh = before.allocations[order.allocation_id].state != "executing"
    assert not fresh or after.allocations[order.allocation_id].lease_until > after.at, "begun without a lease"
    sent = {one.delivery_id for one in order.deliveries}
    assert sent == {row.id for row in after.deliveries_of(order.allocation_id)}, f"other deliveries: {order}"


def _doubted(before: Sight, order: WorkOrder) -> dict[str, str]:
    """What an earlier worker was sending when it died, to somebody who can't tell a repeat; what nobody wants."""
    rows = list(before.deliveries_of(order.allocation_id))
    doubted = [row for row in rows if row.in_flight and row.receiver_kind != "webhook"]
    unwanted = [row for row in rows if row.task_id not in before.tasks]
    return {row.id: "cancelled" for row in unwanted} | {row.id: "unconfirmed" for row in doubted}


def collect(execution: Execution, ends: Sequence[str], *, part: bool) -> None:
    """Its feeds end as the names say, in turn; with `part` the last one goes on. What has ended stays so."""
    feeds = [one for one in execution.order.feeds if one.item_id not in execution.ends]
    for feed, name in zip(feeds[: -1 if part else None], ends, strict=False):
        found = RESULTS.get(name)
        if isinstance(found, Failure):
            execution.ends[feed.item_id] = ItemOutcome(feed.item_id, feed.feed_id, failure=found)
        elif found is not None:
            result = replace(found, asked_url=feed.url)
            execution.ends[feed.item_id] = ItemOutcome(feed.item_id, feed.feed_id, result=result)


def outcome_so_far(execution: Execution, handed_back: Sequence[str] = ()) -> Outcome:
    """What the execution can tell by now."""
    order = execution.order
    return Outcome(
        order.allocation_id,
        order.attempt,
        order.execution,
        order.kind,
        tuple(execution.ends.values()),
        tuple(execution.receipts.values()),
        tuple(handed_back),
    )


def final_outcome(execution: Execution, ends: Sequence[str]) -> Outcome:
    """What its settle tells: the same each time."""
    if execution.outcome is None:
        collect(execution, ends, part=False)
        left = [
            feed.item_id
            for feed, name in zip(execution.order.feeds, ends, strict=False)
            if name == LEFT and feed.item_id not in execution.ends
        ]
        left += [
            one.delivery_id for one in execution.order.deliveries if one.delivery_id not in execution.receipts
        ]
        execution.outcome = outcome_so_far(execution, left)
    return execution.outcome


def checkpoint(stage: Stage, execution: Execution, ends: Sequence[str]) -> None:
    """Some of its work has ended and is told before the rest."""
    collect(execution, ends, part=True)
    outcome = outcome_so_far(execution)
    expected = effects(stage.seen, stage.promises, outcome, final=False)
    row = stage.seen.allocations[outcome.allocation_id]
    standing = stage.world.ledger(execution.node).checkpoint(execution.order, outcome)
    if not is_held(stage.seen, outcome):
        assert standing is Standing.SUPERSEDED, f"{standing}, but it was {row}"
    else:
        assert standing is (Standing.CANCELLED if row.cancel_requested else Standing.HELD), (
            f"{standing}: {row}"
        )
    _note(stage, outcome, expected)
    stage.see(expected)


def settle(stage: Stage, execution: Execution, ends: Sequence[str]) -> None:
    """It tells its outcome: for the first time, again because the answer was lost, or late."""
    outcome = final_outcome(execution, ends)
    _settle(stage, execution.node, outcome)


def settle_as_stranger(stage: Stage, execution: Execution) -> None:
    """Somebody who never began the work, or a broken entry of an outbox, tells of it: that changes nothing."""
    told = outcome_so_far(execution)
    _settle(stage, execution.node, replace(told, execution=new_id()))


def _settle(stage: Stage, node: str, outcome: Outcome) -> None:
    expected = effects(stage.seen, stage.promises, outcome, final=True)
    held = is_held(stage.seen, outcome)
    standing = stage.world.ledger(node).settle(outcome)
    wanted = held or outcome.execution in stage.promises.settled
    row = stage.seen.allocations[outcome.allocation_id]
    assert (standing is Standing.HELD) == wanted, f"{outcome.execution} was told {standing}, it was {row}"
    if held:
        stage.promises.settled.add(outcome.execution)
    _note(stage, outcome, expected)
    after = stage.see(expected)
    if held:
        assert after.allocations[outcome.allocation_id].settled_by == outcome.execution


def _note(stage: Stage, outcome: Outcome, expected: Expected) -> None:
    stage.promises.told(outcome, stage.seen.tasks)
    stage.promises.done |= {one for one, (state, _) in expected.items.items() if state == "done"}
    refused = {one.delivery_id for one in outcome.receipts if one.failure and not one.failure.ambiguous}
    # A refusal that counted leaves no doubt: the message did not arrive.
    stage.promises.doubtful -= refused & expected.deliveries.keys()


def is_held(sight: Sight, outcome: Outcome) -> bool:
    """Whether the outcome's execution holds its allocation."""
    row = sight.allocations[outcome.allocation_id]
    return bool((row.state, row.attempt, row.execution) == ("executing", outcome.attempt, outcome.execution))


def effects(sight: Sight, promises: Promises, outcome: Outcome, *, final: bool) -> Expected:
    """What telling the outcome must change, by the rules of design.md."""
    held = is_held(sight, outcome)
    row = sight.allocations[outcome.allocation_id]
    ends = final and held
    target = "cancelled" if outcome.handed_back or row.cancel_requested else "completed"
    return Expected(
        _items_after(sight, promises, outcome, ends=ends),
        {row.id: target} if ends else {},
        _deliveries_after(sight, outcome, held=held, ends=ends),
    )


def _items_after(
    sight: Sight, promises: Promises, outcome: Outcome, *, ends: bool
) -> dict[str, tuple[str, int]]:
    expected: dict[str, tuple[str, int]] = {}
    for one in outcome.items:
        row = sight.items[one.item_id]
        if promises.last.get(row.id) != outcome.execution or row.state not in OPEN:
            continue
        if one.result is not None:
            expected[row.id] = ("done", row.attempts + 1)
        elif one.failure and (row.state, row.allocation_id) == ("assigned", outcome.allocation_id):
            expected[row.id] = failed_item(row.attempts, one.failure)
    if ends:
        for row in sight.items_of(outcome.allocation_id):
            if row.id in outcome.handed_back:
                expected[row.id] = ("waiting", row.attempts)
            elif row.id not in expected:
                expected[row.id] = failed_item(row.attempts, BROKEN)
    return expected


def failed_item(attempts: int, failure: Failure) -> tuple[str, int]:
    """What becomes of an item whose attempt failed."""
    spent = failure.permanent or attempts + 1 >= ITEM_ATTEMPTS
    return ("failed" if spent else "waiting", attempts + 1)


def _deliveries_after(sight: Sight, outcome: Outcome, *, held: bool, ends: bool) -> dict[str, str]:
    expected: dict[str, str] = {}
    for receipt in outcome.receipts:
        row = sight.deliveries[receipt.delivery_id]
        if receipt.failure is None:
            if row.state in ("assigned", "waiting", "unconfirmed", "failed"):
                expected[row.id] = "delivered"
        elif held and (row.state, row.allocation_id) == ("assigned", outcome.allocation_id):
            attempts = row.attempts if row.in_flight else row.attempts + 1
            doubtful = receipt.failure.ambiguous and row.in_flight and row.receiver_kind != "webhook"
            spent = receipt.failure.permanent or attempts >= DELIVERY_ATTEMPTS
            expected[row.id] = "unconfirmed" if doubtful else "failed" if spent else "waiting"
    if ends:
        rest = sight.deliveries_of(outcome.allocation_id)
        expected |= {row.id: "waiting" for row in rest if row.id not in expected}
    return expected


def send(stage: Stage, execution: Execution, answers: Sequence[str]) -> None:
    """It sends what it has not sent yet, one message after the other, as far as the ledger lets it."""
    if execution.outcome is not None:
        return
    ledger, order = stage.world.ledger(execution.node), execution.order
    unsent = [one for one in order.deliveries if one.delivery_id not in execution.receipts]
    for delivery, name in zip(unsent, answers, strict=False):
        message = delivery.frozen or FrozenMessage("title", f"body of {delivery.delivery_id}")
        known = frozenset(stage.promises.heard)
        standing = ledger.checkpoint(order, Freeze({delivery.delivery_id: message}))
        row = stage.seen.deliveries[delivery.delivery_id]
        allocation = stage.seen.allocations[order.allocation_id]
        mine = is_held(stage.seen, outcome_so_far(execution)) and not allocation.cancel_requested
        ready = mine and (row.state, row.allocation_id) == ("assigned", order.allocation_id)
        assert (standing is Standing.HELD) == ready, f"{standing}: {row} of {allocation}"
        if standing is Standing.HELD:
            stage.promises.sending(row.id, row.receiver_kind, known)
            execution.receipts[row.id] = Receipt(row.id, 200, failure=ANSWERS[name])
    stage.see(NOTHING)


def renew(stage: Stage, executions: Sequence[Execution]) -> None:
    """Their processes renew: what they hold gets a lease, nothing else does."""
    told = [outcome_so_far(one) for one in executions[-LONGEST_LEASES:]]
    leases = [Lease(one.allocation_id, one.attempt, one.execution) for one in told]
    standings = stage.world.ledger("n1").renew(leases)
    before = stage.seen
    for one in told:
        held = is_held(before, one)
        assert (standings[one.execution] is not Standing.SUPERSEDED) == held, (
            f"{standings[one.execution]}: {one}"
        )
    after = stage.see(NOTHING)
    renewed = {one.allocation_id for one in told if is_held(before, one)}
    for one_id, row in after.allocations.items():
        if one_id in renewed:
            assert row.lease_until > after.at, f"renewed, but expired: {row}"
        else:
            assert row.lease_until == before.allocations[one_id].lease_until, f"renewed by others: {row}"
