"""Schedules over HTTP: what tasks show of theirs, pause and resume, ticks, and the scheduler."""

from __future__ import annotations

import itertools
from datetime import datetime

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from backend.api.app import PREFIXES
from backend.dispatch import scheduler
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import MessageTask
from tests.integration.api.harness import Api, add_feed, add_task, data, field_errors

TASKS = "/api/v1/message-tasks"
DISPATCH = "/api/v1/cascade/dispatch-task"


def pass_of_a_beat(api: Api) -> int:
    """What a beat does once a tick of every task is due."""
    transact(api.engine, lambda session: session.execute(update(MessageTask).values(next_fire_at=now(-1))))
    return scheduler.fire_due(api.engine)


def test_a_task_shows_its_schedule_in_words_and_its_next_three_times(api: Api) -> None:
    admin, chinese = api.as_role("admin"), api.as_role("viewer", accept_language="zh-CN")
    task_id = add_task(admin, cron_exp="0 9 * * *", time_zone="Asia/Shanghai")
    task = data(admin.get(f"{TASKS}/{task_id}"))
    assert (task["overlap"], task["paused"]) == ("queue", False)
    assert task["schedule_in_words"] == "At 09:00"
    times = [datetime.fromisoformat(one) for one in task["next_fire_times"]]
    assert [(one.hour, one.minute) for one in times] == [(1, 0)] * 3
    assert [(later - one).days for one, later in itertools.pairwise(times)] == [1, 1]
    assert data(chinese.get(TASKS))["list"][0]["schedule_in_words"] == "在 09:00"


def test_a_task_without_a_schedule_runs_by_hand(admin: FlaskClient) -> None:
    task = data(admin.get(f"{TASKS}/{add_task(admin)}"))
    assert (task["schedule_in_words"], task["next_fire_times"]) == ("By hand", [])


def test_changing_schedule_and_overlap_shows_at_once(admin: FlaskClient) -> None:
    task_id = add_task(admin, cron_exp="0 9 * * *")
    task = data(admin.put(f"{TASKS}/{task_id}", json={"cron_exp": "0 17 * * *", "overlap": "allow"}))
    assert (task["overlap"], task["next_fire_times"][0][11:13]) == ("allow", "17")
    assert data(admin.put(f"{TASKS}/{task_id}", json={"enabled": False}))["next_fire_times"] == []
    assert list(field_errors(admin.put(f"{TASKS}/{task_id}", json={"overlap": "maybe"}))) == ["overlap"]


def test_pausing_stops_the_schedule_and_ticks_tell_what_happened(api: Api) -> None:
    admin, viewer = api.as_role("admin"), api.as_role("viewer")
    task_id = add_task(admin, cron_exp="0 9 * * *")
    paused = data(admin.post(f"{TASKS}/{task_id}/pause"))
    assert (paused["paused"], paused["next_fire_times"]) == (True, [])
    assert pass_of_a_beat(api) == 0
    resumed = data(admin.post(f"{TASKS}/{task_id}/resume"))
    assert (resumed["paused"], len(resumed["next_fire_times"])) == (False, 3)
    assert pass_of_a_beat(api) == 1
    found = data(viewer.get(f"{TASKS}/{task_id}/ticks?limit=1"))
    assert found["total"] == 2
    (tick,) = found["list"]
    assert (tick["state"], tick["count"], tick["reason"]) == ("fired", 1, "")
    assert tick["run_id"]
    assert tick["planned_at"].endswith("Z")


@pytest.mark.parametrize("path", ["pause", "resume"])
def test_a_viewer_may_not_pause_and_nobody_what_is_not_there(api: Api, path: str) -> None:
    task_id = add_task(api.as_role("admin"))
    data(api.as_role("viewer").post(f"{TASKS}/{task_id}/{path}"), 403)
    data(api.as_role("operator").post(f"{TASKS}/nothing/{path}"), 404)
    data(api.as_role("operator").get(f"{TASKS}/nothing/ticks"), 404)


@pytest.mark.parametrize("prefix", PREFIXES.values())
def test_the_scheduler_is_stopped_started_and_reloaded(api: Api, prefix: str) -> None:
    admin, operator = api.as_role("admin"), api.as_role("operator")
    add_task(admin, cron_exp="0 9 * * *")
    stopped = data(admin.post(f"{prefix}/stop-scheduler"))
    assert (stopped["running"], stopped["changed_by"][:5]) == (False, "user ")
    assert data(operator.get(f"{prefix}/scheduler")) == stopped
    assert pass_of_a_beat(api) == 0
    assert api.client().get("/readyz?verbose").get_json()["data"]["scheduler"]["running"] is False
    assert data(admin.post(f"{prefix}/start-scheduler"))["running"] is True
    assert pass_of_a_beat(api) == 1
    reloaded = data(admin.post(f"{prefix}/reload-scheduler"))
    assert (reloaded["planned"], reloaded["reloaded_at"] is not None) == (1, True)
    for verb in ("start", "stop", "reload"):
        data(operator.post(f"{prefix}/{verb}-scheduler"), 403)


def test_a_dispatch_obeys_the_overlap_policy_and_says_so(api: Api) -> None:
    admin = api.as_role("admin")
    add_feed(admin)
    queue, skip = add_task(admin), add_task(admin, overlap="skip")
    first = {one["id"]: one["run_id"] for one in data(admin.post(DISPATCH))["tasks"]}
    again = data(admin.post(DISPATCH))
    assert [(one["id"], one["waits_for"]) for one in again["tasks"]] == [(queue, first[queue])]
    assert [(one["id"], one["open_run_id"]) for one in again["skipped"]] == [(skip, first[skip])]
    answer = admin.post(f"{DISPATCH}?task_id={skip}")
    assert data(answer, 409) == {"error": "run_not_ended"}
    assert "set the task's overlap to queue or allow" in answer.get_json()["message"]
