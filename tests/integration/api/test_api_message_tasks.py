"""Message tasks over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from backend.store.session import read, transact
from backend.store.tables import MessageTask, MessageTaskFeed
from tests.integration.api.harness import Api, add_feed, add_task, data, field_errors

TASKS = "/api/v1/message-tasks"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SECRETS: dict[str, Any] = {
    "message_type": 1,
    "web_hook_url": "https://hooks.example.com/secret-path?token=secret-token",
    "headers": {"X-Token": "secret-header"},
    "cookies": "session=secret-cookie",
}


def age(api: Api) -> None:
    """Pretend that everything began long ago, so that a fresh baseline shows."""
    transact(
        api.engine,
        lambda session: [
            session.execute(update(table).values(baseline_at=LONG_AGO))
            for table in (MessageTask, MessageTaskFeed)
        ],
    )


def task_baseline(api: Api) -> datetime | None:
    return read(api.engine, lambda session: session.scalar(select(MessageTask.baseline_at)))


def feed_baselines(api: Api) -> dict[str, datetime]:
    query = select(MessageTaskFeed.feed_id, MessageTaskFeed.baseline_at)
    return read(api.engine, lambda session: {row.feed_id: row.baseline_at for row in session.execute(query)})


def test_only_a_name_and_feeds_are_needed(admin: FlaskClient) -> None:
    task = data(admin.post(TASKS, json={"name": " By hand ", "feed_ids": "all"}))
    assert task["name"] == "By hand"
    assert task["feed_ids"] == "all"
    assert (task["message_type"], task["cron_exp"], task["time_zone"]) == (0, "", "UTC")
    assert task["enabled"] is True
    assert data(admin.get(f"{TASKS}/{task['id']}")) == task


def test_every_field_comes_back_as_it_was_sent(admin: FlaskClient) -> None:
    feed_id = add_feed(admin)
    body = {
        "name": "Morning",
        "feed_ids": [feed_id, feed_id],
        "message_type": 1,
        "message_template": '{"n": {{ articles|length }}}',
        "web_hook_url": "https://hooks.example.com/x",
        "headers": '{"X-Token": "abc"}',
        "cookies": "a=1; b=2",
        "cron_exp": "0  9 * * 1-5",
        "time_zone": "Asia/Shanghai",
        "enabled": False,
    }
    task = data(admin.post(TASKS, json=body))
    assert task["feed_ids"] == [feed_id]
    assert task["cron_exp"] == "0 9 * * 1-5"
    assert task["receiver_kind"] == "webhook"
    for name in ("message_template", "web_hook_url", "headers", "cookies", "time_zone", "enabled"):
        assert task[name] == body[name], name


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"feed_ids": []}, "feed_ids"),
        ({"feed_ids": "some"}, "feed_ids"),
        ({"feed_ids": ["no-such-feed"]}, "feed_ids"),
        ({"feed_ids": ["é"]}, "feed_ids.0"),
        ({"feed_ids": None}, "feed_ids"),
        ({"message_type": 2}, "message_type"),
        ({"message_template": "{% for %}"}, "message_template"),
        ({"message_template": "x" * 65_001}, "message_template"),
        ({"message_template": "字" * 30_000}, "message_template"),
        ({"web_hook_url": "not a url"}, "web_hook_url"),
        ({"headers": "[1]"}, "headers"),
        ({"headers": {"X-A": "line\r\nbreak"}}, "headers"),
        ({"headers": {"Host": "elsewhere"}}, "headers"),
        ({"cookies": "a=1\nb=2"}, "cookies"),
        ({"cron_exp": "* * * *"}, "cron_exp"),
        ({"cron_exp": "0 0 30 2 *"}, "cron_exp"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"enabled": "perhaps"}, "enabled"),
        ({"status": 1}, "status"),
    ],
)
def test_what_cannot_be_a_task_is_refused_by_field(
    admin: FlaskClient, changes: dict[str, object], field: str
) -> None:
    answer = admin.post(TASKS, json={"name": "T", "feed_ids": "all", **changes})
    assert list(field_errors(answer)) == [field]
    assert data(admin.get(TASKS))["total"] == 0


def test_every_bad_field_is_named_at_once(admin: FlaskClient) -> None:
    body = {"name": "", "feed_ids": "all", "cron_exp": "x", "time_zone": "x", "cookies": "\n;\x00"}
    assert set(field_errors(admin.post(TASKS, json=body))) == {"name", "cron_exp", "time_zone", "cookies"}


def test_secrets_are_stored_encrypted(api: Api, admin: FlaskClient) -> None:
    add_task(admin, **SECRETS)
    columns = (MessageTask.web_hook_url, MessageTask.headers, MessageTask.cookies, MessageTask.receiver)
    row = read(api.engine, lambda session: session.execute(select(*columns)).one())
    assert all(row)
    assert not [value for value in row if "secret" in value]


def test_secrets_are_clear_to_operators_and_masked_for_viewers(api: Api, admin: FlaskClient) -> None:
    task_id = add_task(admin, **SECRETS)
    clear = data(api.as_role("operator").get(f"{TASKS}/{task_id}"))
    assert clear["web_hook_url"] == SECRETS["web_hook_url"]
    assert clear["headers"] == '{"X-Token": "secret-header"}'
    viewer = api.as_role("viewer")
    for answer in (viewer.get(f"{TASKS}/{task_id}"), viewer.get(TASKS)):
        assert answer.status_code == 200
        assert "secret" not in answer.text
    masked = data(viewer.get(f"{TASKS}/{task_id}"))
    assert masked["web_hook_url"] == "https://hooks.example.com/***"
    assert masked["headers"] == '{"X-Token": "***"}'
    assert masked["cookies"] == "session=***"


def test_the_list_is_newest_first_and_paged(admin: FlaskClient) -> None:
    ids = [add_task(admin, name=f"Task {number}") for number in range(3)]
    page = data(admin.get(f"{TASKS}?limit=2"))
    assert ([task["id"] for task in page["list"]], page["total"]) == (ids[:0:-1], 3)


def test_a_change_keeps_what_it_leaves_out(admin: FlaskClient) -> None:
    feed_id = add_feed(admin)
    task_id = add_task(admin, [feed_id], **SECRETS)
    before = data(admin.get(f"{TASKS}/{task_id}"))
    after = data(admin.put(f"{TASKS}/{task_id}", json={"name": "Renamed"}))
    assert after == before | {"name": "Renamed"}


def test_a_change_is_checked_together_with_what_stays(admin: FlaskClient) -> None:
    task_id = add_task(admin, web_hook_url="bark://api.day.app/somekey")
    answer = admin.put(f"{TASKS}/{task_id}", json={"message_type": 1})
    assert list(field_errors(answer)) == ["web_hook_url"]


def test_a_feed_that_is_new_to_a_task_starts_now(api: Api, admin: FlaskClient) -> None:
    first, second = add_feed(admin, "https://example.com/1"), add_feed(admin, "https://example.com/2")
    task_id = add_task(admin, [first])
    age(api)
    changed = data(admin.put(f"{TASKS}/{task_id}", json={"feed_ids": [first, second]}))
    assert changed["feed_ids"] == sorted([first, second])
    baselines = feed_baselines(api)
    assert baselines[first] == LONG_AGO
    assert baselines[second] > LONG_AGO
    assert task_baseline(api) == LONG_AGO


def test_a_feed_that_left_and_came_back_starts_now(api: Api, admin: FlaskClient) -> None:
    first, second = add_feed(admin, "https://example.com/1"), add_feed(admin, "https://example.com/2")
    task_id = add_task(admin, [first, second])
    admin.put(f"{TASKS}/{task_id}", json={"feed_ids": [first]})
    age(api)
    admin.put(f"{TASKS}/{task_id}", json={"feed_ids": [first, second]})
    assert feed_baselines(api)[second] > LONG_AGO


@pytest.mark.parametrize(
    ("made_with", "change"),
    [
        ({}, {"web_hook_url": "https://hooks.example.com/x"}),
        ({"enabled": False}, {"enabled": True}),
        ({"feed_ids": ["named"]}, {"feed_ids": "all"}),
    ],
)
def test_a_task_that_begins_to_deliver_starts_now(
    api: Api, admin: FlaskClient, made_with: dict[str, object], change: dict[str, object]
) -> None:
    fields: dict[str, object] = {"name": "T", "feed_ids": "all", **made_with}
    if "feed_ids" in made_with:
        fields["feed_ids"] = [add_feed(admin)]
    task_id = data(admin.post(TASKS, json=fields))["id"]
    age(api)
    data(admin.put(f"{TASKS}/{task_id}", json=change))
    baseline = task_baseline(api)
    assert baseline is not None
    assert baseline > LONG_AGO


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Renamed"},
        {"web_hook_url": "https://hooks.example.com/other"},
        {"web_hook_url": ""},
        {"enabled": False},
        {"cron_exp": "0 9 * * *"},
    ],
)
def test_any_other_change_keeps_the_baseline(api: Api, admin: FlaskClient, change: dict[str, object]) -> None:
    task_id = add_task(admin, web_hook_url="https://hooks.example.com/x")
    age(api)
    data(admin.put(f"{TASKS}/{task_id}", json=change))
    assert task_baseline(api) == LONG_AGO


def test_feeds_named_after_all_keep_the_tasks_baseline(api: Api, admin: FlaskClient) -> None:
    feed_id = add_feed(admin)
    task_id = add_task(admin, "all")
    age(api)
    data(admin.put(f"{TASKS}/{task_id}", json={"feed_ids": [feed_id]}))
    assert feed_baselines(api) == {feed_id: LONG_AGO}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_task_that_does_not_exist_is_not_found(admin: FlaskClient, method: str) -> None:
    answer = admin.open(f"{TASKS}/nothing", method=method, json={})
    assert data(answer, 404) == {"error": "not_found"}


def test_a_deleted_task_is_gone_with_its_feeds_list(api: Api, admin: FlaskClient) -> None:
    task_id = add_task(admin, [add_feed(admin)])
    assert data(admin.delete(f"{TASKS}/{task_id}")) is None
    assert data(admin.get(f"{TASKS}/{task_id}"), 404)["error"] == "not_found"
    assert feed_baselines(api) == {}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_remote_node_is_named_to_collect_the_task_by_itself_and_taken_off_again(api: Api) -> None:
    admin = api.as_role("admin")
    node = data(admin.post("/api/v1/cascade/nodes", json={"name": "far"}))
    task_id = add_task(admin, cron_exp="0 * * * *", autonomous_node_id=node["id"])
    assert data(admin.get(f"{TASKS}/{task_id}"))["autonomous_node_id"] == node["id"]
    refused = field_errors(admin.put(f"{TASKS}/{task_id}", json={"autonomous_node_id": "nobody"}))
    assert "is no remote node" in refused["autonomous_node_id"]
    assert data(admin.put(f"{TASKS}/{task_id}", json={"autonomous_node_id": ""}))["autonomous_node_id"] == ""
    data(admin.put(f"{TASKS}/{task_id}", json={"autonomous_node_id": node["id"]}))
    data(admin.delete(f"/api/v1/cascade/nodes/{node['id']}"))
    assert data(admin.get(f"{TASKS}/{task_id}"))["autonomous_node_id"] == ""
