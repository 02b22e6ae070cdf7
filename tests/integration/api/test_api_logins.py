"""Logging in by JSON and form, out of one login or all, and the lock after wrong passwords, on two parents."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bcrypt
import pytest
from werkzeug.test import TestResponse

from backend.api.app import create_app
from backend.store.tables import Login, User
from tests.building import change, row_of, rows_of, together
from tests.integration.api.harness import PASSWORD, Api, build, data, field_errors, settings_for
from tests.servers import RedisServer

AUTH = "/api/v1/auth"
LOGIN = {"username": "ana", "password": PASSWORD}
GUESS = {"username": "ana", "password": "a wrong password"}


@pytest.fixture
def parents(migrated_url: str, tmp_path: Path, redis_server: RedisServer) -> Iterator[tuple[Api, Api]]:
    """Two parents on the same database and Redis, as two processes are."""
    both = build(migrated_url, tmp_path, redis_server.url), build(migrated_url, tmp_path, redis_server.url)
    both[0].add_user("ana", "operator")
    yield both
    for one in both:
        one.close()


@pytest.fixture
def ana(api: Api) -> Api:
    """A parent that knows the operator ana."""
    api.add_user("ana", "operator")
    return api


def status(api: Api, token: str) -> int:
    """What a token gets at a route that everybody who is logged in may use."""
    return api.client(token).get(f"{AUTH}/verify").status_code


def guess(api: Api, **headers: str) -> TestResponse:
    return api.client(**headers).post(f"{AUTH}/login", json=GUESS)


@pytest.mark.parametrize("how", ["json", "form", "multipart"])
def test_logins_come_as_json_and_as_forms(ana: Api, how: str) -> None:
    client = ana.client()
    if how == "json":
        enveloped, bare = client.post(f"{AUTH}/login", json=LOGIN), client.post(f"{AUTH}/token", json=LOGIN)
    else:
        kind = {"form": "application/x-www-form-urlencoded", "multipart": "multipart/form-data"}[how]
        grant = {"grant_type": "password", "scope": "", "client_id": "x", "client_secret": "y"}
        enveloped = client.post(f"{AUTH}/login", data=LOGIN, content_type=kind)
        bare = client.post(f"{AUTH}/token", data=LOGIN | grant, content_type=kind)
    assert bare.status_code == 200
    for token in (data(enveloped), bare.get_json()):
        assert set(token) == {"access_token", "token_type", "expires_in"}
        assert (token["token_type"], token["expires_in"]) == ("bearer", 259200)
        assert status(ana, token["access_token"]) == 200
    assert bare.headers["Cache-Control"] == "no-store"


def test_a_form_with_a_mistake_names_the_field(ana: Api) -> None:
    client = ana.client()
    assert field_errors(client.post(f"{AUTH}/login", data={"username": "ana"})) == {"password": "is required"}
    assert "grant_type" in field_errors(
        client.post(f"{AUTH}/token", data=LOGIN | {"grant_type": "client_credentials"})
    )
    assert data(client.post(f"{AUTH}/login", data="x", content_type="text/plain"), 415)


def test_verify_says_who_asks_and_until_when(ana: Api) -> None:
    client = ana.client(ana.log_in("ana"))
    for answer in (client.get(f"{AUTH}/verify"), client.post(f"{AUTH}/verify")):
        found = data(answer)
        assert (found["is_valid"], found["username"], found["role"]) == (True, "ana", "operator")
        left = datetime.fromisoformat(found["expires_at"]) - datetime.now(UTC)
        assert timedelta(seconds=259100) < left <= timedelta(seconds=259200)


def test_logging_out_of_one_browser_leaves_the_other_on_every_parent(parents: tuple[Api, Api]) -> None:
    here, there = parents
    browser, phone = here.log_in("ana"), there.log_in("ana")
    assert data(here.client(browser).post(f"{AUTH}/logout")) is None
    assert [status(api, browser) for api in parents] == [401, 401]
    assert [status(api, phone) for api in parents] == [200, 200]
    data(there.client(phone).post(f"{AUTH}/logout"))
    assert [status(api, phone) for api in parents] == [401, 401]
    assert rows_of(here.engine, Login) == []


def test_logging_out_everywhere_ends_every_login_of_the_user_only(parents: tuple[Api, Api]) -> None:
    here, there = parents
    here.add_user("ben", "viewer")
    tokens, other = [here.log_in("ana"), there.log_in("ana")], here.log_in("ben")
    data(here.client(tokens[0]).post(f"{AUTH}/logout", json={"everywhere": True}))
    assert [status(there, token) for token in tokens] == [401, 401]
    assert status(there, other) == 200


def test_a_refreshed_token_belongs_to_the_same_login(ana: Api) -> None:
    old = ana.log_in("ana")
    change(ana.engine, Login, expires_at=datetime.now(UTC))
    new = data(ana.client(old).post(f"{AUTH}/refresh"))["access_token"]
    assert row_of(ana.engine, Login).expires_at > datetime.now(UTC) + timedelta(days=2)
    assert (status(ana, old), status(ana, new)) == (200, 200)
    data(ana.client(new).post(f"{AUTH}/logout"))
    assert (status(ana, old), status(ana, new)) == (401, 401)
    assert data(ana.client(new).post(f"{AUTH}/refresh"), 401) == {"error": "dead_token"}


@pytest.mark.parametrize("name", ["ana", "nobody"])
def test_five_wrong_passwords_lock_a_name_on_every_parent_whether_it_exists_or_not(
    parents: tuple[Api, Api], name: str
) -> None:
    wrong = {"username": name, "password": "a wrong password"}
    answers = [parents[number % 2].client().post(f"{AUTH}/login", json=wrong) for number in range(5)]
    assert {answer.status_code for answer in answers} == {401}
    for api in parents:
        for route, body in (("login", wrong), ("login", wrong | {"password": PASSWORD}), ("token", wrong)):
            answer = api.client().post(f"{AUTH}/{route}", json=body)
            assert data(answer, 429) == {"error": "login_locked"}
            assert 890 <= int(answer.headers["Retry-After"]) <= 900
            assert "try again in" in answer.get_json()["message"]
    parents[0].add_user("ben", "viewer")
    assert parents[1].log_in("ben")


def test_a_locked_name_is_open_from_another_address_and_its_logins_go_on(parents: tuple[Api, Api]) -> None:
    here, there = parents
    token = here.log_in("ana")
    for _ in range(5):
        guess(here)
    assert guess(there).status_code == 429
    assert status(there, token) == 200
    elsewhere = there.client()
    elsewhere.environ_base["REMOTE_ADDR"] = "192.0.2.99"
    assert elsewhere.post(f"{AUTH}/login", json=LOGIN).status_code == 200


def test_many_guesses_at_once_get_five_checks(parents: tuple[Api, Api]) -> None:
    met = together(*(lambda api=parents[n % 2]: guess(api).status_code for n in range(16)))
    assert sorted(met) == [401] * 5 + [429] * 11


def test_many_logins_at_once_with_the_right_password_all_succeed(parents: tuple[Api, Api]) -> None:
    tokens = together(*(lambda api=parents[n % 2]: api.log_in("ana") for n in range(12)))
    assert {status(parents[0], token) for token in tokens} == {200}


def test_x_forwarded_for_counts_from_trusted_proxies_only(migrated_url: str, tmp_path: Path) -> None:
    settings = settings_for(migrated_url, tmp_path)
    trusting = Api(create_app(dataclasses.replace(settings, trusted_proxies=("127.0.0.0/8",))))
    doubting = Api(create_app(settings))
    trusting.add_user("ana", "operator")
    # Whoever guesses may invent what stands in front.
    for number in range(5):
        guess(trusting, X_Forwarded_For=f"203.0.113.{number}, 198.51.100.1")
        guess(doubting, X_Forwarded_For=f"203.0.113.{number}")
    assert guess(trusting, X_Forwarded_For="198.51.100.1").status_code == 429
    assert guess(trusting, X_Forwarded_For="198.51.100.2").status_code == 401
    assert guess(doubting, X_Forwarded_For="198.51.100.2").status_code == 429
    trusting.close()
    doubting.close()


def test_without_redis_a_parent_still_locks_names(ana: Api) -> None:
    assert [guess(ana).status_code for _ in range(6)] == [401] * 5 + [429]


def test_an_imported_hash_becomes_argon2_at_the_next_login_and_logins_go_on(ana: Api) -> None:
    before = ana.log_in("ana")
    imported = bcrypt.hashpw(b"short", bcrypt.gensalt(4)).decode()
    change(ana.engine, User, password_hash=imported)
    assert guess(ana).status_code == 401
    assert row_of(ana.engine, User).password_hash == imported
    for _ in range(2):
        answer = ana.client().post(f"{AUTH}/login", json={"username": "ana", "password": "short"})
        assert data(answer)["access_token"]
        assert row_of(ana.engine, User).password_hash.startswith("$argon2id$")
    assert status(ana, before) == 200
