"""Waiting for runs: sums, lines of progress, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from backend.cli.waiting import (
    BEATLESS_SECONDS,
    NO_BEAT,
    NO_NODE,
    NODELESS_SECONDS,
    Patience,
    PlainLines,
    Total,
    total_of,
)
from backend.store.runs import RunProgress


@dataclass
class Clock:
    """A clock that moves when it is told to."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Paper:
    """Keeps what is written on it."""

    lines: list[str] = field(default_factory=list)

    def write(self, line: str) -> None:
        self.lines.append(line)


def run(items: dict[str, int], deliveries: dict[str, int]) -> RunProgress:
    return RunProgress("run", "task", "name", "running", items, deliveries, 0, 0, datetime.now(UTC), None)


def test_items_and_deliveries_of_all_runs_are_counted_together() -> None:
    runs = [
        run({"done": 5, "failed": 2, "assigned": 1}, {"delivered": 3, "unconfirmed": 1}),
        run({"waiting": 4, "cancelled": 1}, {"waiting": 2}),
    ]
    assert total_of(runs) == Total(ended=12, known=19, failed=3)


def test_a_short_absence_of_beat_and_nodes_is_waited_for() -> None:
    clock = Clock()
    patience = Patience(clock)
    assert not patience.spent(beat=False, node=False)
    clock.now += BEATLESS_SECONDS - 1
    assert not patience.spent(beat=False, node=False)
    assert not patience.spent(beat=True, node=False)
    clock.now += 2
    assert not patience.spent(beat=False, node=False), "the count starts anew after a sign of life"


def test_waiting_ends_when_nobody_is_left_who_could_do_the_work() -> None:
    clock = Clock()
    patience = Patience(clock)
    patience.spent(beat=False, node=True)
    clock.now += BEATLESS_SECONDS
    assert patience.spent(beat=False, node=True) == NO_BEAT


def test_nodes_may_take_longer_to_come_than_the_beat() -> None:
    clock = Clock()
    patience = Patience(clock)
    patience.spent(beat=True, node=False)
    clock.now += BEATLESS_SECONDS
    assert not patience.spent(beat=True, node=False)
    clock.now += NODELESS_SECONDS - BEATLESS_SECONDS
    assert patience.spent(beat=True, node=False) == NO_NODE


def test_plain_progress_says_each_change_once_and_not_too_often() -> None:
    clock, paper = Clock(), Paper()
    lines = PlainLines(paper.write, clock)
    for ended in (0, 1, 2, 2):
        lines.show(Total(ended, 10, 0))
    assert len(paper.lines) == 1
    clock.now += 2
    lines.show(Total(2, 10, 0))
    lines.show(Total(2, 10, 0))
    assert len(paper.lines) == 2
    lines.show(Total(10, 10, 1))
    assert "10" in paper.lines[2], "the end is said at once"
