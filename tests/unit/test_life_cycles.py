"""The life cycles' rules: what may follow what, and which ends are final."""

from __future__ import annotations

import pytest

from backend.domain.states import (
    ALLOCATION,
    DELIVERY,
    LIFE_CYCLES,
    PUBLISH_TASK,
    RUN,
    WORK_ITEM,
    LifeCycle,
)

PAIRS = [
    (cycle, source, target)
    for cycle in LIFE_CYCLES.values()
    for source in sorted(cycle.states)
    for target in sorted(cycle.states)
]


def reachable(cycle: LifeCycle, start: str) -> set[str]:
    found = {start}
    while more := {target for state in found for target in cycle.moves[state]} - found:
        found |= more
    return found


@pytest.mark.parametrize("cycle", LIFE_CYCLES.values(), ids=LIFE_CYCLES)
def test_every_state_is_reached_and_every_state_has_a_way_to_an_end(cycle: LifeCycle) -> None:
    assert set().union(*(reachable(cycle, start) for start in cycle.starts)) == cycle.states
    rests = cycle.finals | {"completed", "failed", "unconfirmed"} & cycle.states
    assert all(reachable(cycle, state) & rests for state in cycle.states)


@pytest.mark.parametrize(
    ("cycle", "finals"),
    [
        (ALLOCATION, {"completed", "failed", "cancelled"}),
        (WORK_ITEM, {"done", "cancelled"}),
        (DELIVERY, {"delivered", "cancelled"}),
        (RUN, {"cancelled"}),
        (PUBLISH_TASK, {"success", "cancelled"}),
    ],
    ids=lambda value: getattr(value, "noun", ""),
)
def test_nothing_leaves_a_final_state(cycle: LifeCycle, finals: set[str]) -> None:
    assert cycle.finals == finals
    assert not any(cycle.allows(final, target) for final in finals for target in cycle.states)


@pytest.mark.parametrize(
    ("cycle", "source", "target"), PAIRS, ids=lambda value: getattr(value, "noun", value)
)
def test_a_move_is_legal_only_if_the_life_cycle_names_it(cycle: LifeCycle, source: str, target: str) -> None:
    assert cycle.allows(source, target) == (target in cycle.moves[source])
    assert not cycle.allows(source, source)


def test_a_state_that_does_not_exist_allows_nothing() -> None:
    assert not ALLOCATION.allows("paused", "pending")
    assert not ALLOCATION.allows("pending", "paused")


@pytest.mark.parametrize(
    ("cycle", "source", "target"),
    [
        (ALLOCATION, "pending", "completed"),
        (ALLOCATION, "completed", "pending"),
        (WORK_ITEM, "done", "waiting"),
        (DELIVERY, "delivered", "waiting"),
        (DELIVERY, "waiting", "unconfirmed"),
        (PUBLISH_TASK, "unconfirmed", "running"),
        (PUBLISH_TASK, "success", "running"),
    ],
    ids=lambda value: getattr(value, "noun", value),
)
def test_what_would_lose_or_repeat_work_is_illegal(cycle: LifeCycle, source: str, target: str) -> None:
    assert not cycle.allows(source, target)
