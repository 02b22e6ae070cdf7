"""Schedules on the command line."""

from __future__ import annotations

import json

from sqlalchemy import update

from backend.bootstrap import build_engine, load_settings
from backend.dispatch import scheduler
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import MessageTask
from tests.integration.cli.conftest import Cascade


def add_task(cli: Cascade, name: str = "news", *words: str) -> str:
    return cli.ok("task", "add", "--name", name, "--feeds", "all", "--cron", "30 9 * * 1-5", *words)


def pass_of_a_beat(cli: Cascade) -> int:
    """What a beat does once a tick of every task is due."""
    engine = build_engine(load_settings(data_dir=cli.data_dir), pooled=False)
    try:
        transact(engine, lambda session: session.execute(update(MessageTask).values(next_fire_at=now(-1))))
        return scheduler.fire_due(engine)
    finally:
        engine.dispose()


def test_the_list_shows_the_schedule_in_words_and_its_next_three_times(cli: Cascade) -> None:
    add_task(cli, "news", "--time-zone", "Asia/Shanghai", "--overlap", "skip")
    [row] = cli.rows("task", "list")
    assert row["schedule_in_words"] == "At 09:30, Monday through Friday"
    assert [time[11:] for time in row["next_fire_times"]] == ["01:30:00+00:00"] * 3
    assert (row["overlap"], row["paused"]) == ("skip", False)
    assert cli.run("task", "list").stdout.count(" 09:30") == 4
    cli.environment["LANG"] = "zh_CN.UTF-8"
    assert "在 09:30，星期一到星期五" in cli.run("task", "list").stdout


def test_a_paused_task_says_so_skips_its_ticks_and_goes_on(cli: Cascade) -> None:
    task_id = add_task(cli)
    assert "paused" in cli.ok("task", "pause", "news")
    [row] = cli.rows("task", "list")
    assert (row["paused"], row["next_fire_times"]) == (True, [])
    assert pass_of_a_beat(cli) == 0
    cli.ok("task", "resume", task_id)
    assert pass_of_a_beat(cli) == 1
    newest, oldest = cli.rows("task", "ticks", "news")
    assert (oldest["state"], oldest["reason"], oldest["run_id"]) == ("skipped", "the task is paused", None)
    assert (newest["state"], newest["count"], bool(newest["run_id"])) == ("fired", 1, True)
    assert newest["late_seconds"] >= 1


def test_a_task_that_is_not_there_or_not_the_only_one_of_its_name_is_refused(cli: Cascade) -> None:
    assert "There is no message task news" in cli.refusal("task", "ticks", "news")
    add_task(cli)
    add_task(cli)
    assert "Several message tasks are called news" in cli.refusal("task", "pause", "news")


def test_the_scheduler_is_stopped_started_and_reloaded_for_every_beat(cli: Cascade) -> None:
    add_task(cli)
    assert cli.ok("scheduler", "status") == "running"
    assert "stopped by cli since" in cli.ok("scheduler", "stop")
    assert "stopped by cli since" in cli.run("task", "list").stderr
    assert pass_of_a_beat(cli) == 0
    assert "schedules  stopped by cli" in cli.run("status").stdout
    assert json.loads(cli.ok("scheduler", "reload", "--json"))["reloaded_at"]
    assert cli.ok("scheduler", "start") == "running"
    assert pass_of_a_beat(cli) == 1


def test_a_dispatch_says_which_tasks_wait_or_are_left_out(cli: Cascade) -> None:
    cli.ok("feed", "add", "https://a.example/feed.xml")
    waits, left_out = add_task(cli, "waits"), add_task(cli, "left out", "--overlap", "skip")
    first = cli.ok("dispatch").split()
    again = cli.run("dispatch")
    assert again.exit_code == 0
    assert f"waits: its run starts when run {first[0]} has ended" in again.stderr
    assert f"left out was skipped: its run {first[1]} has not ended" in again.stderr
    assert cli.ok("dispatch", "--task", waits) == again.stdout.split()[-1]
    assert "set the task's overlap to queue or allow" in cli.refusal("dispatch", "--task", left_out)


def test_a_remote_node_is_named_to_collect_a_task_by_itself(cli: Cascade) -> None:
    cli.ok("node", "add", "far")
    add_task(cli, "news", "--autonomous-node", "far")
    assert cli.rows("task", "list")[0]["autonomous_node"] == "far"
    assert "No node collects news" in cli.ok("task", "autonomous", "news")
    assert cli.rows("task", "list")[0]["autonomous_node"] == ""
    assert "far collects news" in cli.ok("task", "autonomous", "news", "far")
    assert "There is no node nobody" in cli.refusal("task", "autonomous", "news", "nobody")
    assert cli.rows("task", "list")[0]["autonomous_node"] == "far"
