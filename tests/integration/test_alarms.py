"""Alarms over a real database: found by looking, opened once, closed by themselves, looked for by one at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, event, insert, text
from sqlalchemy.orm import Session

from backend.dispatch.watching import Vitals, Watching, WatchLimits
from backend.domain.alarms import RULES, Finding, Thresholds, Verdict
from backend.domain.errors import Conflict, NotFound
from backend.domain.identifiers import first_id_of, new_id
from backend.store import alerts, nodes, recovery, retention, signs
from backend.store.columns import now
from backend.store.session import create_engine_for, read, transact
from backend.store.tables import Alert, AlertNotice, Allocation, Node, QueueHealth, Run, Watch, WorkItem
from backend.store.tables import Vitals as VitalsRow
from tests import building
from tests.building import change, row_of, rows_of

LONG_AGO = 1e6
OFF = Thresholds(**{rule.threshold: 0 for rule in RULES})


def watching_of(engine: Engine, folder: Path, redis: Redis | None = None, **limits: Any) -> Watching:
    """What watches, with rules that hold at their defaults."""
    thresholds = limits.pop("thresholds", Thresholds())
    chosen = {"every_seconds": 0.1, "clear_seconds": 0.0} | limits
    return Watching(
        engine, redis, Vitals("test", folder, engine), WatchLimits(**chosen, thresholds=thresholds)
    )


def only(rule: str) -> Thresholds:
    """The default threshold of one rule; the others are off."""
    name = next(one.threshold for one in RULES if one.code == rule)
    return replace(OFF, **{name: getattr(Thresholds(), name)})


def open_rules(engine: Engine) -> set[tuple[str, str]]:
    found, _ = read(engine, lambda session: alerts.list_alerts(session, state="open", limit=500))
    return {(one.rule, one.subject) for one in found}


def parent(engine: Engine, **values: Any) -> None:
    node_id = transact(engine, lambda session: nodes.ensure_parent(session).id)
    change(engine, Node, node_id, **values)


def settled(engine: Engine, count: int) -> None:
    """Allocations that took a second each."""
    building.make_world(engine, 1)
    row = {"kind": "update", "queue": "node:n", "node_id": "n", "state": "completed", "reason": "", "error_code": "", "error_message": "", "feed_ids": []}  # fmt: skip
    rows = [row | {"id": new_id()} for _ in range(count)]
    transact(engine, lambda session: session.execute(insert(Allocation), rows))
    change(engine, Allocation, started_at=now(-100), ended_at=now(-99))


def executing(engine: Engine, seconds: float) -> None:
    building.begin(building.make_world(engine, 1))
    [running] = building.allocation_ids(engine, "executing")
    change(engine, Allocation, running, started_at=now(-seconds))


def slow(engine: Engine) -> None:
    settled(engine, 30)
    [pending] = building.allocation_ids(engine)
    change(engine, Allocation, pending, state="executing", started_at=now(-60), ended_at=None)


def pending(engine: Engine, seconds: float, **node: Any) -> None:
    world = building.make_world(engine, 1)
    change(engine, Allocation, updated_at=now(-seconds))
    change(engine, Node, world.node_id, presence_at=now(), **node)


def failing(engine: Engine) -> None:
    building.make_world(engine, 10)
    change(engine, WorkItem, state="failed")


def process(engine: Engine, used: int, free: int) -> None:
    report = signs.Report(new_id(), "beat[1] on m", "m", used, 15, free, 100)
    transact(engine, lambda session: signs.report(session, report))


def stopped(engine: Engine) -> None:
    building.make_node(engine)
    row = {"queue": "node:n", "canary": new_id()}
    transact(engine, lambda session: session.execute(insert(QueueHealth), [row]))
    change(
        engine,
        QueueHealth,
        served_at=now(),
        served_since=now(-900),
        canary_since=now(-400),
        canary_sent_at=now(-1),
    )


# By rule: what makes it true, whom it is about, and what ends it.
WORLDS: dict[str, tuple[Callable[[Engine], object], str, Callable[[Engine], object]]] = {
    "alert_work_long": (
        lambda engine: executing(engine, 400), "node:n",
        lambda engine: change(engine, Allocation, state="completed"),
    ),
    "alert_work_slow": (slow, "node:n", lambda engine: change(engine, Allocation, state="completed")),
    "alert_node_offline": (
        lambda engine: building.make_node(engine, presence_at=now(-200)), "n",
        lambda engine: change(engine, Node, presence_at=now()),
    ),
    "alert_queue_unserved": (
        lambda engine: pending(engine, 1, workers_alive=0), "node:n",
        lambda engine: change(engine, Node, workers_alive=1),
    ),
    "alert_queue_late": (
        lambda engine: pending(engine, 400), "node:n",
        lambda engine: change(engine, Allocation, state="completed"),
    ),
    "alert_queue_stopped": (
        stopped, "node:n", lambda engine: change(engine, QueueHealth, canary_settled_at=now()),
    ),
    "alert_outbox_stuck": (
        lambda engine: building.make_node(engine, outbox_entries=3, outbox_oldest_at=now(-400)), "n",
        lambda engine: change(engine, Node, outbox_entries=0, outbox_oldest_at=None),
    ),
    "alert_outbox_dead": (
        lambda engine: building.make_node(engine, outbox_dead=2), "n",
        lambda engine: change(engine, Node, outbox_dead=0),
    ),
    "alert_pool_full": (
        lambda engine: process(engine, 14, 90), "beat[1] on m",
        lambda engine: change(engine, VitalsRow, pool_used=1),
    ),
    "alert_disk_low": (
        lambda engine: process(engine, 0, 5), "m", lambda engine: change(engine, VitalsRow, disk_free=50),
    ),
    "alert_beat_missing": (
        lambda engine: parent(engine, presence_at=None), "beat",
        lambda engine: transact(engine, lambda session: recovery.stamp_pulse(session, "b", 45.0)),
    ),
    "alert_sweeper_missing": (
        lambda engine: transact(engine, lambda session: recovery.stamp_pulse(session, "b", 45.0)), "sweeper",
        lambda engine: transact(engine, recovery.stamp_sweep),
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", WORLDS)
def test_what_is_wrong_opens_one_alert_that_closes_by_itself(
    engine: Engine, tmp_path: Path, rule: str, redis_client: Redis
) -> None:
    make, subject, end = WORLDS[rule]
    watching = watching_of(engine, tmp_path, redis_client, thresholds=only(rule))
    make(engine)
    for _ in range(2):
        watching.last_seldom = float("-inf")
        watching.look(LONG_AGO)
    assert (rule, subject) in open_rules(engine)
    [alert] = [one for one in rows_of(engine, Alert) if one.subject == subject]
    assert alert.seen_count == 2
    end(engine)
    watching.last_seldom = float("-inf")
    watching.look(LONG_AGO)
    assert (rule, subject) not in open_rules(engine)
    [closed] = [one for one in rows_of(engine, Alert) if one.subject == subject]
    assert (closed.open_key, closed.close_reason) == (None, "alert_closed_true")
    assert closed.closed_at is not None


def test_a_run_that_fails_too_often_is_an_alarm_about_its_task_until_a_better_one(
    engine: Engine, tmp_path: Path
) -> None:
    failing(engine)
    task_id = row_of(engine, Run).task_id
    watching = watching_of(engine, tmp_path, thresholds=only("alert_run_failing"))
    watching.look(LONG_AGO)
    assert open_rules(engine) == {("alert_run_failing", task_id)}
    building.start_run(engine, task_id)
    watching.last_seldom = float("-inf")
    watching.look(LONG_AGO)
    assert open_rules(engine) == {("alert_run_failing", task_id)}, "nothing of the new run has ended"
    change(engine, WorkItem, state="done")
    watching.last_seldom = float("-inf")
    watching.look(LONG_AGO)
    assert open_rules(engine) == set()


def test_many_runs_of_other_tasks_do_not_end_the_alarm_about_one(engine: Engine, tmp_path: Path) -> None:
    failing(engine)
    task_id = row_of(engine, Run).task_id
    row = {"task_id": "another", "task_name": "another", "trigger": "cron", "state": "running"}
    others = [row | {"id": new_id()} for _ in range(300)]
    transact(engine, lambda session: session.execute(insert(Run), others))
    watching_of(engine, tmp_path, thresholds=only("alert_run_failing")).look(LONG_AGO)
    assert open_rules(engine) == {("alert_run_failing", task_id)}


@pytest.mark.parametrize("backend", ["mariadb"])
def test_looking_at_the_newest_runs_reads_no_old_ones(engine: Engine, migrated_url: str) -> None:
    failing(engine)
    row = {"task_id": "old", "task_name": "old", "trigger": "cron", "state": "completed"}
    made = datetime.now(UTC) - timedelta(days=2)
    old = [row | {"id": first_id_of(made + timedelta(seconds=one)), "created_at": made} for one in range(500)]
    transact(engine, lambda session: session.execute(insert(Run), old))

    def rows_read(session: Session) -> int:
        assert len(signs.run_signs(session, 1)) == 1
        found = session.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'")).all()
        return sum(int(value) for _, value in found)

    fresh = create_engine_for(migrated_url, pooled=False)
    assert read(fresh, rows_read) < 200


def test_default_without_workers_is_an_alarm_even_when_nothing_waits(engine: Engine, tmp_path: Path) -> None:
    parent(engine, presence_at=None)
    watching = watching_of(engine, tmp_path, thresholds=only("alert_queue_unserved"))
    watching.look(30.0)
    assert open_rules(engine) == set(), "nothing lasts longer than somebody has watched"
    watching.look(60.0)
    assert open_rules(engine) == {("alert_queue_unserved", "default")}


def verdict(*subjects: str, judged: bool = True) -> Verdict:
    rule = "alert_node_offline"
    findings = tuple(Finding(rule, one, "critical", {"name": one, "seconds": 200}) for one in subjects)
    return Verdict(findings, frozenset({rule} if judged else ()))


def test_an_alert_stays_open_until_it_has_not_been_true_for_a_while(engine: Engine) -> None:
    transact(engine, lambda session: alerts.apply_verdict(session, verdict("a"), 30.0))
    assert transact(engine, lambda session: alerts.apply_verdict(session, verdict(), 30.0)) == ([], 0)
    change(engine, Alert, opened_at=now(-31), seen_at=None)
    assert transact(engine, lambda session: alerts.apply_verdict(session, verdict("a"), 30.0)) == ([], 0)
    assert transact(engine, lambda session: alerts.apply_verdict(session, verdict(), 30.0)) == ([], 0)
    change(engine, Alert, seen_at=now(-31))
    assert transact(engine, lambda session: alerts.apply_verdict(session, verdict(), 30.0)) == ([], 1)


def test_alerts_of_rules_that_could_not_be_judged_and_of_no_rule_stay(engine: Engine) -> None:
    transact(engine, lambda session: alerts.open_alert(session, "alert_feed_gone", "f"))
    transact(engine, lambda session: alerts.apply_verdict(session, verdict("a"), 0.0))
    transact(engine, lambda session: alerts.apply_verdict(session, verdict(judged=False), 0.0))
    assert open_rules(engine) == {("alert_feed_gone", "f"), ("alert_node_offline", "a")}
    transact(engine, lambda session: alerts.apply_verdict(session, verdict(), 0.0))
    assert open_rules(engine) == {("alert_feed_gone", "f")}


def test_many_that_judge_at_once_open_each_alert_once(engine: Engine) -> None:
    subjects = [f"n-{number}" for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda _: transact(engine, lambda session: alerts.apply_verdict(session, verdict(*subjects), 30.0)), range(8)):  # fmt: skip
            pass
    assert sorted(one.subject for one in rows_of(engine, Alert)) == sorted(subjects)


def test_of_many_that_want_to_look_one_does_in_each_interval(engine: Engine) -> None:
    transact(engine, lambda session: signs.take_turn(session, 10.0))
    change(engine, Watch, turn_at=now(-11), since=now(-100))
    with ThreadPoolExecutor(4) as pool:
        turns = list(pool.map(lambda _: transact(engine, lambda session: signs.take_turn(session, 10.0)), range(8)))  # fmt: skip
    [watched] = [one for one in turns if one is not None]
    assert 100 <= watched < 200


# A database that restarts is away for less than a minute; nobody could say of any part that it lives.
@pytest.mark.parametrize("seconds", [45, 3600])
def test_after_a_time_in_which_nobody_watched_everything_gets_its_time_anew(
    engine: Engine, seconds: int
) -> None:
    transact(engine, lambda session: signs.take_turn(session, 10.0))
    change(engine, Watch, turn_at=now(-seconds), since=now(-7200))
    assert transact(engine, lambda session: signs.take_turn(session, 10.0)) == pytest.approx(0.0, abs=5.0)


@pytest.mark.parametrize("rule", ["alert_work_long", "alert_work_slow", "alert_node_offline", "alert_queue_late", "alert_outbox_stuck"])  # fmt: skip
def test_what_is_old_because_nothing_ran_meanwhile_is_no_alarm(
    engine: Engine, tmp_path: Path, rule: str
) -> None:
    watching = watching_of(engine, tmp_path, thresholds=only(rule))
    WORLDS[rule][0](engine)
    watching.look(5.0)
    assert open_rules(engine) == set()
    watching.last_seldom = float("-inf")
    watching.look(LONG_AGO)
    assert {found for found, _ in open_rules(engine)} == {rule}


def test_somebody_acknowledges_an_open_alert(engine: Engine) -> None:
    transact(engine, lambda session: alerts.open_alert(session, "alert_feed_gone", "f"))
    alert_id = row_of(engine, Alert).id
    for words in ("looking", "mending"):
        seen = transact(engine, lambda session, words=words: alerts.acknowledge(session, alert_id, "ana", words))  # type: ignore[misc]  # fmt: skip
        assert (seen.acknowledged_by, seen.note) == ("ana", words)
    assert row_of(engine, Alert).acknowledged_at is not None
    transact(engine, lambda session: alerts.close_alerts(session, "f", "alert_feed_gone"))
    with pytest.raises(Conflict):
        transact(engine, lambda session: alerts.acknowledge(session, alert_id, "ana", ""))
    with pytest.raises(NotFound):
        transact(engine, lambda session: alerts.acknowledge(session, "nobody", "ana", ""))


def test_a_process_tells_of_its_pool_what_it_used_all_the_time(engine: Engine, tmp_path: Path) -> None:
    vitals = Vitals("beat", tmp_path, engine)
    if vitals.look().pool_size == 0:
        # SQLite: there is no pool, and nothing to tell.
        assert vitals.look().pool_used == 0
        return
    with engine.connect(), engine.connect():
        reports = [vitals.look() for _ in range(2)]
    with engine.connect():
        reports.append(vitals.look())
    assert [one.pool_used for one in reports] == [0, 0, 1]
    assert reports[0].pool_size == 15
    assert 0 < reports[0].disk_free < reports[0].disk_total


def test_the_looks_of_one_pass_are_as_many_for_two_hundred_nodes_as_for_two(
    engine: Engine, tmp_path: Path, redis_client: Redis
) -> None:
    counts = []
    watching = watching_of(engine, tmp_path, redis_client)
    for wanted in (2, 200):
        add_nodes(engine, wanted)
        # The first look makes the rows of the queues, and sends canaries.
        watching.look(LONG_AGO)
        change(engine, QueueHealth, canary_sent_at=now(-100))
        watching.last_seldom = float("-inf")
        counts.append(statements(engine, lambda: watching.look(LONG_AGO)))
    assert counts[1] <= counts[0] + 2, counts


def add_nodes(engine: Engine, count: int) -> None:
    known = len(rows_of(engine, Node))
    row = {"transport": "attached", "description": "", "api_url": "", "feed_quota": {}, "kinds": ["update"], "workers_alive": 1, "instance": "i", "version": "", "sources": None}  # fmt: skip
    rows = [row | {"id": f"n-{one}", "name": f"n-{one}", "slug": f"n-{one}"} for one in range(known, count)]
    transact(engine, lambda session: session.execute(insert(Node), rows))
    change(engine, Node, presence_at=now())
    transact(engine, lambda session: recovery.stamp_pulse(session, "b", 45.0))
    transact(engine, recovery.stamp_sweep)


def statements(engine: Engine, work: Callable[[], object]) -> int:
    """How many statements the work executes."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    work()
    event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_closed_alerts_take_their_messages_along_when_they_are_forgotten(engine: Engine) -> None:
    transact(engine, lambda session: alerts.open_alert(session, "alert_feed_gone", "f"))
    alert_id = row_of(engine, Alert).id
    notice = {"id": new_id(), "alert_id": alert_id, "kind": "opened", "round": 1, "receiver": "bark:1"}
    transact(engine, lambda session: session.execute(insert(AlertNotice), [notice]))
    change(engine, Alert, closed_at=now(-100), open_key=None)
    transact(engine, lambda session: retention.forget(session, retention.ALERTS, 50.0, [alert_id]))
    assert (rows_of(engine, Alert), rows_of(engine, AlertNotice)) == ([], [])
