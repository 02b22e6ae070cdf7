"""Nodes over HTTP: added, listed, changed and deleted by admins, with credentials that are shown once."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from backend.dispatch.pump import pump
from backend.domain.identifiers import new_id
from backend.domain.orders import FetchResult
from backend.store import alerts
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import Alert, Allocation, History, Node, NodeCredential, WorkItem
from tests import building
from tests.building import LIMITS, drafts, outcome_of, row_of, rows_of
from tests.integration.api.harness import Api, data, field_errors
from tests.servers import RedisServer

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"])
NODES = "/api/v1/cascade/nodes"
# What deployed WeRSS children and their console read of a node.
WERSS_FIELDS = {
    "id",
    "node_type",
    "name",
    "description",
    "api_url",
    "api_key",
    "parent_id",
    "status",
    "is_active",
    "last_sync_at",
    "last_heartbeat_at",
    "created_at",
    "updated_at",
    "sync_config",
}

UNUSABLE: list[tuple[dict[str, object], str]] = [
    ({"name": ""}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"api_url": "not a url"}, "api_url"),
    ({"api_url": "http://u:p@example.com"}, "api_url"),
    ({"api_url": "http://example.com/?a=b"}, "api_url"),
    ({"description": "x" * 2001}, "description"),
    ({"is_active": "perhaps"}, "is_active"),
    ({"sync_config": {"max_capacity": 0}}, "sync_config.max_capacity"),
    ({"sync_config": {"max_capacity": 10001}}, "sync_config.max_capacity"),
    ({"sync_config": {"feed_quota": {"f": 0}}}, "sync_config.feed_quota.f"),
    ({"sync_config": {"feed_quota": ["f"]}}, "sync_config.feed_quota"),
    ({"sync_config": {"speed": 3}}, "sync_config.speed"),
    ({"slug": "mine"}, "slug"),
]


def add_node(admin: FlaskClient, name: str = "far", **fields: object) -> str:
    return str(data(admin.post(NODES, json={"node_type": 1, "name": name, **fields}))["node_id"])


def named(nodes: list[dict[str, Any]]) -> list[str]:
    return [node["name"] for node in nodes]


@pytest.mark.parametrize("prefix", ["/api/v1/cascade", "/api/v1/wx/cascade"])
def test_a_child_is_made_as_the_seeds_guide_makes_it(admin: FlaskClient, prefix: str) -> None:
    asked = {
        "node_type": 1,
        "name": "子节点1",
        "description": "用于扩展采集能力",
        "api_url": "http://child-server:8001",
    }
    answer = admin.post(f"{prefix}/nodes", json=asked, headers={"Accept-Language": "zh"})
    made = data(answer)
    assert (answer.get_json()["code"], answer.get_json()["message"]) == (0, "节点创建成功")
    assert {name: made[name] for name in asked} == asked
    assert made["node_id"] == made["id"]
    assert (made["is_active"], made["status"], made["available"]) == (True, 0, False)
    assert (made["reason"], made["current_tasks"], made["max_capacity"]) == ("未运行", 0, 10)
    assert (made["api_key"], made["queue"], made["queue_length"], made["transport"]) == (
        "",
        None,
        0,
        "remote",
    )
    assert data(admin.get(f"{prefix}/nodes/{made['id']}")) == made | {"reason": "not running"}


def test_the_list_is_a_plain_one_with_every_field_that_werss_reads(api: Api, admin: FlaskClient) -> None:
    add_node(admin)
    building.make_node(api.engine, "near")
    found = data(admin.get(NODES))
    assert named(found) == ["far", "near"]
    assert all(node.keys() >= WERSS_FIELDS for node in found)
    assert {node["node_type"] for node in data(admin.get(f"{NODES}?node_type=1"))} == {1}
    assert data(admin.get(f"{NODES}?node_type=0")) == []
    assert named(data(admin.get(f"{NODES}?node_type="))) == ["far", "near"]


@on_sqlite
def test_the_list_is_filtered_by_state(api: Api, admin: FlaskClient) -> None:
    building.make_node(api.engine, "near")
    building.make_node(api.engine, "away", presence_at=now(-200))
    building.make_node(api.engine, "off", is_active=False)
    building.make_node(api.engine, "full", draining=True)
    expected = {
        "online": ["full", "near"],
        "offline": ["away", "off"],
        "available": ["near"],
        "unavailable": ["away", "full", "off"],
        "draining": ["full"],
        "switched_off": ["off"],
    }
    found = {state: named(data(admin.get(f"{NODES}?state={state}"))) for state in expected}
    assert found == expected


def test_an_unknown_state_and_an_unknown_filter_are_named(admin: FlaskClient) -> None:
    assert field_errors(admin.get(f"{NODES}?state=happy")).keys() == {"state"}
    assert field_errors(admin.get(f"{NODES}?colour=red")).keys() == {"colour"}


def test_a_change_leaves_what_it_does_not_name(admin: FlaskClient) -> None:
    node_id = add_node(admin, description="old", api_url="http://a.example/")
    quota = {"MP_WXS_1": 5, "mp_id_2": 10}
    changed = data(admin.put(f"{NODES}/{node_id}", json={"sync_config": {"feed_quota": quota}}))
    assert changed["sync_config"] == {"max_capacity": 10, "feed_quota": quota}
    assert (changed["description"], changed["api_url"]) == ("old", "http://a.example")
    changed = data(admin.put(f"{NODES}/{node_id}", json={"sync_config": {"max_capacity": 20}, "name": "new"}))
    assert changed["sync_config"] == {"max_capacity": 20, "feed_quota": quota}
    assert (changed["name"], changed["slug"], changed["max_capacity"]) == ("new", "far", 20)
    changed = data(admin.put(f"{NODES}/{node_id}", json={"draining": True, "is_active": False}))
    assert (changed["draining"], changed["is_active"], changed["reason"]) == (True, False, "switched off")
    assert changed["updated_at"] > changed["created_at"]


@on_sqlite
def test_what_can_t_be_set_is_named_by_its_field_and_changes_nothing(admin: FlaskClient) -> None:
    path = f"{NODES}/{add_node(admin)}"
    before = data(admin.get(path))
    for body, field in UNUSABLE:
        assert field_errors(admin.put(path, json=body)).keys() == {field}, body
    assert data(admin.get(path)) == before


def test_a_name_is_given_once_and_there_is_one_parent(api: Api, admin: FlaskClient) -> None:
    first, second = add_node(admin, "a"), add_node(admin, "b")
    refused = admin.post(NODES, json={"name": "a"})
    assert data(refused, 409) == {"error": "node_exists", "existing_id": first}
    assert data(admin.put(f"{NODES}/{second}", json={"name": "a"}), 409)["error"] == "node_exists"
    assert data(admin.put(f"{NODES}/{second}", json={"name": "b"}))["name"] == "b"
    assert field_errors(admin.post(NODES, json={"node_type": 0, "name": "p"})).keys() == {"node_type"}
    building.deliver_ledger(api.engine)
    parent = data(admin.get(f"{NODES}?node_type=0"))[0]["id"]
    assert data(admin.delete(f"{NODES}/{parent}?force=true"), 409)["error"] == "parent_stays"
    assert data(admin.put(f"{NODES}/{parent}", json={"is_active": False}), 409)["error"] == "parent_stays"


def test_an_attached_node_shows_its_queue_and_an_absent_redis_is_no_error(
    api_with_redis: Api, redis_client: Redis, redis_server: RedisServer
) -> None:
    world = building.make_world(api_with_redis.engine, 2, capacity=10)
    admin = api_with_redis.as_role("admin")
    redis_client.rpush("rq:queue:node:n", "a", "b", "c")
    node = data(admin.get(f"{NODES}/{world.node_id}"))
    assert (node["queue"], node["queue_length"], node["workers_alive"]) == ("node:n", 3, 1)
    assert (node["current_tasks"], node["version"], node["available"]) == (2, "test", True)
    redis_server.kill()
    assert data(admin.get(f"{NODES}/{world.node_id}"))["queue_length"] is None
    assert [one["queue_length"] for one in data(admin.get(NODES))] == [None]


def test_a_change_of_what_somebody_else_changed_meanwhile_is_refused(api: Api, admin: FlaskClient) -> None:
    node_id = add_node(admin)
    path = f"{NODES}/{node_id}"
    seen = {"If-Match": admin.get(path).headers["ETag"]}
    # Beats and work change nothing that people set.
    building.change(api.engine, Node, node_id, presence_at=now(), instance="i", workers_alive=3)
    first = admin.put(path, json={"draining": True}, headers=seen)
    assert data(first)["draining"]
    assert first.headers["ETag"] != seen["If-Match"]
    late = admin.put(path, json={"sync_config": {"max_capacity": 99}}, headers=seen)
    assert data(late, 412)["error"] == "changed_meanwhile"
    assert data(admin.get(path))["max_capacity"] == 10
    data(admin.put(path, json={"description": "x"}, headers={"If-Match": first.headers["ETag"]}))
    data(admin.put(path, json={"description": "y"}))


def test_a_repeated_request_makes_one_node_and_one_pair(api: Api, admin: FlaskClient) -> None:
    key = {"Idempotency-Key": "once"}
    first, again = (admin.post(NODES, json={"name": "far"}, headers=key) for _ in range(2))
    assert data(first) == data(again)
    path = f"{NODES}/{data(first)['id']}/credentials"
    pairs = [data(admin.post(path, headers=key)) for _ in range(2)]
    assert pairs[0] == pairs[1]
    assert len(rows_of(api.engine, NodeCredential)) == 1


# --- credentials


def test_credentials_are_shown_once_and_only_as_the_seeds_show_them(api: Api, admin: FlaskClient) -> None:
    node_id = add_node(admin)
    answer = admin.post(f"{NODES}/{node_id}/credentials", headers={"Accept-Language": "zh"})
    pair = data(answer)
    assert (answer.get_json()["message"], pair["node_id"]) == ("凭证生成成功", node_id)
    assert (pair["api_key"][:2], pair["api_secret"][:2]) == ("CN", "CS")
    assert answer.headers["Cache-Control"] == "no-store"
    shown = admin.get(f"{NODES}/{node_id}")
    assert data(shown)["api_key"] == pair["api_key"]
    assert pair["api_secret"] not in shown.text + admin.get(NODES).text
    assert rows_of(api.engine, NodeCredential)[0].secret_hash not in shown.text


@pytest.mark.parametrize(("body", "alive"), [({"grace_seconds": 0}, [False, True]), ({}, [True, True])])
def test_a_rotated_pair_is_valid_for_the_grace_that_was_asked_for(
    api: Api, admin: FlaskClient, body: dict[str, int], alive: list[bool]
) -> None:
    node_id = add_node(admin)
    pairs = [data(admin.post(f"{NODES}/{node_id}/credentials", json=body)) for _ in range(2)]
    headers = [{"Authorization": f"AK-SK {one['api_key']}:{one['api_secret']}"} for one in pairs]
    # A known node is told that the route is not for nodes; an unknown one is nobody.
    statuses = [api.client().get(NODES, headers=each).status_code for each in headers]
    assert [status == 403 for status in statuses] == alive
    assert set(statuses) <= {401, 403}


def test_a_grace_has_limits_and_an_attached_node_gets_no_pair(api: Api, admin: FlaskClient) -> None:
    node_id, attached = add_node(admin), building.make_node(api.engine)
    for wrong in (-1, 31 * 24 * 3600):
        refused = admin.post(f"{NODES}/{node_id}/credentials", json={"grace_seconds": wrong})
        assert field_errors(refused).keys() == {"grace_seconds"}
    assert data(admin.post(f"{NODES}/{attached}/credentials"), 409)["error"] == "node_needs_no_credentials"
    assert data(admin.post(f"{NODES}/nobody/credentials"), 404)["error"] == "not_found"


# --- deleting


def test_a_node_without_work_is_deleted_with_its_credentials(api: Api, admin: FlaskClient) -> None:
    node_id = add_node(admin)
    data(admin.post(f"{NODES}/{node_id}/credentials"))
    assert data(admin.delete(f"{NODES}/{node_id}")) is None
    assert data(admin.get(f"{NODES}/{node_id}"), 404)["error"] == "not_found"
    assert rows_of(api.engine, NodeCredential) == []
    assert data(admin.delete(f"{NODES}/{node_id}"), 404)["error"] == "not_found"


@on_sqlite
def test_what_a_deleted_node_was_alarmed_about_is_over(api: Api, admin: FlaskClient) -> None:
    node_id = add_node(admin)
    # Only the node itself could close it.
    transact(api.engine, lambda session: alerts.open_alert(session, "alert_redis_away", node_id))
    transact(api.engine, lambda session: alerts.open_alert(session, "alert_redis_away", "another"))
    data(admin.delete(f"{NODES}/{node_id}"))
    assert [one.subject for one in rows_of(api.engine, Alert) if one.closed_at is None] == ["another"]


def test_work_that_waits_for_a_deleted_node_goes_to_another_one(api: Api, admin: FlaskClient) -> None:
    world = building.make_world(api.engine, 2)
    building.change(api.engine, Node, workers_alive=0)
    data(admin.delete(f"{NODES}/{world.node_id}"))
    assert building.counted(api.engine, Allocation) == {"cancelled": 2}
    assert building.counted(api.engine, WorkItem) == {"waiting": 2}
    other = building.make_node(api.engine, "other")
    assert pump(api.engine, None, LIMITS) == 2
    assert {item.node_id for item in building.items_of(api.engine)} == {other}


def test_a_node_with_running_work_stays_unless_it_is_forced_and_then_its_work_goes_on(
    api: Api, admin: FlaskClient
) -> None:
    world = building.make_world(api.engine, 3)
    order = building.begin(world)
    refused = admin.delete(f"{NODES}/{world.node_id}")
    assert data(refused, 409)["error"] == "node_busy"
    assert "(1 allocations)" in refused.get_json()["message"]
    assert building.counted(api.engine, Allocation) == {"executing": 1, "pending": 2}
    data(admin.delete(f"{NODES}/{world.node_id}?force=true"))
    lost = row_of(api.engine, Allocation, order.allocation_id)
    assert (lost.state, lost.error_code) == ("failed", "lost")
    assert building.counted(api.engine, Allocation) == {"failed": 1, "cancelled": 2}
    assert building.counted(api.engine, WorkItem) == {"waiting": 3}
    assert {item.deaths for item in building.items_of(api.engine)} == {0}
    actors = {row.actor for row in rows_of(api.engine, History) if row.to_state in {"failed", "cancelled"}}
    assert {actor.partition("-")[0] for actor in actors} == {"user admin"}
    building.make_node(api.engine, "other")
    assert pump(api.engine, None, LIMITS) == 3
    # What the deleted node still brings is kept, but it ends nothing that another node has.
    world.ledger.settle(outcome_of(order, FetchResult(drafts("late"))))
    assert building.counted(api.engine, Allocation) == {"failed": 1, "cancelled": 2, "pending": 3}


def test_a_node_that_runs_here_is_not_deleted_under_its_process(api: Api, admin: FlaskClient) -> None:
    node_id = building.make_node(api.engine)
    assert data(admin.delete(f"{NODES}/{node_id}"), 409)["error"] == "node_runs"
    data(admin.delete(f"{NODES}/{node_id}?force=true"))
    assert rows_of(api.engine, Node) == []


@on_sqlite
@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_only_admins_change_nodes(api: Api, admin: FlaskClient, role: str) -> None:
    node_id, client = add_node(admin), api.as_role(role)
    assert named(data(client.get(NODES))) == ["far"]
    refused = [
        client.post(NODES, json={"name": "x"}),
        client.put(f"{NODES}/{node_id}", json={"name": "x"}),
        client.delete(f"{NODES}/{node_id}"),
        client.post(f"{NODES}/{node_id}/credentials"),
    ]
    assert [answer.status_code for answer in refused] == [403] * 4


@pytest.mark.parametrize("backend", ["mariadb"])
def test_work_that_begins_while_its_node_is_deleted_is_either_kept_or_planned_again(
    api: Api, admin: FlaskClient
) -> None:
    world = building.make_world(api.engine, 6)
    building.change(api.engine, Node, workers_alive=0)
    path, ledger = f"{NODES}/{world.node_id}", world.ledger
    outcomes: list[Any] = building.together(
        lambda: admin.delete(path).status_code,
        *[lambda one=one: ledger.begin(one, 1, new_id()) for one in building.allocation_ids(api.engine)],
    )
    deleted, held = outcomes[0], [one for one in outcomes[1:] if one is not None]
    assert deleted == (409 if held else 200)
    assert building.counted(api.engine, Allocation).get("executing", 0) == len(held)
    data(admin.delete(f"{path}?force=true"), 200 if held else 404)
    assert building.counted(api.engine, WorkItem) == {"waiting": 6}
    assert set(building.counted(api.engine, Allocation)) <= {"failed", "cancelled"}


def test_true_is_no_number(admin: FlaskClient) -> None:
    made = data(admin.post("/api/v1/cascade/nodes", json={"name": "remote"}))
    sent = [
        admin.post(f"/api/v1/cascade/nodes/{made['id']}/credentials", json={"grace_seconds": True}),
        admin.post("/api/v1/cascade/nodes", json={"name": "n", "sync_config": {"max_capacity": True}}),
        admin.post("/api/v1/message-tasks", json={"name": "t", "feed_ids": "all", "message_type": True}),
    ]
    assert [answer.status_code for answer in sent] == [422, 422, 422]
