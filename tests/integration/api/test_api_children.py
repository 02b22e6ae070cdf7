"""WeRSS children over HTTP: every kind that is deployed works to its end, and only who holds work can end it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from backend.dispatch import repairs
from backend.store.cipher import Cipher
from backend.store.columns import now
from backend.store.session import read
from backend.store.tables import (
    Allocation,
    Article,
    Delivery,
    MessageTask,
    Node,
    Result,
    Run,
    SyncLog,
    WorkItem,
)
from tests.building import (
    allocation_ids,
    change,
    counted,
    dispatch,
    expire,
    forget,
    items_of,
    make_feeds,
    make_task,
    row_of,
    rows_of,
    together,
    totals,
)
from tests.integration.api.harness import Api, data, field_errors
from tests.integration.api.playing import article, dispatched, drawn, make_accounts, make_werss

PACKAGE = {
    "allocation_id",
    "task_id",
    "task_name",
    "message_type",
    "message_template",
    "web_hook_url",
    "cron_exp",
    "headers",
    "cookies",
    "feeds",
    "dispatched_at",
}


def lease_left(api: Api, allocation_id: str) -> float:
    """Seconds until the allocation's lease ends, by the database's clock."""

    def look(session: Any) -> float:
        ends, current = session.execute(
            select(Allocation.lease_until, now()).where(Allocation.id == allocation_id)
        ).one()
        return float((ends - current).total_seconds())

    return read(api.engine, look)


def done(api: Api) -> None:
    """The run ends, with every item done and no allocation left open."""
    repairs.close_runs(api.engine)
    assert counted(api.engine, Run) == {"completed": 1}
    assert counted(api.engine, WorkItem) == {"done": len(items_of(api.engine))}
    assert set(counted(api.engine, Allocation)) == {"completed"}


def test_the_old_poller_that_pushes_itself_and_reports_results_only(api: Api) -> None:
    child = make_werss(api)
    task_id, accounts = dispatched(api, 2)
    answer = child.get("/pending-tasks")
    package = data(answer)
    assert (answer.get_json()["code"], package["task_id"]) == (200, task_id)
    assert [feed["id"] for feed in package["feeds"]] == accounts
    result = {
        "mp_name": "公众号",
        "article_count": 10,
        "success_count": 10,
        "timestamp": "2024-01-01T00:00:00",
    }
    first, both = [{"mp_id": accounts[0], **result}], [{"mp_id": one, **result} for one in accounts]
    assert data(child.post("/report-result", {"task_id": task_id, "results": first}))["settled"] == 1
    assert counted(api.engine, WorkItem) == {"done": 1, "assigned": 1}
    assert counted(api.engine, Allocation) == {"executing": 1}
    assert data(child.post("/report-result", {"task_id": task_id, "results": both}))["settled"] == 1
    done(api)
    assert data(child.post("/report-result", {"task_id": task_id, "results": both}))["settled"] == 0
    assert [item.article_count for item in items_of(api.engine)] == [10, 10]
    assert totals(api.engine) == (0, 0, 0)
    listed = data(
        api.as_role("viewer").get(f"/api/v1/cascade/results?task_id={task_id}&node_id={child.node_id}")
    )
    assert listed["total"] == 2
    assert {one["mp_id"] for one in listed["list"]} == set(accounts)
    assert {(one["article_count"], one["success_count"], one["node_name"]) for one in listed["list"]} == {
        (10, 10, "werss")
    }


def test_the_child_that_uploads_does_not_push_and_the_parent_delivers(api: Api) -> None:
    child = make_werss(api)
    _, (feed,) = dispatched(api)
    package = child.claim()
    assert data(child.status(package["allocation_id"], "executing"))["status"] == "executing"
    articles = [article(feed, 1), article(feed, 2), article(feed, 3, status=1000)]
    uploaded = data(child.upload(package["allocation_id"], articles))
    assert (uploaded["received"], uploaded["new_count"]) == (3, 2)
    again = data(child.upload(package["allocation_id"], articles))
    assert (again["received"], again["new_count"]) == (3, 0)
    results = [{"mp_id": feed, "mp_name": "公众号1", "status": "success", "article_count": 2}]
    assert data(child.complete(package, results))["repeated"] is False
    done(api)
    (item,) = items_of(api.engine)
    assert (item.article_count, item.new_article_count) == (2, 2)
    allocation = row_of(api.engine, Allocation)
    assert (allocation.article_count, allocation.new_article_count) == (2, 2)
    assert totals(api.engine) == (2, 1, 2)
    assert row_of(api.engine, Delivery).run_id == item.run_id
    assert {one.id for one in rows_of(api.engine, Article)} == {articles[0]["id"], articles[1]["id"]}


def test_the_child_that_pushes_does_not_upload_and_the_parent_delivers_nothing(api: Api) -> None:
    child = make_werss(api)
    _, accounts = dispatched(api, 2)
    package = child.claim()
    data(child.status(package["allocation_id"], "executing"))
    results = [
        {
            "feed_id": one,
            "mp_name": "公众号",
            "success": True,
            "article_count": 5,
            "new_article_count": 1,
            "error": None,
        }
        for one in accounts
    ]
    data(child.complete(package, results))
    done(api)
    assert totals(api.engine) == (0, 0, 0)
    assert row_of(api.engine, Allocation).article_count == 10


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_package_has_the_fields_of_the_seeds_and_nothing_else(api: Api) -> None:
    child = make_werss(api)
    (feed,) = make_accounts(api.engine, 1)
    task_id = make_task(api.engine, [feed], url="https://hooks.example.com/x", message_type=1)
    dispatch(api.engine, task_id)
    package = child.claim()
    assert package.keys() == PACKAGE
    assert package["feeds"] == [
        {
            "id": feed,
            "faker_id": "fake",
            "mp_name": "公众号1",
            "mp_cover": "",
            "mp_intro": "",
            "status": 1,
        }
    ]
    assert (package["task_name"], package["message_type"]) == ("T", 1)
    assert package["web_hook_url"] == "https://hooks.example.com/x"
    assert package["dispatched_at"].endswith("Z")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("prefix", ["/api/v1/cascade", "/api/v1/wx/cascade"])
def test_with_nothing_pending_the_answer_is_null_and_counted_but_not_logged(api: Api, prefix: str) -> None:
    child = make_werss(api)
    for answer, code in (
        (child.client.get(f"{prefix}/pending-tasks"), 200),
        (child.client.post(f"{prefix}/claim-task"), 0),
    ):
        assert answer.get_json() == {"code": code, "message": "暂无待处理任务", "data": None}
    assert row_of(api.engine, Node, child.node_id).empty_claims == 2
    assert rows_of(api.engine, SyncLog) == []


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_with_a_limit_pending_tasks_gives_a_list(api: Api) -> None:
    child = make_werss(api)
    for first in (1, 2, 3):
        dispatched(api, 1, first)
    found = data(child.get("/pending-tasks?limit=2"))
    assert [one["feeds"][0]["id"] for one in found] == ["MP_WXS_1", "MP_WXS_2"]
    assert [one["feeds"][0]["id"] for one in data(child.get("/pending-tasks?limit=2"))] == ["MP_WXS_3"]
    assert data(child.get("/pending-tasks?limit=2")) is None
    assert list(field_errors(child.get("/pending-tasks?limit=many"))) == ["limit"]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_work_that_can_not_be_read_is_refused_with_what_to_do_and_can_be_claimed_afterwards(api: Api) -> None:
    child = make_werss(api)
    task_id, _ = dispatched(api)
    before = row_of(api.engine, MessageTask, task_id).headers
    change(api.engine, MessageTask, task_id, headers=Cipher("another key").encrypt("secret"))
    for answer in (child.post("/claim-task"), child.get("/pending-tasks"), child.get("/message-tasks")):
        assert (answer.status_code, answer.get_json()["data"]["error"]) == (503, "wrong_secret_key")
        assert "CASCADE_SECRET_KEY" in answer.get_json()["message"]
    change(api.engine, MessageTask, task_id, headers=before)
    assert child.claim()["task_id"] == task_id


def test_a_repeated_claim_id_gets_the_same_work_and_nothing_once_that_has_ended(api: Api) -> None:
    child = make_werss(api)
    _, (feed,) = dispatched(api)
    dispatched(api, 1, 2)
    first = data(child.post("/claim-task", {"claim_id": "c1"}))
    assert data(child.post("/claim-task", {"claim_id": "c1"})) == first
    data(child.complete(first, [{"mp_id": feed, "status": "success"}]))
    assert data(child.post("/claim-task", {"claim_id": "c1"})) is None
    assert data(child.post("/claim-task", {"claim_id": "c2"}))["feeds"][0]["id"] == "MP_WXS_2"


def test_claims_with_one_id_at_the_same_moment_get_the_same_work(api: Api) -> None:
    child = make_werss(api)
    for first in (1, 2, 3):
        dispatched(api, 1, first)
    found = together(*[lambda: data(child.post("/claim-task", {"claim_id": "c1"}))["allocation_id"]] * 4)
    assert len(set(found)) == 1
    assert counted(api.engine, Allocation) == {"claimed": 1, "pending": 2}


def test_a_node_sees_only_its_own_work(api: Api) -> None:
    child = make_werss(api)
    dispatched(api)
    other = make_werss(api, "other")
    assert other.claim() is None
    package = child.claim()
    for one in (package["allocation_id"], drawn()):
        assert other.status(one, "executing").status_code == 404
        assert other.upload(one, [article("MP_WXS_1")]).status_code == 404
        assert other.complete(package | {"allocation_id": one}, []).status_code == 404
    assert rows_of(api.engine, Article) == []
    assert row_of(api.engine, Allocation).state == "claimed"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_work_that_was_not_claimed_can_not_be_reported(api: Api) -> None:
    child = make_werss(api)
    task_id, (feed,) = dispatched(api)
    package = {"allocation_id": allocation_ids(api.engine)[0], "task_id": task_id}
    answer = child.complete(package, [{"mp_id": feed, "status": "success"}])
    assert data(answer, 409)["error"] == "allocation_not_held"
    assert counted(api.engine, WorkItem) == {"assigned": 1}


def test_every_call_that_names_the_work_renews_its_long_lease(api: Api) -> None:
    child = make_werss(api)
    _, (feed,) = dispatched(api)
    one = child.claim()["allocation_id"]
    assert 1790 < lease_left(api, one) <= 1800
    calls: list[Callable[[], Any]] = [
        lambda: child.status(one, "executing"),
        lambda: child.status(one, "executing"),
        lambda: child.upload(one, [article(feed)]),
        lambda: child.post("/heartbeat", {"running": [one]}),
    ]
    for call in calls:
        change(api.engine, Allocation, one, lease_until=now(5))
        data(call())
        assert lease_left(api, one) > 1790


def test_beats_of_our_own_nodes_renew_nothing(api: Api) -> None:
    child = make_werss(api)
    dispatched(api)
    one = child.claim()["allocation_id"]
    change(api.engine, Allocation, one, lease_until=now(5))
    assert data(child.post("/heartbeat", {"instance": drawn(), "running": [one]}))["stale"] == []
    assert lease_left(api, one) <= 5
    data(child.status(one, "executing"))
    assert 40 < lease_left(api, one) <= 45


def test_lost_work_comes_again_under_a_new_id_and_the_old_report_changes_nothing(api: Api) -> None:
    child = make_werss(api)
    task_id, (feed,) = dispatched(api)
    old = child.claim()
    data(child.status(old["allocation_id"], "executing"))
    expire(api.engine, old["allocation_id"])
    assert repairs.recover_expired(api.engine, 6) == 1
    dispatch(api.engine, make_task(api.engine, make_accounts(api.engine, 1, 7)))
    assert data(child.post("/heartbeat", {"running": [old["allocation_id"]]}))["stale"] == [
        old["allocation_id"]
    ]
    answer = child.complete(old, [{"mp_id": feed, "status": "success", "article_count": 1}])
    refused = data(answer, 409)
    assert refused["error"] == "allocation_not_held"
    assert "lost" in answer.get_json()["message"]
    assert data(child.status(old["allocation_id"], "failed", "x"), 409)["error"] == "allocation_not_held"
    assert data(child.upload(old["allocation_id"], [article(feed)]))["new_count"] == 1
    items = {item.feed_id: item for item in items_of(api.engine)}
    assert (items[feed].state, items[feed].article_count) == ("assigned", 0)
    packages = [child.claim(), child.claim()]
    new = next(one for one in packages if one["task_id"] == task_id)
    assert new["allocation_id"] != old["allocation_id"]
    data(child.complete(new, [{"mp_id": feed, "status": "success", "article_count": 1}]))
    states = {one.id: (one.state, one.error_code) for one in rows_of(api.engine, Allocation)}
    assert states[old["allocation_id"]] == ("failed", "lost")
    assert states[new["allocation_id"]] == ("completed", "")


def test_a_completion_that_is_sent_again_is_a_success_and_changes_nothing(api: Api) -> None:
    child = make_werss(api)
    _, accounts = dispatched(api, 2)
    package = child.claim()
    results: list[dict[str, Any]] = [
        {"mp_id": accounts[0], "mp_name": "A", "status": "success", "article_count": 1},
        {"mp_id": accounts[1], "mp_name": "B", "status": "failed", "error": "freq control"},
    ]
    assert data(child.complete(package, results))["repeated"] is False
    before = [(one.id, one.state, one.attempts) for one in items_of(api.engine)]
    assert data(child.complete(package, results))["repeated"] is True
    assert [(one.id, one.state, one.attempts) for one in items_of(api.engine)] == before
    assert len(rows_of(api.engine, Result)) == 2
    done_item, failed_item = sorted(items_of(api.engine), key=lambda one: one.feed_id)
    assert (done_item.state, failed_item.state, failed_item.error_code) == ("done", "waiting", "child_failed")
    assert "freq control" in failed_item.error_message
    assert row_of(api.engine, Allocation).state == "completed"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_feeds_that_a_completion_does_not_name_have_failed_an_attempt(api: Api) -> None:
    child = make_werss(api)
    _, accounts = dispatched(api, 2)
    data(child.complete(child.claim(), [{"mp_id": accounts[0], "status": "success"}]))
    states = {one.feed_id: (one.state, one.error_code) for one in items_of(api.engine)}
    assert states == {accounts[0]: ("done", ""), accounts[1]: ("waiting", "no_result")}


def test_work_that_a_child_gives_up_fails_with_its_words_and_comes_again(api: Api) -> None:
    child = make_werss(api)
    dispatched(api)
    one = child.claim()["allocation_id"]
    data(child.status(one, "executing"))
    assert data(child.status(one, "failed", "数据库锁定"))["repeated"] is False
    assert data(child.status(one, "failed", "数据库锁定"))["repeated"] is True
    allocation, (item,) = row_of(api.engine, Allocation), items_of(api.engine)
    assert (allocation.state, allocation.error_code) == ("failed", "child_failed")
    assert "数据库锁定" in allocation.error_message
    assert (item.state, item.attempts, item.allocation_id) == ("waiting", 1, None)
    assert "数据库锁定" in item.error_message
    assert data(child.status(one, "completed"), 409)["error"] == "allocation_not_held"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_failure_is_heard_however_long_its_story_is(api: Api) -> None:
    child = make_werss(api)
    dispatched(api)
    one = child.claim()["allocation_id"]
    assert data(child.status(one, "failed", "错误" * 50_000))["status"] == "failed"
    assert row_of(api.engine, Allocation).state == "failed"


def test_work_that_a_child_calls_completed_is_done_as_a_whole(api: Api) -> None:
    child = make_werss(api)
    dispatched(api, 2)
    one = child.claim()["allocation_id"]
    assert data(child.status(one, "completed"))["repeated"] is False
    done(api)
    assert data(child.status(one, "completed"))["repeated"] is True


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_another_attempt_is_refused(api: Api) -> None:
    child = make_werss(api)
    dispatched(api)
    one = child.claim()["allocation_id"]
    body = {"allocation_id": one, "status": "executing", "attempt": 2}
    answer = child.client.put("/api/v1/cascade/task-status", json=body)
    assert data(answer, 409)["error"] == "stale_attempt"
    assert row_of(api.engine, Allocation).state == "claimed"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_results_of_work_that_was_claimed_otherwise_are_kept_and_settle_nothing(api: Api) -> None:
    child = make_werss(api)
    task_id, (feed,) = dispatched(api)
    child.claim()
    report = {"task_id": task_id, "results": [{"mp_id": feed, "article_count": 3}], "timestamp": "x"}
    assert data(child.post("/report-result", report)) == {"received": 1, "settled": 0}
    assert (len(rows_of(api.engine, Result)), counted(api.engine, WorkItem)) == (1, {"assigned": 1})


def test_a_failed_feed_of_an_old_poller_is_tried_again_and_its_allocation_ends(api: Api) -> None:
    child = make_werss(api)
    task_id, (feed,) = dispatched(api)
    data(child.get("/pending-tasks"))
    result = {"mp_id": feed, "status": "failed", "error": "timeout", "timestamp": "2024-01-01T00:00:00"}
    assert data(child.post("/report-result", {"task_id": task_id, "results": [result]}))["settled"] == 1
    assert counted(api.engine, Allocation) == {"completed": 1}
    (item,) = items_of(api.engine)
    assert (item.state, item.attempts, item.error_code) == ("waiting", 1, "child_failed")


def test_of_two_runs_an_old_report_that_is_repeated_does_not_settle_the_second(api: Api) -> None:
    child = make_werss(api)
    task_id, (feed,) = dispatched(api)
    data(child.get("/pending-tasks"))
    report = {"task_id": task_id, "results": [{"mp_id": feed, "article_count": 1, "timestamp": "t1"}]}
    assert data(child.post("/report-result", report))["settled"] == 1
    repairs.close_runs(api.engine)
    dispatch(api.engine, task_id)
    data(child.get("/pending-tasks"))
    assert data(child.post("/report-result", report))["settled"] == 0
    report["results"] = [{"mp_id": feed, "article_count": 1, "timestamp": "t2"}]
    assert data(child.post("/report-result", report))["settled"] == 1
    assert counted(api.engine, Allocation) == {"completed": 2}


def test_articles_that_many_upload_at_once_are_new_once_and_delivered_once(api: Api) -> None:
    child = make_werss(api)
    _, (feed,) = dispatched(api)
    one = child.claim()["allocation_id"]
    articles = [article(feed, number) for number in range(5)]
    found = together(*[lambda: data(child.upload(one, articles))["new_count"]] * 4)
    assert sorted(found) == [0, 0, 0, 5]
    assert totals(api.engine) == (5, 1, 5)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_uploads_of_feeds_that_are_not_of_the_work_are_not_kept(api: Api) -> None:
    child = make_werss(api)
    dispatched(api)
    make_accounts(api.engine, 1, 9)
    one = child.claim()["allocation_id"]
    uploaded = data(child.upload(one, [article("MP_WXS_9"), article("MP_WXS_10")]))
    assert uploaded == {"received": 2, "kept": 0, "new_count": 0}
    assert rows_of(api.engine, Article) == []


def test_an_article_that_comes_again_without_its_content_keeps_it(api: Api) -> None:
    child = make_werss(api)
    _, (feed,) = dispatched(api)
    one = child.claim()["allocation_id"]
    data(child.upload(one, [article(feed)]))
    data(child.upload(one, [article(feed, content=None, title="新标题")]))
    data(child.upload(one, [article(feed, content="DELETED", title="被删")]))
    stored = row_of(api.engine, Article)
    assert (stored.title, stored.content) == ("新标题", "<p>正文</p>")


def test_a_child_hears_of_a_cancel_with_all_that_names_the_work(api: Api) -> None:
    child = make_werss(api)
    _, (feed,) = dispatched(api)
    package = child.claim()
    one = package["allocation_id"]
    assert data(child.status(one, "executing"))["cancel_requested"] is False
    data(api.as_role("admin").post(f"/api/v1/cascade/allocations/{one}/cancel"))
    held = data(child.status(one, "executing"))
    assert (held["status"], held["cancel_requested"]) == ("executing", True)
    assert data(child.post("/heartbeat", {"running": [one]}))["stale"] == [one]
    ended = data(child.complete(package, [{"mp_id": feed, "status": "success", "article_count": 1}]))
    assert ended["status"] == row_of(api.engine, Allocation).state == "cancelled"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_look_at_the_headers_takes_no_work(api: Api) -> None:
    child = make_werss(api)
    dispatched(api)
    assert child.client.head(f"{child.prefix}/pending-tasks").status_code == 200
    assert row_of(api.engine, Allocation).state == "pending"


def test_a_beat_with_odd_texts_fails_nobody(api: Api) -> None:
    child = make_werss(api)
    odd: dict[str, Any] = {
        "version": "😀" * 40,
        "callback_url": "http://😀/文",
        "instance": "i" * 64,
        "sources": ["文", "rss"],
    }
    odd |= {"workers": 10**30, "capacity": -5, "running": ["文", "x" * 64, None]}
    assert data(child.client.post(f"{child.prefix}/heartbeat", data=json.dumps(odd)))["status"] == "alive"
    assert row_of(api.engine, Node, child.node_id).beat_count == 1


def test_a_report_with_odd_texts_is_kept(api: Api) -> None:
    child = make_werss(api)
    _, (feed,) = dispatched(api)
    package = child.claim()
    odd: dict[str, Any] = {
        "mp_id": feed,
        "mp_name": "😀" * 300,
        "success": False,
        "error": "错😀" * 900,
        "timestamp": "昨天😀" * 40,
    }
    odd |= {"article_count": "NaN", "new_article_count": -(10**40)}
    said = {"allocation_id": package["allocation_id"], "results": [odd, {"mp_id": "文"}, {}]}
    assert data(child.post("/report-completion", said))["status"] == "completed"
    assert data(child.post("/report-result", {"task_id": "gone", "results": [odd]}))["settled"] == 0
    assert [one.feed_id for one in rows_of(api.engine, Result)] == [feed, feed]


def test_half_an_emoji_does_not_lose_an_upload(api: Api) -> None:
    child = make_werss(api)
    _, (feed,) = dispatched(api)
    one = child.claim()["allocation_id"]
    # As Python's json writes it: in escapes.
    body = json.dumps({"allocation_id": one, "articles": [article(feed, title="好消息\ud83d")]})
    assert data(child.client.post(f"{child.prefix}/upload-articles", data=body))["new_count"] == 1
    assert row_of(api.engine, Article).title == "好消息?"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_an_upload_may_be_larger_than_other_bodies_but_not_without_end(api: Api) -> None:
    child = make_werss(api)
    _, (feed,) = dispatched(api)
    one = child.claim()["allocation_id"]
    large = [article(feed, number, content="文" * 200_000) for number in range(4)]
    assert data(child.upload(one, large))["new_count"] == 4
    many = child.upload(one, [{}] * 10_001)
    assert list(field_errors(many)) == ["articles"]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", None),
        (b"", "application/x-www-form-urlencoded"),
        (b"callback_url=x", "application/x-www-form-urlencoded"),
        (b"not json", "text/plain"),
        (b"[1]", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"callback_url": 5, "workers": [], "running": "x", "surprise": 1}', "application/json"),
    ],
)
def test_whatever_a_beat_holds_it_is_a_beat(api: Api, body: bytes, content_type: str | None) -> None:
    child = make_werss(api)
    for prefix in ("/api/v1/cascade", "/api/v1/wx/cascade"):
        answer = child.client.post(f"{prefix}/heartbeat", data=body, content_type=content_type)
        assert data(answer)["status"] == "alive"
        assert answer.get_json()["code"] == 0
    assert data(child.get("/heartbeat"))["status"] == "alive"
    node = row_of(api.engine, Node, child.node_id)
    assert (node.beat_count, node.instance, node.callback_url) == (3, "", "")
    assert rows_of(api.engine, SyncLog) == []


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_beat_says_what_the_node_is(api: Api) -> None:
    child = make_werss(api)
    said = {
        "callback_url": "http://child:8001",
        "version": "1.4.9",
        "workers": 3,
        "capacity": 7,
        "instance": "i1",
        "sources": ["wechat", "rss", "rss", 5.5, ""],
    }
    data(child.client.post("/api/v1/cascade/heartbeat", data=json.dumps(said)))
    data(child.post("/heartbeat", {"sources": "rss"}))
    node = row_of(api.engine, Node, child.node_id)
    assert node.sources[-2:] == ["rss", "wechat"]
    assert (node.callback_url, node.version, node.workers_alive) == ("http://child:8001", "1.4.9", 3)
    assert (node.instance, node.reported_capacity, node.beat_count) == ("i1", 7, 2)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_child_gets_no_more_than_its_beats_say_it_has_room_for(api: Api) -> None:
    child = make_werss(api)
    data(child.post("/heartbeat", {"capacity": 2}))
    dispatched(api, 5)
    assert counted(api.engine, WorkItem) == {"assigned": 2, "waiting": 3}


def test_what_is_older_than_its_retention_is_forgotten(api: Api) -> None:
    child = make_werss(api)
    task_id, (feed,) = dispatched(api)
    data(child.get("/pending-tasks"))
    data(child.post("/report-result", {"task_id": task_id, "results": [{"mp_id": feed}]}))
    assert forget(api.engine, sync_log_days=1) == {}
    change(api.engine, SyncLog, completed_at=now(-90_000))
    change(api.engine, Result, created_at=now(-90_000))
    make_werss(api, "other").get("/feeds")
    assert forget(api.engine, sync_log_days=1) == {"sweep_old_sync_logs": 2, "sweep_old_results": 1}
    assert [one.operation for one in rows_of(api.engine, SyncLog)] == ["sync_feeds"]


def test_beats_at_the_same_moment_all_count_and_wrong_pairs_among_them_are_refused(api: Api) -> None:
    ones = [make_werss(api, f"n{number}") for number in range(4)]
    stranger = api.client(authorization="AK-SK CNnobody:CSnothing")
    switched_off = make_werss(api, "off")
    change(api.engine, Node, switched_off.node_id, is_active=False)
    works: list[Any] = [child.post for child in ones for _ in range(3)]
    statuses = together(
        *[lambda post=post: post("/heartbeat").status_code for post in works],
        lambda: stranger.post("/api/v1/cascade/heartbeat").status_code,
        lambda: switched_off.post("/heartbeat").status_code,
    )
    assert statuses == [200] * 12 + [401, 403]
    assert data(stranger.post("/api/v1/cascade/heartbeat"), 401)["error"] == "dead_key"
    assert [row_of(api.engine, Node, child.node_id).beat_count for child in ones] == [3] * 4


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_people_can_not_beat_or_claim_and_nodes_can_not_read_reports(api: Api) -> None:
    admin, child = api.as_role("admin"), make_werss(api)
    for answer in (
        admin.post("/api/v1/cascade/heartbeat"),
        admin.post("/api/v1/cascade/claim-task"),
        admin.get("/api/v1/cascade/pending-tasks"),
        child.client.get("/api/v1/cascade/results"),
        child.client.get("/api/v1/cascade/sync-logs"),
    ):
        assert answer.status_code == 403
    wrong = api.client(authorization=f"AK-SK {child.pair.api_key}:CSwrong")
    assert wrong.post("/api/v1/cascade/claim-task").status_code == 401


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_feeds_are_a_plain_list_of_what_a_werss_child_can_collect(api: Api) -> None:
    child = make_werss(api)
    make_accounts(api.engine, 2)
    make_feeds(api.engine, 1)
    answer = child.get("/feeds")
    found = data(answer)
    assert [one["id"] for one in found] == ["MP_WXS_1", "MP_WXS_2"]
    assert found[0].keys() == {
        "id",
        "faker_id",
        "mp_name",
        "mp_cover",
        "mp_intro",
        "status",
        "created_at",
        "updated_at",
        "kind",
        "url",
    }
    assert (found[0]["faker_id"], found[0]["status"]) == ("fake", 1)
    unchanged = child.get("/feeds", If_None_Match=answer.headers["ETag"])
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    make_accounts(api.engine, 1, 3)
    assert len(data(child.get("/feeds", If_None_Match=answer.headers["ETag"]))) == 3
    assert row_of(api.engine, Node, child.node_id).synced_at is not None
    data(child.post("/heartbeat", {"instance": "i1"}))
    assert len(data(child.get("/feeds"))) == 4


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_message_tasks_are_a_plain_list_with_feeds_as_json_text(api: Api) -> None:
    child = make_werss(api)
    accounts, (rss,) = make_accounts(api.engine, 2), make_feeds(api.engine, 1)
    named = make_task(api.engine, [*accounts, rss])
    everything = make_task(api.engine, "all")
    make_task(api.engine, [rss])
    make_task(api.engine, accounts, enabled=False)
    answer = child.get("/message-tasks")
    found = {one["id"]: one for one in data(answer)}
    assert found.keys() == {named, everything}
    assert [one["id"] for one in json.loads(found[named]["mps_id"])] == accounts
    assert json.loads(found[everything]["mps_id"]) == []
    assert {one["status"] for one in found.values()} == {1}
    assert found[named]["web_hook_url"] == "https://hooks.example.com/x"
    assert found[named].keys() == {
        "id",
        "name",
        "message_type",
        "message_template",
        "web_hook_url",
        "mps_id",
        "cron_exp",
        "status",
        "headers",
        "cookies",
        "created_at",
        "updated_at",
        "time_zone",
        "autonomous",
        "paused",
    }
    assert child.get("/message-tasks", If_None_Match=answer.headers["ETag"]).status_code == 304


def test_what_moved_or_failed_is_in_the_sync_logs(api: Api) -> None:
    child = make_werss(api)
    _, (feed,) = dispatched(api)
    package = child.claim()
    data(child.upload(package["allocation_id"], [article(feed)]))
    data(child.complete(package, [{"mp_id": feed, "status": "success", "article_count": 1}]))
    assert child.status(drawn(), "executing").status_code == 404
    viewer = api.as_role("viewer")
    listed = data(viewer.get(f"/api/v1/cascade/sync-logs?node_id={child.node_id}"))
    assert [
        (one["operation"], one["direction"], one["status"], one["data_count"]) for one in listed["list"]
    ] == [
        ("task_status", "push", 2, 0),
        ("task_completion", "push", 1, 1),
        ("upload_articles", "push", 1, 1),
        ("claim_task", "pull", 1, 1),
    ]
    assert listed["list"][0]["error_message"]
    assert listed["list"][2]["extra_data"] == {"allocation_id": package["allocation_id"], "new_count": 1}
    assert all(one["started_at"] <= one["completed_at"] for one in listed["list"])
    assert data(viewer.get("/api/v1/cascade/sync-logs?operation=claim_task&limit=50"))["total"] == 1
    assert data(viewer.get("/api/v1/cascade/sync-logs?status=2"))["total"] == 1
    assert data(viewer.get("/api/v1/cascade/sync-logs?direction=pull&node_id=nobody"))["total"] == 0
