"""A batch accounts for every item exactly once, whatever the order of ends, reports, stops and its deadline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

from hypothesis import event, given
from hypothesis import strategies as st

from backend.domain.ports import Standing
from backend.workers.batch import Batch
from backend.workers.kit import Stop

TICK = 1.0
LAST_TICK = 30
ANSWERS: list[Standing | None] = [Standing.HELD, Standing.HELD, None, Standing.CANCELLED, Standing.SUPERSEDED]


@dataclass
class Item:
    """When an item starts and how many ticks it runs; one beyond the last tick never ends."""

    name: str
    starts: int
    runs: int


@dataclass
class Schedule:
    """A pool and a clock that tests drive: time passes in `wait`, and in reports as far as they take time."""

    items: list[Item]
    answers: list[tuple[Standing | None, int]]
    deadline: float
    stops_at: int | None
    grace: float
    report_seconds: float
    cancelled_at: int | None = None
    now: int = 0
    reported: list[str] = field(default_factory=list)
    reports: int = 0
    futures: dict[str, Future[str]] = field(default_factory=dict)

    def run(self) -> Batch[str]:
        """Run a batch over the schedule to its end."""
        self.stop = Stop(self.grace, clock=self.clock)
        self.futures = {item.name: Future() for item in self.items}
        batch = Batch(
            futures={self.futures[item.name]: item.name for item in self.items},
            deadline=self.deadline,
            stop=self.stop,
            report=self.report,
            report_seconds=self.report_seconds,
            is_cancelled=lambda: self.cancelled_at is not None and self.now >= self.cancelled_at,
            clock=self.clock,
            pause=self.pause,
        )
        batch.run()
        return batch

    def clock(self) -> float:
        return self.now * TICK

    def pause(self, running: Iterable[Future[str]]) -> None:
        self.advance(1)
        assert self.now < LAST_TICK * 3, "the batch does not end"

    def advance(self, ticks: int) -> None:
        for _ in range(ticks):
            self.now += 1
            if self.stops_at is not None and self.now >= self.stops_at:
                self.stop.set()
            for item in self.items:
                self._drive(item, self.futures[item.name])

    def _drive(self, item: Item, future: Future[str]) -> None:
        if future.cancelled() or future.done():
            return
        if self.now >= item.starts and not future.running():
            future.set_running_or_notify_cancel()
        if future.running() and self.now >= item.starts + item.runs:
            future.set_result(item.name)

    def report(self, results: list[str]) -> Standing | None:
        standing, takes = self.answers[self.reports % len(self.answers)]
        self.reports += 1
        told = list(results)
        self.advance(takes)
        if standing is not None:
            self.reported += told
        return standing


schedules = st.builds(
    Schedule,
    items=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 40)), max_size=8).map(
        lambda rows: [Item(str(number), *row) for number, row in enumerate(rows)]
    ),
    answers=st.lists(st.tuples(st.sampled_from(ANSWERS), st.integers(0, 4)), min_size=1, max_size=4),
    deadline=st.integers(1, LAST_TICK).map(float),
    stops_at=st.none() | st.integers(0, LAST_TICK),
    grace=st.integers(0, 10).map(float),
    report_seconds=st.sampled_from([0.0, 2.0]),
    cancelled_at=st.none() | st.integers(0, LAST_TICK),
)


@given(schedules)
def test_every_item_is_accounted_for_exactly_once(schedule: Schedule) -> None:
    batch = schedule.run()
    told = [*schedule.reported, *batch.results, *batch.late, *batch.interrupted, *batch.left]
    assert Counter(told) == Counter(item.name for item in schedule.items)
    for name in ("late", "interrupted", "left", "results"):
        event(name, str(bool(getattr(batch, name))))


@given(schedules)
def test_what_ended_is_a_result_and_what_never_started_is_left(schedule: Schedule) -> None:
    batch = schedule.run()
    assert all(schedule.futures[one].cancelled() for one in batch.left)
    assert all(schedule.futures[one].running() for one in (*batch.late, *batch.interrupted))
    assert all(schedule.futures[one].done() for one in (*batch.results, *schedule.reported))


@given(schedules)
def test_a_batch_never_goes_on_after_its_deadline_or_its_grace(schedule: Schedule) -> None:
    schedule.run()
    longest_report = max(takes for _, takes in schedule.answers)
    ends = schedule.deadline
    if schedule.stops_at is not None:
        ends = min(ends, max(schedule.stops_at, 1) + schedule.grace)
    # A look comes once a tick, and a report that is under way is waited for.
    assert schedule.now <= ends + 1 + longest_report or schedule.now <= 1 + longest_report


def plan(*items: tuple[int, int], **values: object) -> Schedule:
    """A schedule of items as (start, duration), with everything going well unless said otherwise."""
    plain: dict[str, object] = {
        "answers": [(Standing.HELD, 0)],
        "deadline": 20.0,
        "stops_at": None,
        "grace": 3.0,
        "report_seconds": 2.0,
    }
    rows = [Item("abcdefgh"[number], *row) for number, row in enumerate(items)]
    return Schedule(rows, **(plain | values))  # type: ignore[arg-type]


def test_the_last_results_are_left_to_the_settle() -> None:
    schedule = plan((0, 1), (0, 1))
    assert sorted(schedule.run().results) == ["a", "b"]
    assert schedule.reports == 0


def test_early_results_are_reported_while_a_slow_one_runs() -> None:
    schedule = plan((0, 1), (0, 10))
    batch = schedule.run()
    assert (schedule.reported, batch.results) == (["a"], ["b"])


def test_results_stay_when_the_database_is_away() -> None:
    schedule = plan((0, 1), (0, 10), answers=[(None, 0)])
    batch = schedule.run()
    assert (schedule.reported, sorted(batch.results)) == ([], ["a", "b"])
    assert schedule.reports > 1


def test_a_stop_leaves_what_has_not_started_and_gives_the_rest_its_grace() -> None:
    batch = plan((0, 5), (0, 40), (9, 1), stops_at=3).run()
    assert (batch.results, batch.interrupted, batch.left) == (["a"], ["b"], ["c"])


def test_a_cancel_gives_up_what_runs() -> None:
    batch = plan((0, 1), (0, 40), (30, 1), answers=[(Standing.CANCELLED, 0)]).run()
    assert (batch.results, batch.interrupted, batch.left, batch.late) == ([], ["b"], ["c"], [])


def test_the_deadline_fails_what_runs_and_leaves_what_waits() -> None:
    batch = plan((0, 1), (0, 40), (30, 1), deadline=5.0).run()
    assert (batch.late, batch.left) == (["b"], ["c"])


def test_what_ends_while_the_deadline_passes_counts_as_done() -> None:
    schedule = plan((0, 1), (0, 5), deadline=5.0, answers=[(Standing.HELD, 4)], report_seconds=0.0)
    batch = schedule.run()
    assert (schedule.now, batch.results, batch.late) == (5, ["b"], [])


def test_what_ends_while_a_cancel_is_learned_counts_as_done() -> None:
    batch = plan((0, 1), (0, 5), answers=[(Standing.CANCELLED, 4)], report_seconds=0.0).run()
    assert (batch.results, batch.interrupted) == (["b"], [])


def test_a_cancel_that_a_renewal_learned_gives_up_what_runs() -> None:
    schedule = plan((0, 1), (0, 40), (30, 1), cancelled_at=4, report_seconds=99.0)
    batch = schedule.run()
    assert (schedule.now, batch.results, batch.interrupted, batch.left) == (4, ["a"], ["b"], ["c"])


def test_an_empty_batch_ends_at_once() -> None:
    schedule = plan()
    schedule.run()
    assert schedule.now == 0


def test_a_result_that_is_reported_is_kept_no_longer() -> None:
    schedule = plan((0, 1), (0, 40), deadline=5.0, report_seconds=0.0)
    batch = schedule.run()
    assert schedule.reported == ["a"]
    assert (list(batch.futures.values()), batch.results) == (["b"], [])
