"""Access keys over HTTP: scripts act as their user, until they must not any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask.testing import FlaskClient

from backend.store.columns import now
from backend.store.tables import AccessKey
from tests.building import change, row_of
from tests.integration.api.harness import Api, build, data, field_errors

KEYS = "/api/v1/auth/access-keys"
USERS = "/api/v1/users"


def make(client: FlaskClient, **fields: object) -> dict[str, str]:
    """A new key of the one who asks."""
    made: dict[str, str] = data(client.post(KEYS, json={"name": "nightly"} | fields))
    return made


def script(api: Api, key: dict[str, str]) -> FlaskClient:
    """A client that asks with the key."""
    return api.client(Authorization=key["authorization"])


def verify(client: FlaskClient) -> int:
    return client.get("/api/v1/auth/verify").status_code


def test_a_key_s_secret_is_shown_once_and_opens_what_its_user_may(api: Api) -> None:
    operator = api.as_role("operator")
    made = make(operator)
    assert made["authorization"] == f"AK-SK {made['access_key']}:{made['secret']}"
    assert (made["access_key"][:2], len(made["access_key"])) == ("WK", 34)
    listed = operator.get(KEYS)
    assert data(listed)["list"][0]["id"] == made["id"]
    assert made["secret"] not in listed.text
    client = script(api, made)
    found = data(client.get("/api/v1/auth/verify"))
    assert (found["username"], found["role"], found["expires_at"]) == (made["user_name"], "operator", None)
    assert client.post("/api/v1/feeds", json={"url": "https://example.com/a"}).status_code == 200
    assert data(client.get(USERS), 403) == {"error": "forbidden"}


def test_asking_twice_with_an_idempotency_key_makes_one_key(api: Api) -> None:
    operator = api.as_role("operator", Idempotency_Key="once")
    made = make(operator)
    assert make(operator) == made
    assert data(operator.get(KEYS))["total"] == 1


def test_a_key_may_do_less_than_its_user_and_never_more(api: Api, admin: FlaskClient) -> None:
    client = script(api, make(admin, role="viewer"))
    assert client.get("/api/v1/feeds").status_code == 200
    assert data(client.post("/api/v1/feeds", json={"url": "https://example.com/a"}), 403)
    assert data(client.get(USERS), 403)
    operator = api.as_role("operator")
    refused = operator.post(KEYS, json={"name": "x", "role": "admin"})
    assert list(field_errors(refused)) == ["role"]


def test_a_revoked_key_is_dead_at_once_on_every_parent(migrated_url: str, tmp_path: Path, api: Api) -> None:
    there = build(migrated_url, tmp_path)
    viewer = api.as_role("viewer")
    made = make(viewer)
    assert (verify(script(api, made)), verify(script(there, made))) == (200, 200)
    data(viewer.delete(f"{KEYS}/{made['id']}"))
    assert (verify(script(api, made)), verify(script(there, made))) == (401, 401)
    assert data(script(there, made).get("/api/v1/feeds"), 401) == {"error": "dead_key"}
    assert data(viewer.delete(f"{KEYS}/{made['id']}"), 404)
    there.close()


def test_a_key_is_dead_when_it_expires_and_while_its_user_is_switched_off(
    api: Api, admin: FlaskClient
) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    made = make(api.as_role("viewer"), expires_at=end.isoformat())
    assert datetime.fromisoformat(made["expires_at"]) == end
    client, owner = script(api, made), f"{USERS}/{made['user_id']}"
    assert data(client.get("/api/v1/auth/verify"))["expires_at"] == made["expires_at"]
    data(admin.put(owner, json={"is_active": False}))
    assert verify(client) == 401
    data(admin.put(owner, json={"is_active": True}))
    assert verify(client) == 200
    change(api.engine, AccessKey, made["id"], expires_at=now(-1))
    assert verify(client) == 401


def test_a_new_password_leaves_access_keys_alone(api: Api, admin: FlaskClient) -> None:
    made = make(api.as_role("viewer"))
    data(admin.put(f"{USERS}/{made['user_id']}", json={"password": "another password"}))
    assert verify(script(api, made)) == 200


def test_a_key_can_make_no_key_change_no_password_and_has_no_login(api: Api, admin: FlaskClient) -> None:
    client = script(api, make(admin))
    assert data(client.get(USERS))["total"] == 1
    for answer in (
        client.post(KEYS, json={"name": "another"}),
        client.put(f"{USERS}/me", json={"password": "a new password", "old_password": "x"}),
        client.post("/api/v1/auth/refresh"),
        client.post("/api/v1/auth/logout"),
    ):
        assert data(answer, 403) == {"error": "login_needed"}


def test_everybody_sees_and_revokes_its_own_keys_and_admins_all(api: Api, admin: FlaskClient) -> None:
    ana, ben = api.as_role("operator"), api.as_role("viewer")
    ana_key, ben_key = make(ana), make(ben)
    assert [key["id"] for key in data(ben.get(KEYS))["list"]] == [ben_key["id"]]
    assert data(ben.delete(f"{KEYS}/{ana_key['id']}"), 404) == {"error": "not_found"}
    for query in ("all=true", f"user_id={ana_key['user_id']}"):
        assert data(ana.get(f"{KEYS}?{query}"), 200 if "user_id" in query else 403)
        assert data(ben.get(f"{KEYS}?{query}"), 403)
    assert [key["id"] for key in data(admin.get(f"{KEYS}?all=true"))["list"]] == [
        ben_key["id"],
        ana_key["id"],
    ]
    assert [key["id"] for key in data(admin.get(f"{KEYS}?user_id={ana_key['user_id']}"))["list"]] == [
        ana_key["id"]
    ]
    assert data(admin.get(KEYS)) == {"list": [], "total": 0}
    data(admin.delete(f"{KEYS}/{ana_key['id']}"))
    assert verify(script(api, ana_key)) == 401


def test_what_cannot_be_a_key_is_refused_by_field(api: Api) -> None:
    viewer = api.as_role("viewer")
    for field, value in (
        ("name", ""),
        ("name", "two\nlines"),
        ("expires_at", "2020-01-01T00:00:00Z"),
        ("expires_at", "2020-01-01T00:00:00"),
        ("expires_at", "soon"),
        ("role", "king"),
        ("role", "operator"),
    ):
        answer = viewer.post(KEYS, json={"name": "nightly", field: value})
        assert list(field_errors(answer)) == [field], value
    assert data(viewer.get(KEYS))["total"] == 0


def test_a_wrong_secret_and_an_unknown_key_get_the_same_answer(api: Api) -> None:
    made = make(api.as_role("viewer"))
    answers = [
        api.client(Authorization=f"AK-SK {text}").get("/api/v1/feeds")
        for text in (
            f"{made['access_key']}:SK{'x' * 32}",
            f"WK{'x' * 32}:{made['secret']}",
            f"{made['access_key']}:é",
        )
    ]
    assert [data(answer, 401) for answer in answers] == [{"error": "dead_key"}] * 3


def test_a_request_does_not_fail_because_its_key_s_use_can_t_be_noted(api: Api, backend: str) -> None:
    client = script(api, make(api.as_role("viewer")))
    refuse = {
        "sqlite": "BEGIN SELECT RAISE(ABORT, 'no'); END",
        "mariadb": "FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'",
    }[backend]
    with api.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TRIGGER no_notes BEFORE UPDATE ON access_keys {refuse}")
    try:
        assert verify(client) == 200
    finally:
        with api.engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER no_notes")
    assert row_of(api.engine, AccessKey).last_used_at is None
    assert verify(client) == 200
    assert row_of(api.engine, AccessKey).last_used_at is not None
