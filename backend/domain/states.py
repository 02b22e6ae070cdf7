"""The life cycles as data: states, legal moves, finals. `docs/states.md` shows the same as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class AllocationState(StrEnum):
    """An allocation: one unit of work given to one node."""

    PENDING = "pending"
    CLAIMED = "claimed"
    EXECUTING = "executing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ItemState(StrEnum):
    """A work item: one feed of one run."""

    WAITING = "waiting"
    ASSIGNED = "assigned"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DeliveryState(StrEnum):
    """A delivery: one message to one receiver."""

    WAITING = "waiting"
    ASSIGNED = "assigned"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNCONFIRMED = "unconfirmed"
    CANCELLED = "cancelled"


class RunState(StrEnum):
    """A run: one dispatch of one message task."""

    QUEUED = "queued"
    EXPANDING = "expanding"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class PublishState(StrEnum):
    """A publish task: an article that a user wants on a platform."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    HELD = "held"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNCONFIRMED = "unconfirmed"


class TickState(StrEnum):
    """A tick: one planned time of one message task's schedule, or the missed ones in a row."""

    FIRED = "fired"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class LifeCycle:
    """One noun's legal moves, as from-state to to-states, its first state, and others it may start in."""

    noun: str
    initial: str
    moves: Mapping[str, frozenset[str]]
    other_starts: frozenset[str] = frozenset()

    @property
    def states(self) -> frozenset[str]:
        """Every state of the noun."""
        return frozenset(self.moves)

    @property
    def starts(self) -> frozenset[str]:
        """States in which the noun may be made."""
        return self.other_starts | {self.initial}

    @property
    def finals(self) -> frozenset[str]:
        """States that nothing leaves."""
        return frozenset(state for state, targets in self.moves.items() if not targets)

    def allows(self, source: str, target: str) -> bool:
        """Whether the move is legal."""
        return target in self.moves.get(source, frozenset())


def _cycle(
    noun: str, initial: str, moves: dict[str, set[str]], other_starts: frozenset[str] = frozenset()
) -> LifeCycle:
    by_state = {state: frozenset(targets) for state, targets in moves.items()}
    return LifeCycle(noun, initial, by_state, other_starts)


ALLOCATION = _cycle(
    "allocation",
    "pending",
    {
        "pending": {"claimed", "executing", "cancelled"},
        "claimed": {"executing", "pending", "failed", "cancelled"},
        "executing": {"pending", "completed", "failed", "cancelled"},
        "completed": set(),
        "failed": set(),
        "cancelled": set(),
    },
)

WORK_ITEM = _cycle(
    "work_item",
    "waiting",
    {
        "waiting": {"assigned", "done", "failed", "cancelled"},
        "assigned": {"waiting", "done", "failed", "cancelled"},
        "done": set(),
        "failed": {"waiting"},
        "cancelled": set(),
    },
)

DELIVERY = _cycle(
    "delivery",
    "waiting",
    {
        "waiting": {"assigned", "delivered", "cancelled"},
        "assigned": {"waiting", "delivered", "failed", "unconfirmed", "cancelled"},
        "delivered": set(),
        "failed": {"waiting", "delivered"},
        "unconfirmed": {"waiting", "delivered"},
        "cancelled": set(),
    },
)

RUN = _cycle(
    "run",
    "expanding",
    {
        "queued": {"expanding", "cancelled"},
        "expanding": {"running", "cancelled"},
        "running": {"completed", "cancelled"},
        "completed": {"running"},
        "cancelled": set(),
    },
    frozenset({"queued"}),
)

TICK = _cycle("tick", "fired", {"fired": set(), "skipped": set()}, frozenset({"skipped"}))

PUBLISH_TASK = _cycle(
    "publish_task",
    "pending",
    {
        "pending": {"queued", "held", "cancelled"},
        "queued": {"running", "pending", "held", "cancelled"},
        "running": {"success", "failed", "cancelled", "unconfirmed", "pending", "held"},
        "held": {"pending", "success", "cancelled"},
        "success": set(),
        "failed": {"pending"},
        "cancelled": set(),
        "unconfirmed": {"success", "pending", "failed"},
    },
)

LIFE_CYCLES = {cycle.noun: cycle for cycle in (ALLOCATION, WORK_ITEM, DELIVERY, RUN, TICK, PUBLISH_TASK)}
