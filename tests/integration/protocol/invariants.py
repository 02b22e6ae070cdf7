"""What holds at every moment, whoever did what, and what may lie between two moments."""

from __future__ import annotations

from collections import Counter

from backend.domain.states import LIFE_CYCLES
from tests.integration.protocol import articles
from tests.integration.protocol.sight import HELD, OPEN, UNSETTLED, Sight
from tests.integration.protocol.world import DELIVER_ATTEMPTS, ITEM_ATTEMPTS

# What nothing leaves, and what only a person's retry (or an acknowledgement that comes late) leaves.
FINAL_ITEMS = ("done", "cancelled")
FINAL_DELIVERIES = ("delivered", "cancelled")


def check(sight: Sight) -> None:
    """Every invariant of one moment. Raises `AssertionError`."""
    _allocations(sight)
    _items(sight)
    _deliveries(sight)
    _runs(sight)
    articles.check(sight)
    _history(sight)
    twice = {key: count for key, count in sight.articles.items() if count > 1}
    assert not twice, f"articles stored more than once: {twice}"


def _allocations(sight: Sight) -> None:
    for row in sight.allocations.values():
        leased = row.lease_until is not None
        assert leased == (row.state in HELD), f"{row.state} with the lease {row.lease_until}: {row}"
        assert row.state != "executing" or row.execution, f"executing, but nobody does: {row}"
        limit = {"update": 1, "publish": articles.POLICY.executions}.get(row.kind, DELIVER_ATTEMPTS)
        assert 1 <= row.attempt <= limit, f"attempt {row.attempt} of {limit}: {row}"
        assert not row.settled_by or row.state in ("completed", "failed", "cancelled"), (
            f"settled, but open: {row}"
        )
        assert not (row.cancel_requested and row.state == "completed"), f"cancelled, and completed: {row}"


def _items(sight: Sight) -> None:
    for row in sight.items.values():
        if row.state == "waiting":
            assert (row.allocation_id, row.node_id) == (None, None), f"waits, but somebody has it: {row}"
        if row.state == "assigned":
            holder = sight.allocations.get(row.allocation_id)
            assert holder, f"assigned to nothing: {row}"
            assert holder.state in UNSETTLED, f"lost: its allocation has ended: {row} {holder}"
            assert (holder.node_id, holder.run_id) == (row.node_id, row.run_id), f"{row} is not of {holder}"
            assert row.state != "assigned" or not holder.cancel_requested, f"cancelled, but assigned: {row}"
        assert row.attempts <= ITEM_ATTEMPTS, f"tried too often: {row}"
    counted = Counter(row.node_id for row in sight.items.values() if row.state == "assigned")
    assert sight.in_flight == counted, f"in flight: {sight.in_flight}, but {counted}"


def _deliveries(sight: Sight) -> None:
    for row in sight.deliveries.values():
        if row.state == "waiting":
            assert row.allocation_id is None, f"waits, but somebody has it: {row}"
        if row.state == "assigned":
            holder = sight.allocations.get(row.allocation_id)
            assert holder, f"assigned to nothing: {row}"
            assert holder.state in UNSETTLED, f"lost: its allocation has ended: {row} {holder}"


def _runs(sight: Sight) -> None:
    opened = {row.run_id for row in sight.items.values() if row.state in OPEN}
    for row in sight.runs.values():
        if row.state in ("completed", "cancelled", "queued"):
            assert row.id not in opened, f"{row.state} with open items: {row}"
    seen = Counter((row.run_id, row.feed_id) for row in sight.items.values())
    assert all(count == 1 for count in seen.values()), "a feed twice in a run"


def _history(sight: Sight) -> None:
    now_in: dict[tuple[str, str], str] = {}
    for row in sight.history:
        if row.noun not in LIFE_CYCLES:
            continue
        subject, cycle = (row.noun, row.subject_id), LIFE_CYCLES[row.noun]
        if not row.from_state:
            assert subject not in now_in, f"made twice: {row}"
            assert row.to_state in cycle.starts, f"started in {row.to_state}: {row}"
        else:
            assert row.from_state == now_in.get(subject), f"{now_in.get(subject)} became {row}"
            assert cycle.allows(row.from_state, row.to_state), f"illegal move: {row}"
        now_in[subject] = row.to_state
    for noun, rows in (
        ("allocation", sight.allocations),
        ("run", sight.runs),
        ("publish_task", sight.publishes),
    ):
        stands = {(noun, one): row.state for one, row in rows.items()}
        told = {subject: state for subject, state in now_in.items() if subject[0] == noun}
        assert stands == told, f"the history tells {told}, but they are {stands}"


def check_between(before: Sight, after: Sight, *, retried: bool) -> None:
    """What may have happened meanwhile: nothing final changes; what failed waits again only where a person `retried`."""
    for one, row in before.items.items():
        now = after.items[one]
        if row.state in FINAL_ITEMS or (row.state == "failed" and not retried):
            assert now.state == row.state, f"{row.state} became {now.state}: {now}"
    for one, row in before.deliveries.items():
        now = after.deliveries[one]
        if row.state in FINAL_DELIVERIES:
            assert now.state == row.state, f"{row.state} became {now.state}: {now}"
        elif row.state in ("failed", "unconfirmed") and not retried:
            assert now.state in (row.state, "delivered"), f"{row.state} became {now.state}: {now}"
        assert row.body is None or now.body == row.body, f"its body changed: {now}"
    for one, row in before.allocations.items():
        now = after.allocations[one]
        if row.state not in UNSETTLED:
            assert now.state == row.state, f"{row.state} became {now.state}: {now}"
        assert now.attempt >= row.attempt, f"an earlier attempt again: {now}"
    assert before.articles.keys() <= after.articles.keys(), "an article is gone"
    assert before.pairs.keys() <= after.pairs.keys(), "a delivery has lost an article"


def check_room(before: Sight, after: Sight) -> None:
    """No node was given more than it has room for."""
    for node_id, count in after.in_flight.items():
        room = max(after.capacities.get(node_id, 0), before.in_flight.get(node_id, 0))
        assert count <= room, f"node {node_id} has {count} items, and room for {room}"


def check_ended(sight: Sight, *, any_publisher: bool) -> None:
    """At the end nothing is left open; what is to be published needs a node that can."""
    left = [
        row
        for rows, states in (
            (sight.items, OPEN),
            (sight.deliveries, OPEN),
            (sight.allocations, UNSETTLED),
            (sight.runs, ("queued", "expanding", "running")),
        )
        for row in rows.values()
        if row.state in states
    ]
    assert not left, f"never ended: {left}"
    waiting = [
        row for row in sight.publishes.values() if row.state in ("pending", "queued", "running", "held")
    ]
    assert not waiting or not any_publisher, f"never ended: {waiting}"
