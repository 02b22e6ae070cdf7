"""Logging in, dead tokens, roles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from backend.api.tokens import Tokens
from backend.store import users
from backend.store.passwords import hash_password
from backend.store.session import transact
from backend.store.tables import User
from tests.integration.api.harness import PASSWORD, SECRET_KEY, Api, data, field_errors

LOGIN = "/api/v1/auth/login"


def test_a_login_gives_a_token_that_opens_routes_and_is_not_cached(api: Api) -> None:
    api.add_user("ana", "admin")
    answer = api.client().post(LOGIN, json={"username": "ana", "password": PASSWORD})
    token = data(answer)
    assert token["token_type"] == "bearer"
    assert token["expires_in"] == 259200
    assert answer.headers["Cache-Control"] == "no-store"
    assert api.client(token["access_token"]).get("/api/v1/feeds").status_code == 200


def test_names_are_the_same_however_they_are_spelled(api: Api) -> None:
    api.add_user("Ana", "admin")
    answer = api.client().post(LOGIN, json={"username": " ANA ", "password": PASSWORD})
    assert data(answer)["access_token"]


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(api: Api) -> None:
    api.add_user("ana", "admin")
    wrong = api.client().post(LOGIN, json={"username": "ana", "password": "something else"})
    unknown = api.client().post(LOGIN, json={"username": "nobody", "password": "something else"})
    assert data(wrong, 401) == data(unknown, 401) == {"error": "bad_login"}
    assert wrong.get_json()["message"] == unknown.get_json()["message"]


def test_a_user_who_was_switched_off_cannot_log_in_and_loses_the_token(api: Api) -> None:
    api.add_user("ana", "admin")
    token = api.log_in("ana")
    transact(api.engine, lambda session: session.execute(update(User).values(is_active=False)))
    assert data(api.client(token).get("/api/v1/feeds"), 401) == {"error": "dead_token"}
    answer = api.client().post(LOGIN, json={"username": "ana", "password": PASSWORD})
    assert data(answer, 401) == {"error": "bad_login"}


def test_a_new_password_kills_older_tokens_at_once(api: Api) -> None:
    api.add_user("ana", "admin")
    token = api.log_in("ana")
    fresh = hash_password("another password")
    changed = transact(api.engine, lambda session: users.set_password(session, "ana", fresh))
    assert changed.token_version == 2
    assert data(api.client(token).get("/api/v1/feeds"), 401) == {"error": "dead_token"}
    answer = api.client().post(LOGIN, json={"username": "ana", "password": "another password"})
    assert api.client(data(answer)["access_token"]).get("/api/v1/feeds").status_code == 200


def test_an_expired_token_is_dead(api: Api) -> None:
    api.add_user("ana", "admin")
    now = datetime.now(UTC)
    alive = api.issue("ana", Tokens(SECRET_KEY, 60), now + timedelta(seconds=60))
    assert api.client(alive).get("/api/v1/feeds").status_code == 200
    token = api.issue("ana", Tokens(SECRET_KEY, 60), now - timedelta(seconds=1))
    assert data(api.client(token).get("/api/v1/feeds"), 401) == {"error": "dead_token"}


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "AK-SK a"])
def test_without_a_bearer_token_the_answer_says_how_to_log_in(api: Api, header: str) -> None:
    answer = api.client().get("/api/v1/feeds", headers={"Authorization": header})
    assert data(answer, 401) == {"error": "unauthenticated"}
    assert answer.headers["WWW-Authenticate"] == "Bearer, AK-SK"
    assert "/api/v1/auth/login" in answer.get_json()["message"]


def test_a_token_of_another_installation_is_dead(api: Api) -> None:
    api.add_user("ana", "admin")
    token = api.issue("ana", Tokens("somebody else's key", 600), datetime.now(UTC) + timedelta(seconds=60))
    assert data(api.client(token).get("/api/v1/feeds"), 401) == {"error": "dead_token"}


@pytest.mark.parametrize(("body", "field"), [({}, "username"), ({"username": "a"}, "password")])
def test_a_login_without_its_fields_names_them(api: Api, body: dict[str, str], field: str) -> None:
    assert field_errors(api.client().post(LOGIN, json=body))[field] == "is required"


def test_viewers_read_and_change_nothing(api: Api) -> None:
    viewer = api.as_role("viewer")
    assert viewer.get("/api/v1/feeds").status_code == 200
    for method, path in (
        ("POST", "/api/v1/feeds"),
        ("POST", "/api/v1/feeds/import"),
        ("PUT", "/api/v1/feeds/x"),
        ("DELETE", "/api/v1/feeds/x"),
        ("POST", "/api/v1/message-tasks"),
        ("PUT", "/api/v1/message-tasks/x"),
        ("DELETE", "/api/v1/message-tasks/x"),
        ("POST", "/api/v1/cascade/dispatch-task"),
        ("POST", "/api/v1/wx/cascade/dispatch-task"),
    ):
        answer = viewer.open(path, method=method, json={})
        assert data(answer, 403) == {"error": "forbidden"}, path
        assert "viewer" in answer.get_json()["message"]


def test_operators_may_change_feeds(api: Api) -> None:
    answer = api.as_role("operator").post("/api/v1/feeds", json={"url": "https://example.com/a"})
    assert data(answer)["kind"] == "rss"
