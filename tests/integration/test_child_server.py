"""A child's small HTTP server: who may call it, what it says of itself, and that a call wakes its claims."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from backend.api.child_app import ChildMode, create_child_app
from backend.api.context import MetricsPart
from backend.dispatch import queues
from backend.dispatch.node_calls import signed
from backend.domain.condition import Condition
from backend.domain.identifiers import hash_secret

KEY, SECRET = "CN0123456789", "CS9876543210"
PAIR = {"Authorization": f"AK-SK {KEY}:{SECRET}"}
WORKING = Condition("node-1", "Lyon", "instance-1", 0.0, connected=True, workers=2)
HEARTBEATS = ("/api/v1/cascade/heartbeat", "/api/v1/wx/cascade/heartbeat")
NOTIFY = "/api/v1/cascade/notify"


class Child:
    """The server of a child in this process; `condition` is what its presence would have written."""

    def __init__(self, redis: Redis | None, folder: Path) -> None:
        self.condition: Condition | None = replace(WORKING, written_at=time.time())
        self.mode = ChildMode(lambda: (KEY, SECRET), lambda: self.condition, redis, MetricsPart(folder, ""))
        self.client: FlaskClient = create_child_app(self.mode).test_client()

    def ready(self) -> tuple[int, dict[str, bool]]:
        """The status of `/readyz`, and by name whether each part is well."""
        answer = self.client.get("/readyz")
        return answer.status_code, {one["name"]: one["ok"] for one in answer.get_json()["data"]["checks"]}


@pytest.fixture
def child(redis_client: Redis, tmp_path: Path) -> Iterator[Child]:
    """A child that works."""
    yield Child(redis_client, tmp_path)


def notification(kind: str = "new_task", secret: str = SECRET) -> dict[str, Any]:
    """A request as the parent sends it."""
    headers, body = signed({"type": kind}, [hash_secret(secret)])
    return {"headers": headers, "data": body}


@pytest.mark.parametrize("path", HEARTBEATS)
def test_it_answers_whoever_has_its_own_pair(child: Child, path: str) -> None:
    answer = child.client.post(path, headers=PAIR)
    assert answer.get_json()["data"] == {"status": "alive", "node_id": "node-1"}


@pytest.mark.parametrize(
    "header",
    ["", f"AK-SK {KEY}:CSother", f"AK-SK CNother:{SECRET}", f"Bearer {SECRET}", f"AK-SK {KEY}"],
    ids=["none", "other secret", "other key", "bearer", "no secret"],
)
@pytest.mark.parametrize("path", [HEARTBEATS[0], NOTIFY])
def test_nobody_else_may_call_it(child: Child, redis_client: Redis, path: str, header: str) -> None:
    answer = child.client.post(path, headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert not queues.wait_for_note(redis_client, 0.05)


def test_the_parent_s_signed_call_wakes_the_claims_and_only_once(child: Child, redis_client: Redis) -> None:
    call = notification()
    assert child.client.post(NOTIFY, **call).status_code == 200
    assert queues.wait_for_note(redis_client, 1)
    assert child.client.post(NOTIFY, **call).get_json()["data"]["error"] == "repeated_signature"
    assert not queues.wait_for_note(redis_client, 0.05)


def test_a_ping_is_answered_and_wakes_nobody(child: Child, redis_client: Redis) -> None:
    assert child.client.post(NOTIFY, **notification("ping")).status_code == 200
    assert not queues.wait_for_note(redis_client, 0.05)


def test_a_call_that_somebody_else_signed_or_that_was_changed_is_refused(child: Child) -> None:
    assert child.client.post(NOTIFY, **notification(secret="CSother")).status_code == 401
    changed = notification() | {"data": json.dumps({"type": "ping"})}
    assert child.client.post(NOTIFY, **changed).status_code == 401


def test_it_is_ready_while_all_of_it_works(child: Child) -> None:
    assert child.ready() == (200, {"node": True, "parent": True, "redis": True, "workers": True})
    assert child.client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"connected": False, "away_seconds": 12.0}, "parent"),
        ({"connected": False, "trouble": "rotated"}, "parent"),
        ({"workers": 0}, "workers"),
        ({"written_at": 1.0}, "node"),
    ],
    ids=["parent away", "refused", "no workers", "presence silent"],
)
def test_what_does_not_work_is_named(child: Child, changes: dict[str, Any], part: str) -> None:
    child.condition = replace(WORKING, **{"written_at": time.time()} | changes)
    status, found = child.ready()
    assert (status, [name for name, ok in found.items() if not ok]) == (503, [part])
    assert child.client.get("/livez").status_code == 200


def test_without_a_condition_or_a_redis_it_is_not_ready(tmp_path: Path) -> None:
    child = Child(None, tmp_path)
    assert child.ready()[1]["redis"] is False
    child.condition = None
    assert child.ready() == (503, {"node": False})


def test_its_metrics_are_shown_to_whoever_has_the_token(child: Child) -> None:
    assert child.client.get("/metrics").status_code == 200
    child.mode.metrics = MetricsPart(child.mode.metrics.directory, "the token")
    assert child.client.get("/metrics").status_code == 401
    assert child.client.get("/metrics", headers={"Authorization": "Bearer the token"}).status_code == 200


def test_it_has_none_of_the_parent_s_routes(child: Child) -> None:
    for path in ("/api/v1/cascade/nodes", "/api/v1/feeds", "/login", "/rq", "/docs"):
        assert child.client.get(path, headers=PAIR).status_code == 404
