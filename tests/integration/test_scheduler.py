"""The scheduler: every tick once, whoever looks, whenever the clocks change, and whatever was down meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, make_url, select
from sqlalchemy.orm import Session

from backend.dispatch import repairs, scheduler
from backend.domain.errors import Conflict
from backend.store import message_tasks, starting, ticks
from backend.store.columns import now
from backend.store.scheduler import scheduler_state, set_running
from backend.store.session import create_engine_for, read, transact
from backend.store.tables import History, MessageTask, Run, Tick, WorkItem
from tests import building
from tests.building import CIPHER, row_of, rows_of, start_run, together
from tests.fire_times import ZONES, expected
from tests.servers import MariaDb
from tests.standins.proxy import Loss, Proxy

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2027, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
BEATS = 8


@dataclass
class FrozenClock:
    """A clock that stands until it is moved."""

    at: datetime = START

    def __call__(self, session: Session) -> datetime:
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


def planned(engine: Engine, task_id: str) -> list[datetime]:
    query = select(Tick.planned_at).where(Tick.task_id == task_id).order_by(Tick.planned_at)
    return list(read(engine, lambda session: session.scalars(query).all()))


def next_tick(engine: Engine) -> datetime | None:
    query = select(MessageTask.next_fire_at).order_by(MessageTask.next_fire_at).limit(1)
    return read(engine, lambda session: session.scalar(query))


def scheduled_task(engine: Engine, clock: FrozenClock, cron: str, zone: str = "UTC", **content: Any) -> str:
    """A task whose schedule was planned by the frozen clock."""
    task_id = building.make_task(engine, "all", cron_exp=cron, time_zone=zone, **content)
    building.change(engine, MessageTask, task_id, next_fire_at=None)
    scheduler.plan_missing(engine, clock)
    return task_id


def tick_of(engine: Engine, task_id: str) -> Any:
    """The task's newest tick."""
    newest = select(Tick).where(Tick.task_id == task_id).order_by(Tick.planned_at.desc()).limit(1)
    return read(engine, lambda session: session.scalars(newest).one())


def close_runs(engine: Engine) -> None:
    """What the beat does: runs without open items end, and what waited for them starts."""
    repairs.close_runs(engine)
    scheduler.start_queued(engine)


def states(engine: Engine) -> list[str]:
    return [run.state for run in rows_of(engine, Run)]


def set_paused(engine: Engine, task_id: str, at: datetime, *, paused: bool) -> None:
    transact(engine, lambda session: ticks.set_paused(session, task_id, at, paused=paused))


def run_a_year(engine: Engine, other: Engine, clock: FrozenClock, *crons: str) -> None:
    """Two beats, one in front of the other by turns, from tick to tick; then compare each task with what it should be."""
    kinds = [(cron, zone) for cron in crons for zone in ZONES]
    tasks = {kind: scheduled_task(engine, clock, *kind, overlap="allow") for kind in kinds}
    beats, fired = [engine, other], 0
    while (at := next_tick(engine)) is not None and at < END:
        clock.at = at
        fired += scheduler.fire_due(beats[0], clock)
        assert scheduler.fire_due(beats[1], clock) == 0
        beats.reverse()
    wanted = {kind: expected(*kind, START + QUARTER, END) for kind in kinds}
    assert {kind: planned(engine, task_id) for kind, task_id in tasks.items()} == wanted
    made = rows_of(engine, Tick)
    assert {(tick.state, tick.count, tick.late_ms) for tick in made} == {("fired", 1, 0)}
    assert fired == len(made) == len(rows_of(engine, Run))


@pytest.fixture
def other(migrated_url: str) -> Iterator[Engine]:
    """Another beat's engine. One connection stays open: SQLite would tidy up at each last one that closes."""
    engine = create_engine_for(migrated_url, pooled=True)
    with closing(engine.raw_connection()):
        yield engine
    engine.dispose()


def test_two_beats_fire_each_tick_of_a_year_once_on_the_day_on_which_clocks_change(
    engine: Engine, other: Engine, clock: FrozenClock
) -> None:
    run_a_year(engine, other, clock, "45 1 * * 0", "15 2 * * 0")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_two_beats_fire_each_tick_of_every_day_of_a_year_once(
    engine: Engine, other: Engine, clock: FrozenClock
) -> None:
    run_a_year(engine, other, clock, "15,45 1,2 * * *")


def test_a_task_that_can_not_be_decided_keeps_no_other_from_firing(
    engine: Engine, clock: FrozenClock
) -> None:
    poisoned = scheduled_task(engine, clock, "0 * * * *")
    good = scheduled_task(engine, clock, "1 * * * *")
    building.change(engine, MessageTask, poisoned, overlap="nonsense")
    start_run(engine, poisoned)
    clock.move(hours=2)
    assert scheduler.fire_due(engine, clock) == 1
    assert tick_of(engine, good).run_id


def test_many_beats_at_the_same_instant_fire_one_tick_once(engine: Engine, clock: FrozenClock) -> None:
    building.make_feeds(engine, 3)
    task_id = scheduled_task(engine, clock, "0 * * * *")
    for _ in range(3):
        clock.move(hours=1)
        started = together(*[lambda: scheduler.fire_due(engine, clock)] * BEATS)
        assert sum(started) == 1
        building.change(engine, WorkItem, state="done")
        close_runs(engine)
    assert [(tick.state, tick.count) for tick in rows_of(engine, Tick)] == [("fired", 1)] * 3
    assert len(rows_of(engine, WorkItem)) == 9
    assert planned(engine, task_id) == [START + timedelta(hours=hour) for hour in (1, 2, 3)]


def test_ticks_missed_while_everything_was_down_are_one_row_that_fires_once_and_late(
    engine: Engine, clock: FrozenClock
) -> None:
    task_id = scheduled_task(engine, clock, "0 * * * *")
    clock.move(hours=5, seconds=30)
    assert scheduler.fire_due(engine, clock) == 1
    assert scheduler.fire_due(engine, clock) == 0
    tick = tick_of(engine, task_id)
    assert (tick.state, tick.count, tick.late_ms) == ("fired", 5, (4 * 3600 + 30) * 1000)
    assert (tick.planned_at, tick.last_planned_at) == (
        START + timedelta(hours=1),
        START + timedelta(hours=5),
    )
    assert "5 ticks were missed" in tick.reason
    assert next_tick(engine) == START + timedelta(hours=6)
    assert row_of(engine, Run).trigger == "schedule"


def test_a_new_task_and_one_that_is_switched_on_again_do_not_fire_for_the_past(engine: Engine) -> None:
    task_id = building.make_task(engine, "all", cron_exp="* * * * *", enabled=False)
    assert next_tick(engine) is None
    change_task(engine, task_id, enabled=True)
    assert scheduler.fire_due(engine) == 0
    upcoming = next_tick(engine)
    assert upcoming is not None
    assert timedelta() < upcoming - read(engine, ticks.clock) <= timedelta(minutes=1)


def change_task(engine: Engine, task_id: str, **values: Any) -> None:
    """Change the task as a person does."""
    before = read(engine, lambda session: message_tasks.get_task(session, CIPHER, task_id)).content
    after = building.checked(before, **values)
    transact(
        engine,
        lambda session: message_tasks.update_task(session, CIPHER, task_id, before, after, actor="ana"),
    )


@pytest.mark.parametrize(
    "values", [{"cron_exp": "0 0 1 1 *"}, {"time_zone": "Asia/Shanghai"}, {"enabled": False}]
)
def test_changing_the_schedule_plans_it_anew_and_records_what_had_come_due(
    engine: Engine, values: dict[str, Any]
) -> None:
    task_id = building.make_task(engine, "all", cron_exp="0 12 * * *")
    building.change(engine, MessageTask, next_fire_at=now(-60))
    change_task(engine, task_id, **values)
    tick = tick_of(engine, task_id)
    assert (tick.state, tick.reason) == ("skipped", "its schedule was changed before it fired")
    upcoming = next_tick(engine)
    assert upcoming is None if "enabled" in values else upcoming is not None
    assert scheduler.fire_due(engine) == 0


def test_other_changes_leave_the_schedule_alone(engine: Engine) -> None:
    task_id = building.make_task(engine, "all", cron_exp="0 12 * * *")
    before = next_tick(engine)
    change_task(engine, task_id, name="another", overlap="skip")
    assert next_tick(engine) == before
    assert rows_of(engine, Tick) == []


def test_a_paused_schedule_starts_nothing_records_its_ticks_and_makes_nothing_up(
    engine: Engine, clock: FrozenClock
) -> None:
    task_id = scheduled_task(engine, clock, "0 * * * *")
    set_paused(engine, task_id, clock.at, paused=True)
    clock.move(hours=1)
    assert scheduler.fire_due(engine, clock) == 0
    assert (tick_of(engine, task_id).state, tick_of(engine, task_id).reason) == (
        "skipped",
        "the task is paused",
    )
    clock.move(hours=2, minutes=30)
    set_paused(engine, task_id, clock.at, paused=False)
    assert (tick_of(engine, task_id).state, tick_of(engine, task_id).count) == ("skipped", 2)
    assert scheduler.fire_due(engine, clock) == 0
    clock.move(minutes=30)
    assert scheduler.fire_due(engine, clock) == 1
    assert planned(engine, task_id) == [START + timedelta(hours=hour) for hour in (1, 2, 4)]


def test_a_paused_task_is_still_dispatched_by_hand(engine: Engine, clock: FrozenClock) -> None:
    task_id = scheduled_task(engine, clock, "0 * * * *")
    set_paused(engine, task_id, clock.at, paused=True)
    assert building.dispatch(engine, task_id).task_count == 1


def test_a_stopped_scheduler_fires_nothing_and_after_the_start_what_was_missed_once(
    engine: Engine, clock: FrozenClock
) -> None:
    task_id = scheduled_task(engine, clock, "0 * * * *")
    transact(engine, lambda session: set_running(session, "ana", running=False))
    seen = read(engine, scheduler_state)
    assert (seen.running, seen.changed_by) == (False, "ana")
    clock.move(hours=3)
    assert scheduler.fire_due(engine, clock) == 0
    assert rows_of(engine, Tick) == []
    transact(engine, lambda session: set_running(session, "ana", running=True))
    assert scheduler.fire_due(engine, clock) == 1
    assert (tick_of(engine, task_id).state, tick_of(engine, task_id).count) == ("fired", 3)


def test_a_stop_between_looking_and_deciding_is_obeyed(engine: Engine, clock: FrozenClock) -> None:
    scheduled_task(engine, clock, "0 * * * *")
    clock.move(hours=1)
    (due,) = read(engine, lambda session: ticks.due(session, clock.at))
    plan = ticks.plan(due, clock.at)
    transact(engine, lambda session: set_running(session, "ana", running=False))
    assert transact(engine, lambda session: ticks.decide(session, plan)) == ""
    assert rows_of(engine, Tick) == []


def test_with_skip_a_tick_is_left_out_while_a_run_is_open(engine: Engine, clock: FrozenClock) -> None:
    building.make_feeds(engine, 1)
    task_id = scheduled_task(engine, clock, "0 * * * *", overlap="skip")
    for _ in range(2):
        clock.move(hours=1)
        scheduler.fire_due(engine, clock)
    (run,) = rows_of(engine, Run)
    assert (tick_of(engine, task_id).state, tick_of(engine, task_id).run_id) == ("skipped", run.id)
    assert "has not ended" in tick_of(engine, task_id).reason
    with pytest.raises(Conflict, match="was skipped: its run") as refused:
        building.dispatch(engine, task_id)
    assert (refused.value.code, refused.value.params["run_id"]) == ("run_not_ended", run.id)
    report = building.dispatch(engine, None)
    assert ([one.id for one in report.skipped], report.tasks) == ([task_id], [])
    building.change(engine, WorkItem, state="done")
    close_runs(engine)
    assert building.dispatch(engine, task_id).task_count == 1


def test_with_queue_at_most_one_run_waits_and_starts_once_when_the_other_has_ended(
    engine: Engine, other: Engine, clock: FrozenClock
) -> None:
    building.make_feeds(engine, 1)
    task_id = scheduled_task(engine, clock, "0 * * * *", overlap="queue")
    for _ in range(3):
        clock.move(hours=1)
        scheduler.fire_due(engine, clock)
    assert states(engine) == ["running", "queued"]
    first, second = rows_of(engine, Run)
    decided = [(tick.state, tick.run_id) for tick in rows_of(engine, Tick)]
    assert decided == [("fired", first.id), ("fired", second.id), ("skipped", second.id)]
    # By hand: the run that waits stands for this request too.
    (asked,) = building.dispatch(engine, task_id).tasks
    assert (asked.run_id, asked.waits_for) == (second.id, first.id)
    assert (second.trigger, row_of(engine, Run, second.id).trigger) == ("schedule", "manual")
    close_runs(engine)
    assert states(engine) == ["running", "queued"]
    building.change(engine, WorkItem, state="done")
    repairs.close_runs(engine)
    started = together(*[lambda: scheduler.start_queued(engine), lambda: scheduler.start_queued(other)] * 2)
    assert sum(started) == 1
    assert states(engine) == ["completed", "running"]
    assert [item.run_id for item in rows_of(engine, WorkItem)] == [first.id, second.id]


def test_a_queued_run_whose_way_is_taken_between_looking_and_starting_goes_on_waiting(engine: Engine) -> None:
    building.make_feeds(engine, 1)
    task_id = building.make_task(engine, "all")
    for _ in range(2):
        building.dispatch(engine, task_id)
    building.change(engine, WorkItem, state="done")
    repairs.close_runs(engine)
    [(run_id, _)] = read(engine, starting.ready_runs)
    building.start_run(engine, task_id)
    assert not transact(engine, lambda session: starting.start_queued(session, run_id, task_id))
    assert states(engine) == ["completed", "queued", "running"]


def test_a_cancelled_run_counts_as_over(engine: Engine, clock: FrozenClock) -> None:
    building.make_feeds(engine, 1)
    task_id = scheduled_task(engine, clock, "0 * * * *")
    for _ in range(2):
        building.dispatch(engine, task_id)
    first = rows_of(engine, Run)[0]
    building.change(engine, Run, first.id, state="cancelled")
    assert scheduler.start_queued(engine) == 1


def test_with_allow_runs_go_side_by_side(engine: Engine, clock: FrozenClock) -> None:
    building.make_feeds(engine, 1)
    scheduled_task(engine, clock, "0 * * * *", overlap="allow")
    for _ in range(3):
        clock.move(hours=1)
        scheduler.fire_due(engine, clock)
    assert states(engine) == ["running"] * 3


def test_a_schedule_that_cannot_be_read_any_more_says_so_and_stops_nobody(
    engine: Engine, clock: FrozenClock
) -> None:
    broken = scheduled_task(engine, clock, "0 * * * *")
    sound = scheduled_task(engine, clock, "0 * * * *")
    building.change(engine, MessageTask, broken, time_zone="Mars/Olympus")
    clock.move(hours=1)
    assert scheduler.fire_due(engine, clock) == 1
    assert tick_of(engine, sound).state == "fired"
    assert (tick_of(engine, broken).state, row_of(engine, MessageTask, broken).next_fire_at) == (
        "skipped",
        None,
    )
    assert "correct cron_exp or time_zone" in tick_of(engine, broken).reason
    assert scheduler.plan_missing(engine, clock) == 0


def test_a_reload_plans_what_is_to_come_and_leaves_what_is_due(engine: Engine, clock: FrozenClock) -> None:
    due = scheduled_task(engine, clock, "0 * * * *")
    to_come = scheduled_task(engine, clock, "0 2 * * *")
    building.change(engine, MessageTask, to_come, next_fire_at=START + timedelta(days=300))
    clock.move(hours=1, minutes=1)
    planned_anew, view = scheduler.reload_schedules(engine, clock)
    assert (planned_anew, view.reloaded_at is not None) == (1, True)
    assert row_of(engine, MessageTask, due).next_fire_at == START + timedelta(hours=1)
    assert row_of(engine, MessageTask, to_come).next_fire_at == START + timedelta(hours=2)


def test_a_clock_that_ran_far_ahead_silences_a_schedule_until_the_reload_only(
    engine: Engine, clock: FrozenClock
) -> None:
    task_id = scheduled_task(engine, clock, "0 * * * *", overlap="allow")
    clock.move(days=365)
    assert scheduler.fire_due(engine, clock) == 1
    clock.move(hours=1)
    assert scheduler.fire_due(engine, clock) == 1
    clock.move(days=-365)
    scheduler.reload_schedules(engine, clock)
    clock.move(hours=1)
    assert scheduler.fire_due(engine, clock) == 1
    assert planned(engine, task_id) == [START + timedelta(hours=hour) for hour in (1, 2)]


def test_a_clock_that_was_set_back_fires_nothing_twice(engine: Engine, clock: FrozenClock) -> None:
    task_id = scheduled_task(engine, clock, "0 * * * *")
    clock.move(hours=2)
    scheduler.fire_due(engine, clock)
    clock.move(hours=-2)
    scheduler.reload_schedules(engine, clock)
    assert row_of(engine, MessageTask, task_id).next_fire_at == START + timedelta(hours=3)


def test_ticks_are_forgotten_after_a_month_and_with_their_task(engine: Engine, clock: FrozenClock) -> None:
    task_id = scheduled_task(engine, clock, "0 * * * *")
    for _ in range(2):
        clock.move(hours=1)
        scheduler.fire_due(engine, clock)
    first, _ = rows_of(engine, Tick)
    building.change(engine, Tick, decided_at=now())
    building.change(engine, Tick, first.id, decided_at=now(-31 * 86_400))
    assert building.forget(engine) == {"sweep_old_ticks": 1}
    assert len(rows_of(engine, Tick)) == 1
    transact(engine, lambda session: message_tasks.delete_task(session, task_id, actor="ana"))
    assert rows_of(engine, Tick) == []
    assert set(states(engine)) <= {"cancelled", "completed"}


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
@pytest.mark.parametrize("loss", ["statement", "answer"])
def test_a_tick_is_written_once_with_its_run_wherever_the_connection_is_lost(
    engine: Engine, migrated_url: str, mariadb: MariaDb, clock: FrozenClock, loss: Loss
) -> None:
    building.make_feeds(engine, 1)
    task_id = scheduled_task(engine, clock, "* * * * *", overlap="allow")
    lost: list[str] = []
    with Proxy(("127.0.0.1", mariadb.port)).serving() as proxy:
        url = make_url(migrated_url).set(port=proxy.port).render_as_string(hide_password=False)
        weak = create_engine_for(url, pooled=False)
        while not lost or lost[-1]:
            assert len(lost) < 60
            clock.move(minutes=1)
            proxy.lose(len(lost) + 1, loss)
            assert scheduler.fire_due(weak, clock) == 1
            assert tick_of(engine, task_id).planned_at == clock.at
            lost.append(proxy.lost)
        weak.dispose()
    assert "COMMIT" in lost
    made = rows_of(engine, Tick)
    assert len(made) == len(lost)
    assert {tick.run_id for tick in made} == {run.id for run in rows_of(engine, Run)}
    assert sorted(item.run_id for item in rows_of(engine, WorkItem)) == sorted(tick.run_id for tick in made)


def test_a_beat_that_dies_behind_the_tick_leaves_a_run_that_the_repairs_go_on_with(
    engine: Engine, clock: FrozenClock
) -> None:
    building.make_feeds(engine, 2)
    task_id = scheduled_task(engine, clock, "0 * * * *")
    clock.move(hours=1)
    (due,) = read(engine, lambda session: ticks.due(session, clock.at))
    plan = ticks.plan(due, clock.at)
    run_id = transact(engine, lambda session: ticks.decide(session, plan))
    assert transact(engine, lambda session: ticks.decide(session, plan)) == run_id
    assert (tick_of(engine, task_id).run_id, states(engine)) == (run_id, ["expanding"])
    repairs.continue_expansions(engine)
    assert (states(engine), len(rows_of(engine, WorkItem))) == (["running"], 2)
    moves = select(History.from_state, History.to_state).where(History.subject_id == run_id)
    assert [tuple(row) for row in read(engine, lambda session: session.execute(moves).all())] == [
        ("", "expanding"),
        ("expanding", "running"),
    ]
