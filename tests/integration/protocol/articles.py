"""What was promised of publishing, and what holds of it at every moment."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.domain.orders import WorkOrder
from backend.domain.publish_endings import PublishPolicy
from tests.integration.protocol.sight import Sight

POLICY = PublishPolicy()


@dataclass
class Told:
    """What publishing was promised, in plain Python.

    `orders`: by execution, what it was given. `called`: tasks whose call may have been made and of which nothing was decided
    since. `allowed`: executions that may make the call.
    """

    orders: dict[str, WorkOrder] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)
    allowed: set[str] = field(default_factory=set)

    def may_call(self, execution: str, task_id: str) -> None:
        """The ledger let an execution make the call that publishes. Raises `AssertionError` for a second one."""
        if execution not in self.allowed:
            assert task_id not in self.called, f"{task_id} is published a second time"
            self.allowed.add(execution)
            self.called.add(task_id)


def check_recovered(before: Sight, after: Sight, one: str) -> None:
    """Lost publish work has another attempt, or ends as what is known of it says."""
    row, now = before.allocations[one], after.allocations[one]
    task = before.publish_of(one)
    ended = after.publishes[task.id]
    started = row.started_at
    confirmed = task.submitted_at is not None and task.submitted_at < started
    spent = task.attempts + 1 >= POLICY.executions or (
        task.confirmations + confirmed >= POLICY.confirmations and task.submitted_at is not None
    )
    if task.submitted_at is None and row.cancel_requested:
        wanted = ("cancelled", row.attempt, "cancelled")
    elif spent:
        wanted = ("failed", row.attempt, "unconfirmed" if task.submitted_at else "failed")
    else:
        wanted = ("pending", row.attempt + 1, "running")
    assert (now.state, now.attempt, ended.state) == wanted, f"lost, but {now} {ended}"
    assert ended.submitted_at == task.submitted_at, f"its mark is gone: {ended}"


def check(sight: Sight) -> None:
    """What holds of publish work at every moment."""
    for row in sight.allocations.values():
        if row.kind == "publish":
            open_work = row.state in ("pending", "claimed", "executing")
            assert (row.active_account_id is not None) == open_work, f"its slot: {row}"
    for row in sight.publishes.values():
        holder = sight.allocations.get(row.allocation_id or "")
        if row.state in ("pending", "held"):
            assert holder is None, f"waits, but somebody has it: {row}"
        elif row.state in ("queued", "running"):
            allowed = ("pending",) if row.state == "queued" else ("pending", "executing")
            assert holder is not None, f"nobody has it: {row}"
            assert holder.state in allowed, f"{row} of {holder}"
        else:
            assert holder is None or holder.state in ("completed", "failed", "cancelled"), (
                f"{row} of {holder}"
            )
        if row.submitted_at is not None:
            assert row.state not in ("failed", "cancelled"), f"submitted, and called {row.state}"
