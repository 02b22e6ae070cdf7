"""Allocations over HTTP: filtered, paged, told, cancelled and tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.domain.identifiers import new_id
from backend.store.tables import Allocation, WorkItem
from tests.building import (
    GONE,
    World,
    allocation_ids,
    begin,
    change,
    counted,
    make_world,
    outcome_of,
    row_of,
)
from tests.integration.api.harness import Api, data, field_errors

CASCADE = "/api/v1/cascade"


def listed(client: FlaskClient, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = data(client.get(f"{CASCADE}/allocations?{query}"))
    return found


def ids_of(page: dict[str, Any]) -> list[str]:
    return [one["allocation_id"] for one in page["list"]]


def fail_first(world: World) -> str:
    order = begin(world)
    world.ledger.settle(outcome_of(order, GONE))
    return order.allocation_id


def test_pages_go_on_by_key_while_new_allocations_arrive(api: Api, viewer: FlaskClient) -> None:
    make_world(api.engine, 5)
    newest_first = allocation_ids(api.engine)[::-1]
    first = listed(viewer, "limit=2")
    assert (ids_of(first), first["total"], first["total_is_exact"]) == (newest_first[:2], 5, True)
    copy_of(api, newest_first[0])
    second = listed(viewer, f"limit=2&cursor={first['next_cursor']}")
    last = listed(viewer, f"limit=2&cursor={second['next_cursor']}")
    assert ids_of(second) + ids_of(last) == newest_first[2:]
    assert last["next_cursor"] is None
    assert ids_of(listed(viewer, "limit=1&offset=1")) == [newest_first[0]]


def copy_of(api: Api, allocation_id: str, **values: Any) -> str:
    row = row_of(api.engine, Allocation, allocation_id)
    columns = {column.name: getattr(row, column.name) for column in Allocation.__table__.columns}
    with api.engine.begin() as connection:
        made = columns | {"id": new_id()} | values
        connection.execute(Allocation.__table__.insert(), made)  # type: ignore[attr-defined]
    return str(made["id"])


def test_allocations_are_found_by_run_and_by_the_time_they_were_made(api: Api, viewer: FlaskClient) -> None:
    world = make_world(api.engine, 2)
    everything = allocation_ids(api.engine)[::-1]
    assert ids_of(listed(viewer, f"run_id={world.run_id}")) == everything
    assert ids_of(listed(viewer, "run_id=another")) == []
    before, after = (datetime.now(UTC) + timedelta(hours=sign) for sign in (-1, 1))
    span = f"created_after={before:%Y-%m-%dT%H:%M:%SZ}&created_before={after:%Y-%m-%dT%H:%M:%SZ}"
    assert ids_of(listed(viewer, span)) == everything
    assert ids_of(listed(viewer, f"created_after={after:%Y-%m-%dT%H:%M:%S}")) == []
    assert ids_of(listed(viewer, f"created_before={before:%Y-%m-%dT%H:%M:%SZ}")) == []


@pytest.mark.parametrize(
    "query", ["offset=10001", "created_after=yesterday", "created_before=0001-01-01T00:00:00Z"]
)
def test_what_makes_no_sense_is_refused_by_field(viewer: FlaskClient, query: str) -> None:
    answer = viewer.get(f"{CASCADE}/allocations?{query}")
    assert list(field_errors(answer)) == [query.partition("=")[0]]


def test_what_has_not_ended_says_why_in_the_asker_s_language(api: Api) -> None:
    world = make_world(api.engine, 2)
    fail_first(world)
    chinese = listed(api.as_role("viewer", accept_language="zh-CN"))["list"]
    assert [one["why"] for one in chinese] == ["等待节点 n 的空闲 worker（运行中 1 个）。", None]
    english = listed(api.as_role("viewer"))["list"]
    assert english[0]["why"] == "It waits for a free worker of the node n, of which 1 run."


def test_an_allocation_tells_its_whole_story(api: Api, viewer: FlaskClient) -> None:
    world = make_world(api.engine, 2, capacity=20)
    allocation_id = fail_first(world)
    story = data(viewer.get(f"{CASCADE}/allocations/{allocation_id}"))
    assert [(step["from_state"], step["to_state"]) for step in story["timeline"]] == [
        ("", "pending"),
        ("pending", "executing"),
        ("executing", "completed"),
    ]
    [attempt] = story["attempts"]
    assert (attempt["number"], attempt["ended_as"], attempt["reason"]) == (
        1,
        "completed",
        "the work ran to its end",
    )
    assert {item["feed_id"] for item in story["items"]} == set(world.feed_ids)
    item = story["items"][0]
    assert (item["state"], item["error_code"], item["attempts"]) == ("failed", GONE.code, 1)
    assert [(error["attempt"], error["code"]) for error in item["errors"]] == [(1, GONE.code)]
    assert item["feed_name"] == "example.com"
    assert story["why"] is None


def test_a_story_shows_where_its_work_went_on(api: Api, admin: FlaskClient) -> None:
    world = make_world(api.engine)
    allocation_id = fail_first(world)
    done = data(admin.post(f"{CASCADE}/allocations/{allocation_id}/retry"))
    assert (done["outcome"], done["items"]) == ("tried_again", 1)
    [item] = data(admin.get(f"{CASCADE}/allocations/{allocation_id}"))["items"]
    assert (item["state"], item["allocation_id"]) == ("waiting", None)
    assert item["why"]
    why = data(admin.get(f"{CASCADE}/why/{item['id']}"))
    assert (why["noun"], why["why"]) == ("item", item["why"])


def test_people_who_may_only_read_change_nothing(api: Api, viewer: FlaskClient) -> None:
    make_world(api.engine)
    [allocation_id] = allocation_ids(api.engine)
    for path in (f"{allocation_id}/cancel", f"{allocation_id}/retry", "selections"):
        assert viewer.post(f"{CASCADE}/allocations/{path}", json={"action": "cancel"}).status_code == 403
    assert counted(api.engine, Allocation) == {"pending": 1}


def test_a_cancel_ends_what_waits_and_a_second_thought_is_told_what_to_do(
    api: Api, admin: FlaskClient
) -> None:
    world = make_world(api.engine, 2)
    waiting = allocation_ids(api.engine)[1]
    done = data(admin.post(f"{CASCADE}/allocations/{waiting}/cancel"))
    assert (done["outcome"], done["status"], done["items"]) == ("cancelled", "cancelled", 1)
    ended = fail_first(world)
    answer = admin.post(f"{CASCADE}/allocations/{ended}/cancel")
    assert data(answer, 409)["error"] == "allocation_ended"
    assert "completed" in answer.get_json()["message"]
    assert data(admin.post(f"{CASCADE}/allocations/{waiting}/retry"), 409)["error"] == "nothing_failed"
    assert data(admin.post(f"{CASCADE}/allocations/nobody/cancel"), 404)["error"] == "not_found"


@pytest.mark.parametrize("prefix", ["/api/v1/cascade", "/api/v1/wx/cascade"])
def test_many_are_changed_in_two_steps_the_count_first(api: Api, admin: FlaskClient, prefix: str) -> None:
    world = make_world(api.engine, 3)
    chosen = data(
        admin.post(f"{prefix}/allocations/selections", json={"action": "cancel", "task_id": world.task_id})
    )
    assert (chosen["count"], chosen["by_status"], chosen["remaining"]) == (3, {"pending": 3}, 3)
    fail_first(world)
    later = copy_of(api, allocation_ids(api.engine)[0])
    applied = data(admin.post(f"{prefix}/allocations/selections/{chosen['id']}/apply"))
    assert applied["outcomes"] == {"cancelled": 2, "allocation_ended": 1}
    assert (applied["done"], applied["remaining"]) == (3, 0)
    assert row_of(api.engine, Allocation, later).state == "pending"
    again = data(admin.get(f"{prefix}/allocations/selections/{chosen['id']}"))
    assert again == applied


def test_a_selection_that_nobody_made_is_not_found(admin: FlaskClient) -> None:
    answer = admin.post(f"{CASCADE}/allocations/selections/nothing/apply")
    assert data(answer, 404)["error"] == "selection_gone"


def test_a_count_stops_at_its_limit_and_says_so(
    api: Api, viewer: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.store.allocation_views.COUNT_LIMIT", 2)
    make_world(api.engine, 3)
    page = listed(viewer)
    assert (len(page["list"]), page["total"], page["total_is_exact"]) == (3, 2, False)


def test_a_status_filter_finds_every_state(api: Api, viewer: FlaskClient) -> None:
    world = make_world(api.engine, 4)
    completed = fail_first(world)
    running = begin(world, "x2").allocation_id
    pending = allocation_ids(api.engine)
    assert ids_of(listed(viewer, "status=completed")) == [completed]
    assert ids_of(listed(viewer, "status=executing")) == [running]
    assert ids_of(listed(viewer, "status=pending")) == pending[::-1]
    assert ids_of(listed(viewer, "status=failed")) == []


def test_pending_work_and_what_waits_are_told_in_numbers(api: Api, viewer: FlaskClient) -> None:
    world = make_world(api.engine, 5, capacity=3)
    fail_first(world)
    begin(world, "x2")
    numbers = data(viewer.get(f"{CASCADE}/pending-allocations"))
    assert (numbers["pending_tasks"], numbers["executing_tasks"]) == (1, 1)
    assert (numbers["completed_today"], numbers["failed_today"], numbers["online_nodes"]) == (1, 0, 1)
    assert (numbers["items_waiting"], numbers["deliveries_waiting"]) == (2, 0)
    [node] = numbers["by_node"]
    assert (node["node_name"], node["kind"], node["pending"], node["executing"]) == ("n", "update", 1, 1)
    assert node["oldest_pending_at"] is not None
    assert [(one["kind"], one["count"]) for one in numbers["waiting"]] == [("update", 2)]


def test_failures_are_grouped_filtered_and_told_with_examples(api: Api, viewer: FlaskClient) -> None:
    world = make_world(api.engine, 3, capacity=30)
    fail_first(world)
    change(api.engine, WorkItem, error_message="a.example answers with HTTP status 503.")
    found = data(viewer.get(f"{CASCADE}/failures?run_id={world.run_id}"))
    assert (found["total"], found["looked_at"], found["complete"]) == (1, 3, True)
    [group] = found["list"]
    assert (group["noun"], group["count"], group["feeds"]) == ("item", 3, 3)
    assert group["pattern"] == "<host> answers with HTTP status 503."
    assert {one["run_id"] for one in group["examples"]} == {world.run_id}
    assert group["first_seen"] <= group["last_seen"]
    for query in (
        "noun=delivery",
        "task_id=other",
        "error_code=timed_out",
        "ended_before=2020-01-01T00:00:00Z",
    ):
        assert data(viewer.get(f"{CASCADE}/failures?{query}"))["list"] == []
    for query in ("noun=item", f"task_id={world.task_id}", f"error_code={GONE.code}"):
        assert data(viewer.get(f"{CASCADE}/failures?{query}"))["total"] == 1
