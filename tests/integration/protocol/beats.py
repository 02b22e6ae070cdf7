"""What beats and sweepers do, whole passes and their single steps; and the end, when nothing breaks any more."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from backend.dispatch.pump import pump
from backend.dispatch.sweeping import Sweeper
from backend.store import deaths, recovery, runs
from backend.store.columns import now
from backend.store.deaths import Orphan
from backend.store.recovery import Expired
from backend.store.session import read, transact
from backend.store.tables import Node
from tests.building import LIMITS
from tests.integration.protocol import articles, children, invariants, publishing, workers
from tests.integration.protocol.sight import HELD, Sight
from tests.integration.protocol.stage import Stage
from tests.integration.protocol.world import DELIVER_ATTEMPTS, DELIVERY_ATTEMPTS, LEASE_SECONDS

DEATHS = 3
ROUNDS = 40
LONG_SECONDS = 4000.0
GOOD = ("a",) * 10


def stamp(stage: Stage, instance: str = "beat") -> None:
    """A beat says that renewals can arrive."""
    transact(stage.engine, lambda session: recovery.stamp_pulse(session, instance, LEASE_SECONDS))
    stage.came_back()


def look(stage: Stage) -> None:
    """A sweeper reads what it may recover, and does nothing yet. While the system is away it finds nothing."""
    stage.keep_alive()
    before = stage.seen
    found = read(stage.engine, recovery.expired_leases)
    allowed = not stage.away and stage.clock() >= stage.quiet_until
    assert allowed or not found, f"to be recovered while renewals could not arrive: {found}"
    ids = {one.allocation_id for one in found}
    missed = [row for one, row in before.allocations.items() if one not in ids and _must_recover(stage, row)]
    assert not missed, f"not found by the sweeper: {missed}"
    stage.looks += found


def act(stage: Stage, expired: Expired) -> None:
    """A sweeper recovers what it has read, maybe long ago: others were faster, or its worker came back."""
    stage.keep_alive()
    before = stage.seen
    row = before.allocations[expired.allocation_id]
    if isinstance(expired, Orphan):
        must = (row.state, row.execution) == ("executing", expired.execution)
    else:
        must = _must_recover(stage, row) and row.attempt == expired.attempt
    recovered = transact(stage.engine, lambda session: recovery.recover(session, expired, DELIVERY_ATTEMPTS))
    after = stage.see()
    moved = after.allocations[row.id].state != row.state
    assert recovered == moved, f"said {recovered}, and it was {row}"
    assert recovered or not must, f"not recovered: {row}"
    assert not recovered or row.attempt == expired.attempt, f"another attempt was recovered: {row} {expired}"
    if recovered:
        _check_recovered(before, after, row.id, blames=expired.blames)


def see_end(stage: Stage, node: str, *, blames: bool) -> None:
    """A supervisor sees the end of the node's worker, and reads what that held."""
    node_id = stage.world.attached[node]
    found = read(
        stage.engine, lambda session: deaths.held_by_worker(session, node_id, node, "it died", blames=blames)
    )
    held = {
        one
        for one, row in stage.seen.allocations.items()
        if (row.state, row.node_id) == ("executing", node_id)
    }
    assert {one.allocation_id for one in found} == held, f"its worker held {held}, but {found}"
    stage.dead |= {one.execution for one in found}
    stage.looks += found


def _must_recover(stage: Stage, row: Any) -> bool:
    return row.state in HELD and stage.recoverable(row.lease_until)


def sweep(stage: Stage) -> None:
    """A whole pass of a beat."""
    stamp(stage)
    stage.keep_alive()
    due = [one for one, row in stage.seen.allocations.items() if _must_recover(stage, row)]
    before = stage.seen
    sweeper = Sweeper(stage.engine, None, DELIVERY_ATTEMPTS, LIMITS.work_seconds)
    for repair in sweeper.losses:
        repair.run()
    after = stage.see()
    left = [one for one in due if after.allocations[one].state in HELD]
    assert not left, f"never recovered: {left}"
    for one in due:
        _check_recovered(before, after, one)
    for repair in (*sweeper.waits, *sweeper.ends):
        repair.run()
    stage.see()


def _check_recovered(before: Sight, after: Sight, one: str, *, blames: bool = True) -> None:
    """By rule 4: update work ends as lost and its items wait, a lone one counting the death; the rest has another attempt."""
    row, now = before.allocations[one], after.allocations[one]
    items = list(before.items_of(one))
    if row.kind == "publish":
        articles.check_recovered(before, after, one)
    elif row.cancel_requested:
        assert now.state == "cancelled", f"cancelled, but {now}"
    elif row.kind == "update":
        assert now.state == "failed", f"lost, but {now}"
        for item in items:
            count = item.deaths + (blames and row.alone and len(items) == 1)
            state = "failed" if count > item.deaths and count >= DEATHS else "waiting"
            found = after.items[item.id]
            assert (found.state, found.deaths) == (state, count), f"its worker died: {item} became {found}"
    else:
        spent = row.attempt >= DELIVER_ATTEMPTS
        wanted = ("failed", row.attempt) if spent else ("pending", row.attempt + 1)
        assert (now.state, now.attempt) == wanted, f"lost, but {now}"


def plan(stage: Stage) -> None:
    """The pump runs."""
    pump(stage.engine, None, LIMITS)
    stage.see()


def let_end(stage: Stage) -> None:
    """Faults stop: nodes are there, beats sweep and pump, workers are honest. In bounded rounds everything ends."""
    for _ in range(ROUNDS):
        _repair_nodes(stage)
        sweep(stage)
        plan(stage)
        _work(stage)
        sweep(stage)
        if not stage.seen.open:
            break
        stage.pass_time(LONG_SECONDS)
        stage.see()
    able = {stage.world.attached[name] for name in ("n1", "n2")}
    invariants.check_ended(stage.seen, any_publisher=bool(able & stage.seen.capacities.keys()))
    _check_progress(stage)


def _repair_nodes(stage: Stage) -> None:
    """Every node that still exists is on, beats, and takes work."""
    values = {"presence_at": now(), "is_active": True, "draining": False, "workers_alive": 1}
    transact(stage.engine, lambda session: session.execute(update(Node).values(**values)))


def _work(stage: Stage) -> None:
    for node, queue in (("n1", "node:n1"), ("n2", "node:n2"), ("parent", "default")):
        if stage.world.attached[node] not in stage.seen.capacities:
            continue
        while any((row.queue, row.state) == (queue, "pending") for row in stage.seen.allocations.values()):
            workers.begin_next(stage, node, queue, 100)
            execution = stage.promises.executions[-1]
            workers.send(stage, execution, ("heard",) * len(execution.order.deliveries))
            workers.settle(stage, execution, GOOD)
    for one, row in list(stage.seen.allocations.items()):
        if (row.kind, row.state) == ("publish", "pending"):
            for step in ("begin", "submit", "finish"):
                publishing.go_on(stage, one, step)
    for node, node_id in stage.world.children.items():
        if node_id in stage.seen.capacities:
            children.claim(stage, [(node, "", 100)], polls=False)
            held = [
                one
                for one, row in stage.seen.allocations.items()
                if (row.node_id, row.state) == (node_id, "claimed")
            ]
            for one in held:
                children.call(stage, node, one, "complete", (True,) * 10)


def _check_progress(stage: Stage) -> None:
    """Counts of runs are counts of their items."""
    for run_id, row in stage.seen.runs.items():
        told = read(stage.engine, lambda session: runs.progress(session, run_id))  # noqa: B023
        states = [item.state for item in stage.seen.items.values() if item.run_id == run_id]
        assert told.items == {state: states.count(state) for state in set(states)}, f"{told} of {row}"
        assert told.finished, f"not finished: {told}"
