"""`/rq`: who sees and who changes what, what is shown, and what must not happen because somebody looks."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis
from rq.registry import StartedJobRegistry
from rq_dashboard import web
from werkzeug.test import TestResponse

from backend.api.queue_dashboard import CHANGES, PAGES
from backend.dispatch.queues import waiting_jobs
from backend.store.tables import User
from tests.building import change, make_node, together
from tests.integration.api.browsing import HTML, browser_of, change_header
from tests.integration.api.harness import Api, data
from tests.integration.api.queued import enqueue, fail, queue_of, start
from tests.servers import RedisServer, wait_until

QUEUE = "node:beijing-1"
LOOKS = (
    "/rq",
    "/rq/0/view/queues",
    "/rq/0/view/workers",
    f"/rq/0/view/jobs/{QUEUE}/started/25/asc/1",
    "/rq/0/view/job/one",
    "/rq/0/data/queues.json",
    "/rq/0/data/workers.json",
    f"/rq/0/data/jobs/{QUEUE}/started/25/asc/1.json",
    f"/rq/0/data/jobs/{QUEUE}/failed/25/dsc/1.json",
    "/rq/0/data/job/one.json",
)
CHANGING = (
    "/rq/job/one/delete",
    "/rq/job/broken/requeue",
    f"/rq/requeue/{QUEUE}",
    f"/rq/queue/{QUEUE}/queued/empty",
    f"/rq/queue/{QUEUE}/failed/empty",
    f"/rq/queue/{QUEUE}/compact",
)

NOTHING = (
    "/rq/1/view/queues",
    "/rq/static/js/jquery-3.5.1.min.js",
    "/rq/assets/..%2f..%2fapp.py",
    "/rq/assets/x",
    "/rq/favicon.ico",
)
MISSING = (
    "view/job/nothing",
    "data/job/nothing.json",
    "view/jobs/node:nobody/queued/25/asc/1",
    f"view/jobs/{QUEUE}/unheard/25/asc/1",
    f"view/jobs/{QUEUE}/queued/25/up/1",
    f"view/jobs/{QUEUE}/queued/0/asc/1",
    f"data/jobs/{QUEUE}/failed/0/asc/1.json",
    f"data/jobs/{QUEUE}/failed/201/asc/1.json",
    f"data/jobs/{QUEUE}/failed/x/asc/1.json",
    f"data/jobs/{QUEUE}/failed/25/asc/-1.json",
    f"data/jobs/{QUEUE}/failed/25/asc/99999999999999999999.json",
)


@pytest.fixture
def backend() -> str:
    """The database only names queues here."""
    return "sqlite"


@pytest.fixture
def api(api_with_redis: Api, redis_client: Redis) -> Api:
    """A parent with a node, one waiting and one failed job."""
    make_node(api_with_redis.engine, "beijing-1")
    enqueue(redis_client, QUEUE, "one")
    fail(redis_client, enqueue(redis_client, QUEUE, "broken"), "Traceback: it broke")
    for role in ("viewer", "operator", "admin"):
        api_with_redis.add_user(f"a-{role}", role)
    return api_with_redis


@pytest.fixture
def admin(api: Api) -> FlaskClient:
    """An admin's browser."""
    return browser_of(api, "a-admin")


@pytest.fixture
def viewer(api: Api) -> FlaskClient:
    """A viewer's browser."""
    return browser_of(api, "a-viewer")


def content(redis: Redis) -> dict[bytes, bytes | None]:
    """Everything that Redis holds, without what only counts logins."""
    return {key: redis.dump(key) for key in redis.scan_iter() if not key.startswith(b"cascade:")}


def shown(client: FlaskClient, path: str) -> Any:
    """The JSON of a page's table."""
    answer = client.get(f"/rq/0/data/{path}.json")
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def test_every_view_of_rq_dashboard_was_decided_on() -> None:
    app = Flask("theirs")
    app.register_blueprint(web.blueprint)
    theirs = {rule.endpoint.partition(".")[2] for rule in app.url_map.iter_rules() if "." in rule.endpoint}
    assert theirs - {"static", "favicon"} == PAGES.keys() | CHANGES.keys()


def test_everybody_who_is_logged_in_may_look(api: Api, viewer: FlaskClient) -> None:
    for path in LOOKS:
        check_a_look(api, viewer, path)


def check_a_look(api: Api, viewer: FlaskClient, path: str) -> None:
    answer = viewer.get(path)
    assert answer.status_code == 200, answer.text
    assert viewer.head(path).status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Frame-Options"] == "DENY"
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    # Nothing inline, nothing from elsewhere, nothing about where Redis is.
    assert (
        re.findall(r"<script(?![^>]* src=\"/rq/assets/)|<style| style=| on\w+=|redis://|unix://", answer.text)
        == []
    )
    for nobody in (api.client(), api.client("forged")):
        assert nobody.get(path).status_code == 401
        assert nobody.head(path).status_code == 401


def test_only_an_admin_s_page_changes_anything(api: Api, redis_client: Redis) -> None:
    browsers = {role: browser_of(api, f"a-{role}") for role in ("viewer", "operator", "admin")}
    headers = {role: change_header(browser) for role, browser in browsers.items()}
    before = content(redis_client)
    for path in CHANGING:
        refused: list[TestResponse] = [
            api.client().post(path),
            browsers["viewer"].post(path, headers=headers["viewer"]),
            browsers["operator"].post(path, headers=headers["operator"]),
            browsers["admin"].post(path),
            browsers["admin"].post(path, headers={"X-CSRF-Token": "0" * 64}),
            browsers["admin"].post(path, headers=headers["viewer"]),
            browsers["admin"].post(path, headers=headers["admin"] | {"Sec-Fetch-Site": "cross-site"}),
            browsers["admin"].get(path),
            browsers["admin"].put(path, headers=headers["admin"]),
            browsers["admin"].post(f"{path}?csrf_token={headers['admin']['X-CSRF-Token']}"),
        ]
        assert [one.status_code for one in refused] == [401, 403, 403, 403, 403, 403, 403, 405, 405, 403], (
            path
        )
    assert content(redis_client) == before
    for path in reversed(CHANGING):
        answer = browsers["admin"].post(path, headers=headers["admin"])
        # The lists are empty by then.
        assert answer.status_code in ({404} if "/job/" in path else {200}), path


def test_an_admin_requeues_deletes_empties_and_compacts(
    api: Api, admin: FlaskClient, redis_client: Redis
) -> None:
    header = change_header(admin)
    queue_of(redis_client, QUEUE).push_job_id("gone")
    admin.post(f"/rq/queue/{QUEUE}/compact", headers=header)
    # RQ's own way fails where there is no list.
    assert admin.post("/rq/queue/default/compact", headers=header).status_code == 200
    assert waiting_jobs(redis_client, QUEUE) == ["one"]
    admin.post("/rq/job/broken/requeue", headers=header)
    assert waiting_jobs(redis_client, QUEUE) == ["one", "broken"]
    again = admin.post("/rq/job/broken/requeue", headers=header)
    assert data(again, 409)["error"] == "job_not_failed"
    admin.post("/rq/job/one/delete", headers=header)
    assert waiting_jobs(redis_client, QUEUE) == ["broken"]
    admin.post(f"/rq/queue/{QUEUE}/queued/empty", headers=header)
    assert waiting_jobs(redis_client, QUEUE) == []
    jobs = [enqueue(redis_client, QUEUE, f"f{number}") for number in range(3)]
    for job in jobs:
        fail(redis_client, job, "again")
    jobs[1].delete()
    redis_client.zadd(f"rq:failed:{QUEUE}", {"f1": 9e9})
    assert admin.post(f"/rq/requeue/{QUEUE}", headers=header).get_json()["count"] == 2
    assert waiting_jobs(redis_client, QUEUE) == ["f0", "f2"]


def test_a_changed_role_counts_at_once(api: Api, viewer: FlaskClient, redis_client: Redis) -> None:
    header, path = change_header(viewer), "/rq/job/one/delete"
    assert viewer.post(path, headers=header).status_code == 403
    assert 'data-may-change="no"' in viewer.get("/rq").text
    change(api.engine, User, role="admin")
    assert 'data-may-change="yes"' in viewer.get("/rq").text
    assert viewer.post(path, headers=header).status_code == 200


def test_a_viewer_s_pages_have_no_buttons(viewer: FlaskClient, admin: FlaskClient) -> None:
    for path in (f"/rq/0/view/jobs/{QUEUE}/failed/25/asc/1", "/rq/0/view/job/one"):
        assert "data-change" in admin.get(path).text
        assert "data-change" not in viewer.get(path).text


def test_every_queue_is_shown_empty_ones_too(api: Api, viewer: FlaskClient, redis_client: Redis) -> None:
    make_node(api.engine, "shanghai-1")
    enqueue(redis_client, "node:left-over", "two")
    found = {one["name"]: one for one in shown(viewer, "queues")["queues"]}
    own = {QUEUE, "node:shanghai-1"}
    assert found.keys() == {"default", "node:left-over", *own, *(f"{name}:publish" for name in own)}
    assert (found[QUEUE]["queued"], found[QUEUE]["failed"]) == (1, 1)
    assert set(found["default"].values()) == {"default", 0}
    page = viewer.get("/rq/0/view/jobs/node:shanghai-1/queued/25/asc/1").text
    assert page.count("<option") == len(found) + 7 + 2


def test_many_queues_cost_few_round_trips(viewer: FlaskClient, redis_client: Redis) -> None:
    redis_client.sadd("rq:queues", *(f"rq:queue:node:n-{number}" for number in range(203)))

    def reads() -> int:
        return int(redis_client.info("stats")["total_reads_processed"])

    before = reads()
    assert len(shown(viewer, "queues")["queues"]) == 206
    # 1,442 counts; what is sent at once the server reads in a few pieces.
    assert reads() - before < 50


def test_every_worker_is_shown_with_what_it_does(api: Api, viewer: FlaskClient, redis_client: Redis) -> None:
    start(redis_client, enqueue(redis_client, QUEUE, "running", "update all"), "node.beijing-1.x")
    redis_client.sadd("rq:workers", "rq:worker:dead")
    (worker,) = shown(viewer, "workers")["workers"]
    assert (worker["name"], worker["state"], worker["queues"], worker["pid"]) == (
        "node.beijing-1.x",
        "busy",
        [QUEUE],
        42,
    )
    assert (worker["current_job"]["job_id"], worker["current_job"]["description"]) == (
        "running",
        "update all",
    )
    # Looking removes nobody from the list.
    assert redis_client.sismember("rq:workers", "rq:worker:dead")
    redis_client.delete("rq:job:running")
    assert shown(viewer, "workers")["workers"][0]["current_job"] == "idle"


def test_jobs_are_shown_page_by_page(api: Api, viewer: FlaskClient, redis_client: Redis) -> None:
    for number in range(7):
        enqueue(redis_client, "default", f"d{number}")
        fail(redis_client, enqueue(redis_client, "default", f"f{number}"), "broke")
        redis_client.zadd("rq:failed:default", {f"f{number}": 9e9 + number})

    def page(registry: str, order: str, number: int) -> list[str]:
        found = shown(viewer, f"jobs/default/{registry}/3/{order}/{number}")
        assert found["pagination"]["num_pages"] == 3
        return [job["id"] for job in found["jobs"]]

    for registry, letter in (("queued", "d"), ("failed", "f")):
        assert page(registry, "asc", 1) == [f"{letter}0", f"{letter}1", f"{letter}2"]
        assert page(registry, "asc", 2) == [f"{letter}3", f"{letter}4", f"{letter}5"]
        assert page(registry, "asc", 3) == [f"{letter}6"]
        assert page(registry, "dsc", 1) == [f"{letter}6", f"{letter}5", f"{letter}4"]
        assert page(registry, "dsc", 3) == [f"{letter}0"]
        assert page(registry, "dsc", 4) == []


def test_what_does_not_exist_is_not_found(viewer: FlaskClient) -> None:
    for path in MISSING:
        assert data(viewer.get(f"/rq/0/{path}"), 404)["error"] == "not_found"
        page = viewer.get(f"/rq/0/{path}", headers=HTML)
        assert (page.status_code, page.mimetype) == (404, "text/html")
        assert "There is no " in page.text
    for path in NOTHING:
        assert viewer.get(path).status_code == 404, path


def test_an_unknown_job_is_no_change(api: Api, admin: FlaskClient) -> None:
    header = change_header(admin)
    assert data(admin.post("/rq/job/nothing/delete", headers=header), 404)
    assert data(admin.post("/rq/job/nothing/requeue", headers=header), 404)


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, int]]:
        return Path.touch, (self.path, 0o600)  # type: ignore[return-value]


def test_what_a_stranger_pickled_is_never_unpickled(
    api: Api, viewer: FlaskClient, redis_client: Redis, tmp_path: Path
) -> None:
    trace = tmp_path / "exploded"
    bomb = pickle.dumps(Bomb(trace))
    job = enqueue(redis_client, QUEUE, "foreign")
    redis_client.hset("rq:job:foreign", mapping={"data": bomb, "meta": bomb, "result": bomb})
    start(redis_client, job, "w1")
    for path in ("job/foreign", "workers", f"jobs/{QUEUE}/queued/25/asc/1", f"jobs/{QUEUE}/started/25/asc/1"):
        shown(viewer, path)
    assert viewer.get("/rq/0/view/job/foreign").status_code == 200
    assert "bytes that are not JSON" in shown(viewer, "job/foreign")["metadata"]
    assert not trace.exists()
    pickle.loads(bomb)  # noqa: S301 - it would have told
    assert trace.exists()


def test_looking_cleans_nothing_up(api: Api, viewer: FlaskClient, redis_client: Redis) -> None:
    start(redis_client, enqueue(redis_client, QUEUE, "running"), "w1")
    registry = StartedJobRegistry(QUEUE, connection=redis_client)
    (entry,) = registry.get_job_and_execution_ids(cleanup=False)
    redis_client.zadd(registry.key, {":".join(entry): 1.0})
    before = content(redis_client)
    for path in LOOKS:
        assert viewer.get(path).status_code == 200
    assert content(redis_client) == before


def test_without_redis_every_page_says_when_to_try_again(
    api: Api, viewer: FlaskClient, admin: FlaskClient, redis_server: RedisServer
) -> None:
    header = change_header(admin)
    redis_server.stop()
    for path in LOOKS:
        answer = viewer.get(path)
        assert data(answer, 503) == {"error": "redis_needed"}
        assert answer.headers["Retry-After"] == "5"
    assert data(admin.post(CHANGING[0], headers=header), 503)
    assert viewer.get("/rq", headers=HTML).mimetype == "text/html"
    redis_server.start()
    # After a failure Redis is left alone for a moment.
    wait_until(lambda: viewer.get("/rq").status_code == 200, 30, "an answer with Redis")


def test_requests_share_their_connections(api: Api, viewer: FlaskClient, redis_client: Redis) -> None:
    known = len(redis_client.client_list())
    cookie = viewer.get_cookie("cascade_login")
    assert cookie is not None

    def look() -> None:
        client = api.client()
        client.set_cookie("cascade_login", cookie.value)
        for path in LOOKS:
            assert client.get(path).status_code == 200

    together(*[look] * 4)
    assert len(redis_client.client_list()) - known <= 4
