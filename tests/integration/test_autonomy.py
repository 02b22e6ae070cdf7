"""A child that collects by itself while its parent is away: every tick once, every article delivered once, nothing lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from backend.dispatch.pump import pump
from backend.dispatch.scheduler import fire_due
from backend.domain.autonomy import TickItem, TickReport
from backend.domain.errors import Conflict, InvalidInput, NotFound, ParentAway
from backend.domain.orders import Failure, FetchResult, ItemOutcome, Outcome, WorkOrder
from backend.domain.ports import Lease
from backend.domain.wire import Heard
from backend.store import autonomy, ticks
from backend.store.autonomy import Merged, Reporter
from backend.store.columns import now
from backend.store.session import read, transact
from backend.store.tables import Article, Delivery, MessageTask, Node, Pulse, Run, Tick, WorkItem
from backend.workers.autonomy import AutonomousLedger, Autonomy, TickTeller, is_own
from backend.workers.claimer import OutboxLimit
from backend.workers.contact import Contact, held
from backend.workers.copied_lists import LocalCopy
from backend.workers.journal import CLAIMED, Journal, Who
from backend.workers.outbox import Outbox
from backend.workers.syncing import Syncer
from tests import building
from tests.building import CIPHER, ITEMS, change, drafts, row_of, rows_of
from tests.contracts.http_ledgers import INSTANCE, ServedParent, line_to, remote_pair, served_parent
from tests.integration.test_remote_work import Road

HOURLY = "0 * * * *"
BROKEN = Failure("http_status", "the server answered 503")


@dataclass(frozen=True)
class Task:
    """An hourly task of two feeds that names a remote node."""

    engine: Engine
    id: str
    node_id: str
    feed_ids: list[str]
    began_at: datetime

    def merge(self, report: TickReport, node_id: str = "") -> Merged:
        reporter = Reporter(node_id or self.node_id, "far away")
        return transact(self.engine, lambda session: autonomy.merge(session, reporter, report, ITEMS))

    def report(self, planned_at: datetime, *keys: str, execution: str = "x1", feed: int = 0) -> TickReport:
        item = TickItem(self.feed_ids[feed], FetchResult(drafts(*keys)))
        return TickReport(self.id, planned_at, execution, (item,))

    def hour(self, ago: int = 0) -> datetime:
        """A full hour so many hours ago, as the test began."""
        return self.began_at.replace(minute=0, second=0, microsecond=0) - timedelta(hours=ago)

    def fire(self) -> int:
        """What a beat does that can hear from children."""
        building.expire(self.engine)
        return fire_due(self.engine)


@pytest.fixture
def task(engine: Engine) -> Task:
    node_id = building.make_third_party(engine, "far", instance=INSTANCE)
    feed_ids = building.make_feeds(engine, 2)
    task_id = building.make_task(engine, feed_ids, cron_exp=HOURLY, autonomous_node_id=node_id)
    return Task(engine, task_id, node_id, feed_ids, read(engine, ticks.clock))


def test_a_report_makes_the_ticks_run_with_its_articles_and_their_deliveries(task: Task) -> None:
    change(task.engine, MessageTask, next_fire_at=task.hour())
    merged = task.merge(task.report(task.hour(), "a", "b"))
    tick, run = row_of(task.engine, Tick), row_of(task.engine, Run)
    assert (tick.planned_at, tick.state, tick.run_id) == (task.hour(), "fired", merged.run_id)
    assert (run.trigger, run.actor) == ("autonomous", "node far away")
    assert building.totals(task.engine) == (2, 1, 2)
    assert row_of(task.engine, Delivery).run_id == run.id
    assert run.state == "completed"
    item = row_of(task.engine, WorkItem)
    assert (item.state, item.article_count, item.allocation_id) == ("done", 2, None)


def test_a_report_that_comes_twice_changes_nothing(task: Task) -> None:
    report = task.report(task.hour(), "a")
    first = task.merge(report)
    assert task.merge(report) == first
    assert building.totals(task.engine) == (1, 1, 1)
    assert row_of(task.engine, WorkItem).attempts == 1
    assert len(rows_of(task.engine, Tick)) == len(rows_of(task.engine, Run)) == 1


def test_batches_of_one_tick_are_one_run_even_when_the_first_has_closed_it(task: Task) -> None:
    first = task.merge(task.report(task.hour(), "a"))
    assert row_of(task.engine, Run).state == "completed"
    second = task.merge(task.report(task.hour(), "b", execution="x2", feed=1))
    assert first.run_id == second.run_id
    assert building.counted(task.engine, WorkItem) == {"done": 2}
    assert row_of(task.engine, Run).state == "completed"


def test_the_schedule_does_not_collect_again_what_the_child_has_told(task: Task) -> None:
    change(task.engine, MessageTask, next_fire_at=task.hour(3))
    task.merge(task.report(task.hour(), "a"))
    assert task.fire() == 0
    assert row_of(task.engine, MessageTask).next_fire_at == task.hour() + timedelta(hours=1)
    tick = row_of(task.engine, Tick)
    assert (tick.planned_at, tick.last_planned_at, tick.count) == (task.hour(3), task.hour(), 4)


def test_ticks_that_the_child_did_not_run_are_caught_up_as_ever(task: Task) -> None:
    change(task.engine, MessageTask, next_fire_at=task.hour(5))
    task.merge(task.report(task.hour(3), "a"))
    assert task.fire() == 1
    newest = max(rows_of(task.engine, Tick), key=lambda one: one.planned_at)
    assert (newest.planned_at, newest.last_planned_at, newest.count) == (task.hour(2), task.hour(), 3)


def test_a_report_merges_into_the_run_that_the_schedule_made_first(task: Task) -> None:
    change(task.engine, MessageTask, next_fire_at=task.hour())
    assert task.fire() == 1
    run = row_of(task.engine, Run)
    merged = task.merge(task.report(task.hour(), "a"))
    assert merged.run_id == run.id
    assert len(rows_of(task.engine, Tick)) == 1
    states = {one.feed_id: one.state for one in rows_of(task.engine, WorkItem)}
    assert states == {task.feed_ids[0]: "done", task.feed_ids[1]: "waiting"}
    assert building.totals(task.engine) == (1, 1, 1)


def test_a_feed_that_is_being_collected_right_now_stays_whoever_collects_its(task: Task) -> None:
    change(task.engine, MessageTask, next_fire_at=task.hour())
    task.fire()
    node_id = building.make_node(task.engine)
    pump(task.engine, None, building.LIMITS)
    ledger = building.ledger_for(task.engine, node_id)
    order = ledger.begin_next("node:n", "mine", 10)
    assert order is not None
    task.merge(task.report(task.hour(), "a", feed=task.feed_ids.index(order.feeds[0].feed_id)))
    (item,) = [one for one in rows_of(task.engine, WorkItem) if one.id == order.feeds[0].item_id]
    assert (item.state, item.execution) == ("assigned", "mine")
    ledger.settle(building.outcome_of(order, FetchResult(drafts("a", "b"))))
    # The article that both have found is stored and delivered once.
    assert len(rows_of(task.engine, Article)) == 2
    assert len(building.delivered_articles(task.engine)) == 2


def test_what_failed_on_the_child_is_tried_again_like_any_other_item(task: Task) -> None:
    item = TickItem(task.feed_ids[0], failure=BROKEN)
    task.merge(TickReport(task.id, task.hour(), "x1", (item,)))
    found = row_of(task.engine, WorkItem)
    assert (found.state, found.attempts, found.error_code) == ("waiting", 1, "http_status")
    assert found.not_before is not None


def test_only_the_feeds_of_the_task_are_taken_and_only_from_its_node(task: Task) -> None:
    (foreign,) = building.make_feeds(task.engine, 1, "other.example")
    item = TickItem(foreign, FetchResult(drafts("a")))
    assert task.merge(TickReport(task.id, task.hour(), "x1", (item,))).kept == 0
    assert rows_of(task.engine, Article) == []
    with pytest.raises(Conflict, match="does not name this node"):
        task.merge(task.report(task.hour(), "a"), building.make_node(task.engine, "another"))
    with pytest.raises(NotFound):
        task.merge(TickReport("gone", task.hour(), "x1"))
    with pytest.raises(InvalidInput, match="clock"):
        task.merge(task.report(task.hour(-1) + timedelta(minutes=30), "a"))


def test_after_a_gap_the_schedule_waits_for_the_child_before_it_catches_up(task: Task) -> None:
    change(task.engine, MessageTask, next_fire_at=task.hour(1))
    building.expire(task.engine)
    change(task.engine, Pulse, recover_after=now(30))
    assert fire_due(task.engine) == 0
    change(task.engine, MessageTask, autonomous_node_id=None)
    assert fire_due(task.engine) == 1


def test_a_node_that_is_none_or_attached_can_not_be_named(engine: Engine) -> None:
    for node_id in ("nobody", building.make_node(engine)):
        with pytest.raises(InvalidInput) as caught:
            building.make_task(engine, "all", autonomous_node_id=node_id)
        assert set(caught.value.fields) == {"autonomous_node_id"}


class Child:
    """A remote node's parts over a road that tests cut, with a clock of its own."""

    def __init__(self, folder: Path, parent: ServedParent, task: Task) -> None:
        self.road = Road()
        self.line = line_to(parent, remote_pair(task.engine, task.node_id))
        self.line.http, self.line.wait = self.road, lambda _seconds: True
        self.journal, self.contact = Journal(folder / "journal.db"), Contact(roll=lambda: 0.0)
        self.copy, self.kept = LocalCopy(folder / "copy.db"), Outbox(folder / "ticks", CIPHER)
        self.clock = datetime.now(UTC)
        self.autonomy = Autonomy(
            copy=self.copy,
            journal=self.journal,
            contact=self.contact,
            kept=self.kept,
            teller=TickTeller(self.line, self.copy),
            queue="node:far",
            offer=lambda _pieces: None,
            enabled=True,
            after_seconds=600,
            now=lambda: self.clock,
        )

    @property
    def ledger(self) -> AutonomousLedger:
        return AutonomousLedger(
            self.line, self.journal, Who(INSTANCE, "w"), copy=self.copy, kept=self.kept, seconds=60.0
        )

    def reach(self) -> None:
        """The parent is there."""
        self.road.is_cut = False
        self.contact.answered(Heard("n"))
        self.autonomy.turn()

    def lose(self, **ago: float) -> None:
        """The parent has been away for so long, and the clock stands right behind a full hour."""
        self.road.is_cut = True
        self.contact.failed()
        self.clock = datetime.now(UTC).replace(minute=0, second=1, microsecond=0)
        self.copy.see_parent(self.clock - timedelta(**ago))

    def work(self, results: dict[str, FetchResult]) -> list[WorkOrder]:
        """What a worker does with all that waits."""
        done: list[WorkOrder] = []
        while order := self.ledger.begin_next("node:far", f"x{len(done)}", 100):
            items = tuple(ItemOutcome(one.item_id, one.feed_id, results[one.feed_id]) for one in order.feeds)
            self.ledger.settle(Outcome(order.allocation_id, 1, order.execution, "update", items))
            done.append(order)
        return done


@contextmanager
def made_child(task: Task, folder: Path) -> Iterator[Child]:
    with served_parent(task.engine, folder) as parent:
        yield Child(folder / "child", parent, task)


@pytest.fixture
def child(task: Task, tmp_path: Path) -> Iterator[Child]:
    with made_child(task, tmp_path) as made:
        yield made


on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@on_sqlite
def test_pulls_are_kept_without_secrets_and_cost_one_small_request_while_nothing_changed(
    child: Child, task: Task, tmp_path: Path
) -> None:
    syncer = Syncer(child.line, child.copy, 300)
    first = syncer.sync()
    assert [one.count for one in first.values()] == [2, 1]
    (copied,) = child.copy.tasks()
    assert (copied.id, copied.autonomous, copied.cron_exp) == (task.id, True, HOURLY)
    assert sorted(copied.feed_ids or ()) == sorted(task.feed_ids) == sorted(child.copy.feed_ids())
    stored = b"".join(path.read_bytes() for path in (tmp_path / "child").glob("copy.db*"))
    assert b"hooks.example.com" not in stored
    again = syncer.sync()
    assert [one.unchanged for one in again.values()] == [True, True]
    child.road.is_cut = True
    with pytest.raises(ParentAway):
        syncer.sync()
    assert [(one.operation, one.data_count) for one in child.copy.logs()][-2:] == [
        ("sync_tasks", 1),
        ("sync_feeds", 2),
    ]
    assert child.copy.logs()[0].error
    assert row_of(task.engine, Node, task.node_id).synced_at is not None


@on_sqlite
def test_a_child_runs_each_tick_once_while_its_parent_is_away_and_tells_of_it_later(
    child: Child, task: Task
) -> None:
    Syncer(child.line, child.copy, 300).sync()
    child.reach()
    child.lose(minutes=5)
    child.autonomy.turn()
    assert child.journal.entries() == []
    child.lose(minutes=20)
    for _ in range(3):
        child.autonomy.turn()
    (entry,) = child.journal.entries()
    assert is_own(entry.allocation_id)
    assert child.autonomy.run_due(child.clock) == 0
    assert child.copy.begin_tick(task.id, child.clock.replace(second=0), [("a",)]) == []
    assert held(child.journal, child.kept) == ()
    (order,) = child.work({one: FetchResult(drafts("a")) for one in task.feed_ids})
    assert sorted(feed.url for feed in order.feeds) == ["https://example.com/0", "https://example.com/1"]
    child.autonomy.turn()
    assert (child.journal.entries(), len(child.kept.entries())) == ([], 1)
    assert rows_of(task.engine, Article) == []
    child.road.lose = ["report-result"]
    child.reach()
    child.reach()
    assert (child.kept.entries(), child.copy.open_batches()) == ([], [])
    assert building.totals(task.engine) == (2, 2, 2)
    (tick,) = rows_of(task.engine, Tick)
    assert tick.planned_at == child.clock.replace(second=0)
    assert building.counted(task.engine, WorkItem) == {"done": 2}


@on_sqlite
def test_what_a_kill_interrupts_is_run_again_from_the_copy_and_the_journal(child: Child, task: Task) -> None:
    Syncer(child.line, child.copy, 300).sync()
    child.lose(minutes=20)
    # Killed between the copy and the journal.
    made = child.copy.begin_tick(task.id, child.clock.replace(second=0), [tuple(task.feed_ids)])
    child.autonomy.turn()
    assert [entry.allocation_id for entry in child.journal.entries()] == [made[0].id]
    # Killed while a worker had it; its estate is settled without the parent.
    order = child.ledger.begin_next("node:far", "x1", 100)
    assert order is not None
    entry = child.journal.entries()[0]
    assert child.ledger.begin_next("node:far", "x2", 100) is None
    child.ledger.give_back(Lease(entry.allocation_id, 1, "x1"), "signal 9", blames=True)
    assert [one.stage for one in child.journal.entries()] == [CLAIMED]
    assert len(child.work({one: FetchResult(drafts("a")) for one in task.feed_ids})) == 1


@on_sqlite
def test_what_a_warm_stop_leaves_undone_is_collected_later_and_what_was_done_is_kept(
    child: Child, task: Task
) -> None:
    Syncer(child.line, child.copy, 300).sync()
    child.lose(minutes=20)
    child.autonomy.turn()
    order = child.ledger.begin_next("node:far", "x1", 100)
    assert order is not None
    done, left = order.feeds
    item = ItemOutcome(done.item_id, done.feed_id, FetchResult(drafts("a")))
    child.ledger.settle(Outcome(order.allocation_id, 1, "x1", "update", (item,), handed_back=(left.item_id,)))
    (again,) = child.work({left.feed_id: FetchResult(drafts("b"))})
    assert [feed.feed_id for feed in again.feeds] == [left.feed_id]
    child.reach()
    assert building.totals(task.engine) == (2, 2, 2)
    assert len(rows_of(task.engine, Run)) == 1


@on_sqlite
def test_what_a_batch_reported_on_the_way_and_at_its_end_is_one_entry(child: Child, task: Task) -> None:
    Syncer(child.line, child.copy, 300).sync()
    child.lose(minutes=20)
    child.autonomy.turn()
    order = child.ledger.begin_next("node:far", "x1", 100)
    assert order is not None
    for feed, final in zip(order.feeds, (False, True), strict=True):
        item = ItemOutcome(feed.item_id, feed.feed_id, FetchResult(drafts("a")))
        outcome = Outcome(order.allocation_id, 1, "x1", "update", (item,))
        child.ledger.settle(outcome) if final else child.ledger.checkpoint(order, outcome)
    assert len(child.kept.entries()) == 1
    child.reach()
    assert building.totals(task.engine) == (2, 2, 2)


@on_sqlite
def test_no_further_tick_is_run_while_too_much_waits_for_the_parent(
    child: Child, task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    Syncer(child.line, child.copy, 300).sync()
    child.autonomy.limit = OutboxLimit(entries=1)
    child.kept.put(Outcome("tick-a", 1, "x", "update"), final=True)
    child.lose(minutes=20)
    for _ in range(2):
        child.autonomy.turn()
    assert child.journal.entries() == []
    assert caplog.text.count("ALARM") == 1
