"""Publish tasks over HTTP: made once, seen by their owners only, and changed only where that makes sense."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.store.tables import PublishTask
from tests.building import change
from tests.integration.api.harness import Api, data
from tests.integration.api.publishing import TASKS, add_account, add_article, article


@pytest.fixture
def author(api: Api) -> FlaskClient:
    """A client of somebody who publishes."""
    return api.as_role("operator")


def status(client: FlaskClient, task_id: str) -> str:
    """The task's status, as its owner sees it."""
    return str(data(client.get(f"{TASKS}/{task_id}"))["status"])


def put(api: Api, task_id: str, state: str, **values: Any) -> None:
    """Put the task into a state, as if it had got there."""
    change(api.engine, PublishTask, task_id, state=state, **values)


def test_a_new_task_waits_and_tells_its_whole_story(author: FlaskClient) -> None:
    account = add_account(author, "my hook")
    more = {"tags": ["a", "b"], "cover": "https://example.com/c.png", "priority": 5}
    task = data(author.get(f"{TASKS}/{add_article(author, account, 'Queues', **more)}"))
    assert (task["status"], task["platform"], task["account_id"]) == ("pending", "webhook", account)
    assert (task["account_name"], task["title"], task["content"]) == ("my hook", "Queues", "About Queues.")
    assert (task["tags"], task["cover"], task["priority"]) == (more["tags"], more["cover"], 5)
    assert task["why"]
    assert [step["to_state"] for step in task["timeline"]] == ["pending"]
    assert (task["result_url"], task["error_code"], task["started_at"]) == ("", "", None)


def test_the_same_article_for_the_same_account_is_taken_once_unless_it_is_forced(author: FlaskClient) -> None:
    account = add_account(author)
    first = add_article(author, account)
    again = author.post(TASKS, json=article(account))
    assert data(again, 409)["existing_id"] == first
    forced = add_article(author, account, force=True)
    assert forced != first
    assert add_article(author, add_account(author, "another"))
    assert add_article(author, account, "Another title")


def test_an_idempotency_key_gives_the_same_task_again(author: FlaskClient) -> None:
    account = add_account(author)
    headers = {"Idempotency-Key": "one-article"}
    first = data(author.post(TASKS, json=article(account), headers=headers))
    assert data(author.post(TASKS, json=article(account), headers=headers)) == first
    assert data(author.get(TASKS))["total"] == 1


# A web hook takes no drafts: what the publisher says is told of the article as a whole.
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"title": " "}, "title"),
    ({"content": ""}, "content"),
    ({"content_format": "rtf"}, "content_format"),
    ({"cover": "cover.png"}, "cover"),
    ({"tags": [""]}, "tags.0"),
    ({"tags": ["x"] * 21}, "tags"),
    ({"priority": 101}, "priority"),
    ({"platform": "zhihu"}, "platform"),
    ({"account_id": "nothing"}, "account_id"),
    ({"draft": True}, "article"),
    ({"unknown": 1}, "unknown"),
]


def test_what_can_not_be_published_is_told_before_anything_is_stored(author: FlaskClient) -> None:
    account = add_account(author)
    for change_of, field in REFUSED:
        answer = author.post(TASKS, json=article(account) | change_of)
        assert list(data(answer, 422)["errors"]) == [field], change_of
    assert data(author.get(TASKS))["total"] == 0


def test_refusals_are_in_the_language_of_whoever_asks(author: FlaskClient) -> None:
    body = article(add_account(author), draft=True)
    answer = author.post(TASKS, json=body, headers={"Accept-Language": "zh"})
    assert "草稿" in " ".join(data(answer, 422)["errors"].values())


def test_a_batch_is_taken_one_by_one(author: FlaskClient) -> None:
    account = add_account(author)
    first = add_article(author, account, "There already")
    batch = [
        article(account, "One"),
        article(account, "One"),
        article(account, "There already"),
        {"title": "Half"},
        article("nothing"),
        article(account, "Two"),
    ]
    done = data(author.post(f"{TASKS}/batch", json={"tasks": batch}))
    assert (done["accepted"], done["refused"]) == (2, 4)
    assert [one["error"] for one in done["list"]] == [
        *("", "publish_duplicate", "publish_duplicate", "invalid_input", "invalid_input", "")
    ]
    assert [one["existing_id"] for one in done["list"][1:3]] == [done["list"][0]["id"], first]
    assert set(done["list"][3]["errors"]) == {"content", "account_id"}
    assert all(one["message"] for one in done["list"] if one["error"])
    listed = data(author.get(TASKS, query_string={"group_id": done["group_id"]}))
    assert {one["id"] for one in listed["list"]} == {done["list"][0]["id"], done["list"][5]["id"]}


def test_one_article_goes_to_several_accounts_and_a_bad_target_never_touches_the_others(
    author: FlaskClient,
) -> None:
    one, other = add_account(author, "one"), add_account(author, "other")
    targets = [
        {"account_id": one},
        {"account_id": "nobody"},
        {"account_id": other, "title": "Other words", "tags": ["b"]},
        {"account_id": one, "platform": "zhihu"},
        {"title": "nowhere"},
    ]
    body = {"title": "Hello", "content": "To everybody.", "tags": ["a"], "targets": targets}
    done = data(author.post(f"{TASKS}/group", json=body))
    assert [bool(one["id"]) for one in done["list"]] == [True, False, True, False, False]
    assert [sorted(one["errors"]) for one in done["list"][1::2]] == [["account_id"], ["platform"]]
    assert list(done["list"][4]["errors"]) == ["account_id"]
    listed = data(author.get(TASKS, query_string={"group_id": done["group_id"]}))["list"]
    assert {one["account_id"]: (one["title"], one["tags"]) for one in listed} == {
        one: ("Hello", ["a"]),
        other: ("Other words", ["b"]),
    }
    first, second = (done["list"][index]["id"] for index in (0, 2))
    assert data(author.post(f"{TASKS}/{first}/cancel"))["status"] == "cancelled"
    assert data(author.get(f"{TASKS}/{second}"))["status"] == "pending"


def test_a_batch_has_one_to_a_hundred_articles(author: FlaskClient) -> None:
    for count in (0, 101):
        many = [article("any", str(number)) for number in range(count)]
        answer = author.post(f"{TASKS}/batch", json={"tasks": many})
        assert list(data(answer, 422)["errors"]) == ["tasks"]


def test_the_list_is_filtered_and_counts_every_status(api: Api, author: FlaskClient) -> None:
    one, other = add_account(author, "one"), add_account(author, "other")
    first, second = add_article(author, one, "First"), add_article(author, one, "Second")
    third = add_article(author, other, "Third")
    put(api, second, "success", result_url="https://example.com/p/2")

    def found(**query: Any) -> list[str]:
        return [task["id"] for task in data(author.get(TASKS, query_string=query))["list"]]

    assert found() == [third, second, first]
    assert found(account_id=one) == [second, first]
    assert found(status="success") == [second]
    assert found(platform="zhihu") == []
    assert found(created_after="2100-01-01T00:00:00Z") == []
    assert found(limit=1, offset=1) == [second]
    listed = data(author.get(TASKS, query_string={"account_id": one}))["list"]
    assert [bool(task["why"]) for task in listed] == [False, True]
    page = data(author.get(TASKS, query_string={"account_id": one, "status": "success"}))
    assert (page["total"], page["totals"]) == (1, {"pending": 1, "success": 1})


def test_owners_see_their_own_and_admins_all(api: Api, author: FlaskClient) -> None:
    account = add_account(author)
    task = add_article(author, account)
    stranger, admin = api.as_role("operator"), api.as_role("admin")
    for method, path in (
        ("GET", ""),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("POST", "/confirm"),
    ):
        body = {"json": {"published": False}} if path == "/confirm" else {}
        answer = stranger.open(f"{TASKS}/{task}{path}", method=method, **body)  # type: ignore[arg-type]
        assert data(answer, 404)["error"] == "not_found", path
    assert data(stranger.get(TASKS))["total"] == 0
    assert data(stranger.post(TASKS, json=article(account)), 422)["errors"].keys() == {"account_id"}
    owner = data(author.get(f"{TASKS}/{task}"))["user_id"]
    assert stranger.get(TASKS, query_string={"user_id": owner}).status_code == 403
    assert stranger.get(f"{TASKS}/limits", query_string={"user_id": owner}).status_code == 403
    assert data(stranger.post(f"{TASKS}/clear", json={"ids": [task]})) == {"deleted": 0, "kept": [task]}
    assert data(admin.get(f"{TASKS}/{task}"))["id"] == task
    assert data(admin.get(TASKS, query_string={"user_id": owner}))["total"] == 1


def test_what_waits_is_cancelled_and_what_has_ended_is_not(api: Api, author: FlaskClient) -> None:
    account = add_account(author)
    for state in ("pending", "held"):
        task = add_article(author, account, state)
        put(api, task, state)
        assert data(author.post(f"{TASKS}/{task}/cancel"))["status"] == "cancelled"
        assert status(author, task) == "cancelled"
    for state in ("success", "failed", "unconfirmed"):
        task = add_article(author, account, state)
        put(api, task, state)
        assert author.post(f"{TASKS}/{task}/cancel").status_code == 409
        assert status(author, task) == state


def test_what_failed_is_tried_again_and_nothing_else(api: Api, author: FlaskClient) -> None:
    account = add_account(author)
    failed = add_article(author, account, "failed")
    put(api, failed, "failed", error_code="rejected", attempts=5)
    assert data(author.post(f"{TASKS}/{failed}/retry"))["status"] == "pending"
    assert status(author, failed) == "pending"
    waiting = add_article(author, account, "waiting")
    assert author.post(f"{TASKS}/{waiting}/retry").status_code == 409


def test_a_person_decides_what_nobody_knows(api: Api, author: FlaskClient) -> None:
    account, address = add_account(author), "https://zhuanlan.zhihu.com/p/1"
    there, again = add_article(author, account, "there"), add_article(author, account, "again")
    for task in (there, again):
        assert author.post(f"{TASKS}/{task}/confirm", json={"published": False}).status_code == 409
        put(api, task, "unconfirmed")
    done = data(author.post(f"{TASKS}/{there}/confirm", json={"published": True, "url": address}))
    assert (done["status"], done["result_url"]) == ("success", address)
    assert data(author.post(f"{TASKS}/{again}/confirm", json={"published": False}))["status"] == "pending"


def test_finished_tasks_are_cleared_by_id_or_state(api: Api, author: FlaskClient) -> None:
    account = add_account(author)
    tasks = {state: add_article(author, account, state) for state in ("success", "failed", "pending")}
    put(api, tasks["success"], "success")
    put(api, tasks["failed"], "failed")
    done = data(author.post(f"{TASKS}/clear", json={"ids": [tasks["success"], tasks["pending"], "nothing"]}))
    assert done == {"deleted": 1, "kept": sorted([tasks["pending"], "nothing"])}
    assert data(author.post(f"{TASKS}/clear", json={"states": ["failed"]}))["deleted"] == 1
    assert [one["id"] for one in data(author.get(TASKS))["list"]] == [tasks["pending"]]
    assert data(author.post(f"{TASKS}/clear", json={}), 422)["error"] == "nothing_to_clear"


def test_a_user_sees_the_limits_and_how_much_of_them_is_used(author: FlaskClient) -> None:
    account = add_account(author)
    add_article(author, account)
    add_article(author, account, "later", scheduled_at="2100-01-01T00:00:00Z")
    found = data(author.get(f"{TASKS}/limits"))
    assert (found["max_in_flight"], found["max_per_minute"]) == (10, 20)
    assert (found["in_flight"], found["admitted_last_minute"], found["submitted_last_day"]) == (0, 0, 0)
    assert found["totals"] == {"pending": 2}
