"""Liveness, readiness, and what the parent does while parts are away."""

from __future__ import annotations

from pathlib import Path

from backend.store import nodes, recovery
from backend.store.session import transact
from tests.integration.api.harness import Api, build, data
from tests.integration.api.test_api_cascade import add_node
from tests.servers import MariaDb, free_port


def checks(answer_data: dict[str, object]) -> dict[str, bool]:
    found = answer_data["checks"]
    assert isinstance(found, list)
    return {one["name"]: one["ok"] for one in found}


def test_a_process_is_alive_without_any_part(tmp_path: Path) -> None:
    api = build(f"mysql+pymysql://nobody@127.0.0.1:{free_port()}/nothing", tmp_path)
    assert data(api.client().get("/livez")) == {"status": "alive"}
    api.close()


def test_readiness_names_what_is_missing(api: Api) -> None:
    for path in ("/readyz", "/healthz"):
        answer = api.client().get(path)
        found = data(answer, 503)
        assert found["error"] == "not_ready"
        assert found["ready"] is False
        assert checks(found) == {
            "database": True,
            "migrations": True,
            "redis": False,
            "beat": False,
            "default_queue": False,
        }
        assert found["queues"] == []
        assert "redis" in answer.get_json()["message"]


def test_verbose_readiness_lists_queues_with_their_consumers(api_with_redis: Api) -> None:
    api = api_with_redis
    transact(api.engine, nodes.ensure_parent)
    add_node(api, "beijing-1")
    answer = api.client().get("/readyz?verbose")
    assert answer.headers["Retry-After"]
    found = data(answer, 503)
    assert checks(found)["redis"] is True
    assert checks(found)["default_queue"] is False
    assert {(queue["name"], queue["consumers"], queue["waiting"]) for queue in found["queues"]} == {
        ("default", 0, 0),
        ("node:beijing-1", 1, 0),
        ("node:beijing-1:publish", 1, 0),
    }


def test_a_live_beat_shows(api: Api) -> None:
    transact(api.engine, lambda session: recovery.stamp_pulse(session, "a beat", 45))
    assert checks(data(api.client().get("/readyz"), 503))["beat"] is True


def test_a_database_that_is_away_is_a_503_with_a_time_to_try_again(tmp_path: Path, mariadb: MariaDb) -> None:
    name = mariadb.create_database()
    api = build(mariadb.url(name), tmp_path)
    mariadb.kill()
    answer = api.client().post("/api/v1/auth/login", json={"username": "ana", "password": "whatever"})
    assert data(answer, 503) == {"error": "unavailable"}
    assert int(answer.headers["Retry-After"]) > 0
    found = data(api.client().get("/readyz"), 503)
    assert checks(found)["database"] is False
    page = api.client().get("/")
    assert page.status_code == 200
    assert "does not answer" in page.text
    assert "./cascade check" in page.text
    api.close()
