"""Dispatching and allocations over HTTP."""

from __future__ import annotations

import pytest
from redis import Redis
from sqlalchemy.orm import Session

from backend.domain.identifiers import new_id
from backend.store import nodes
from backend.store.session import transact
from tests.integration.api.harness import Api, add_feed, add_task, data, field_errors

PREFIXES = ["/api/v1/cascade", "/api/v1/wx/cascade"]
SEED_FIELDS = {
    "allocation_id",
    "node_id",
    "node_name",
    "task_id",
    "feed_ids",
    "status",
    "created_at",
    "updated_at",
}


def add_node(api: Api, name: str) -> str:
    """A node that is online."""

    def work(session: Session) -> str:
        node = nodes.ensure_attached(session, name)
        nodes.beat(session, node.id, new_id(), workers_alive=1, version="test")
        return str(node.id)

    return transact(api.engine, work)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_dispatch_without_nodes_says_what_waits_and_why(api: Api, prefix: str) -> None:
    admin = api.as_role("admin")
    feeds = [add_feed(admin, f"https://example.com/{n}") for n in range(3)]
    task_id = add_task(admin, feeds, name="Morning")
    answer = admin.post(f"{prefix}/dispatch-task?task_id={task_id}")
    report = data(answer)
    assert answer.get_json()["code"] == 200
    assert [(task["id"], task["name"], task["mp_count"]) for task in report["tasks"]] == [
        (task_id, "Morning", 3)
    ]
    assert (report["online_nodes"], report["task_count"]) == (0, 1)
    assert (report["allocations_created"], report["items_waiting"]) == (0, 3)
    assert "node" in report["reason"]


def test_a_dispatch_gives_work_to_nodes_and_wakes_them(api_with_redis: Api, redis_client: Redis) -> None:
    api = api_with_redis
    admin = api.as_role("admin")
    node_id = add_node(api, "beijing-1")
    feed_id = add_feed(admin)
    task_id = add_task(admin, [feed_id])
    report = data(admin.post(f"/api/v1/cascade/dispatch-task?task_id={task_id}"))
    assert (report["online_nodes"], report["allocations_created"], report["items_waiting"]) == (1, 1, 0)
    assert redis_client.llen("rq:queue:node:beijing-1") == 1
    answer = admin.get("/api/v1/cascade/allocations")
    listed = data(answer)
    assert answer.get_json()["code"] == 200
    assert listed["total"] == 1
    allocation = listed["list"][0]
    assert allocation.keys() >= SEED_FIELDS
    assert (allocation["node_id"], allocation["node_name"]) == (node_id, "beijing-1")
    assert (allocation["task_id"], allocation["feed_ids"]) == (task_id, [feed_id])
    assert (allocation["status"], allocation["kind"]) == ("pending", "update")
    assert allocation["created_at"].endswith("Z")


def test_without_redis_the_work_is_committed_and_starts_later(api: Api) -> None:
    admin = api.as_role("admin")
    add_node(api, "beijing-1")
    add_task(admin, [add_feed(admin)])
    report = data(admin.post("/api/v1/cascade/dispatch-task"))
    assert (report["allocations_created"], report["items_waiting"]) == (1, 0)


def test_allocations_are_filtered_and_paged(api: Api) -> None:
    admin = api.as_role("admin")
    beijing = add_node(api, "beijing-1")
    tasks = [add_task(admin, [add_feed(admin, f"https://example.com/{n}")]) for n in range(2)]
    for task_id in tasks:
        data(admin.post(f"/api/v1/cascade/dispatch-task?task_id={task_id}"))

    def listed(query: str) -> tuple[list[str], int]:
        found = data(admin.get(f"/api/v1/cascade/allocations?{query}"))
        return [one["task_id"] for one in found["list"]], found["total"]

    assert listed("") == (tasks[::-1], 2)
    assert listed(f"task_id={tasks[0]}") == ([tasks[0]], 1)
    assert listed(f"node_id={beijing}&status=pending") == (tasks[::-1], 2)
    assert listed("node_id=nobody") == ([], 0)
    assert listed("status=completed") == ([], 0)
    assert listed("kind=deliver") == ([], 0)
    assert listed("kind=all&limit=1&offset=1") == ([tasks[0]], 2)
    assert listed("task_id=&node_id=&status=") == (tasks[::-1], 2)


def test_every_enabled_task_is_dispatched_when_none_is_named(api: Api) -> None:
    admin = api.as_role("admin")
    add_feed(admin)
    enabled = add_task(admin)
    add_task(admin, enabled=False)
    report = data(admin.post("/api/v1/cascade/dispatch-task"))
    assert [task["id"] for task in report["tasks"]] == [enabled]


def test_with_no_enabled_task_there_is_nothing_to_dispatch(api: Api) -> None:
    answer = api.as_role("admin").post("/api/v1/cascade/dispatch-task")
    assert data(answer, 409) == {"error": "no_enabled_task"}


def test_a_task_that_does_not_exist_is_not_dispatched(api: Api) -> None:
    answer = api.as_role("admin").post("/api/v1/cascade/dispatch-task?task_id=nothing")
    assert data(answer, 404) == {"error": "not_found"}


def test_an_empty_task_id_is_a_mistake_and_does_not_mean_every_task(api: Api) -> None:
    admin = api.as_role("admin")
    add_task(admin, [add_feed(admin)])
    assert list(field_errors(admin.post("/api/v1/cascade/dispatch-task?task_id="))) == ["task_id"]
    assert data(admin.get("/api/v1/cascade/allocations"))["total"] == 0


@pytest.mark.parametrize("query", ["status=dancing", "kind=everything", "limit=ten", "page=2"])
def test_filters_that_make_no_sense_are_refused(api: Api, query: str) -> None:
    answer = api.as_role("viewer").get(f"/api/v1/cascade/allocations?{query}")
    assert list(field_errors(answer)) == [query.partition("=")[0]]
