"""Users over HTTP: what admins may, what everybody may with itself."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.building import together
from tests.integration.api.harness import PASSWORD, Api, data, field_errors

USERS = "/api/v1/users"
NEW = "a new password"


def me(client: FlaskClient) -> dict[str, object]:
    """Who is asking."""
    found: dict[str, object] = data(client.get(f"{USERS}/me"))
    return found


def log_in(api: Api, name: object, password: str) -> int:
    body = {"username": name, "password": password}
    return api.client().post("/api/v1/auth/login", json=body).status_code


def test_an_admin_adds_lists_changes_and_deletes_users(api: Api, admin: FlaskClient) -> None:
    made = data(admin.post(USERS, json={"name": " Ben ", "password": NEW, "role": "viewer"}))
    assert (made["name"], made["role"], made["is_active"]) == ("ben", "viewer", True)
    assert not [key for key in made if "password" in key]
    assert data(admin.get(f"{USERS}/{made['id']}")) == made
    listed = data(admin.get(f"{USERS}?limit=1&offset=1"))
    assert (listed["list"], listed["total"]) == ([made], 2)
    changed = data(admin.put(f"{USERS}/{made['id']}", json={"role": "operator"}))
    assert changed == made | {"role": "operator"}
    assert data(admin.delete(f"{USERS}/{made['id']}")) is None
    assert data(admin.get(f"{USERS}/{made['id']}"), 404) == {"error": "not_found"}
    assert log_in(api, "ben", NEW) == 401


def test_what_cannot_be_a_user_is_refused_by_field(admin: FlaskClient) -> None:
    assert set(field_errors(admin.post(USERS, json={}))) == {"name", "password", "role"}
    good = {"name": "ben", "password": NEW, "role": "viewer"}
    for field, value in (("name", "\n"), ("password", "short"), ("role", "king"), ("colour", "red")):
        assert list(field_errors(admin.post(USERS, json=good | {field: value}))) == [field]
    data(admin.post(USERS, json=good))
    assert data(admin.post(USERS, json=good | {"name": "BEN"}), 409)["error"] == "user_exists"


def test_another_s_password_and_switching_off_end_its_logins_at_once(api: Api, admin: FlaskClient) -> None:
    ben = api.as_role("operator")
    name, url = me(ben)["name"], f"{USERS}/{me(ben)['id']}"
    data(admin.put(url, json={"password": NEW}))
    assert ben.get("/api/v1/feeds").status_code == 401
    assert (log_in(api, name, PASSWORD), log_in(api, name, NEW)) == (401, 200)
    assert data(admin.put(url, json={"is_active": False}))["is_active"] is False
    assert log_in(api, name, NEW) == 401


@pytest.mark.parametrize("role", ["operator", "viewer"])
def test_everybody_reads_itself_and_nobody_else(api: Api, admin: FlaskClient, role: str) -> None:
    client = api.as_role(role)
    own = me(client)
    assert own["role"] == role
    assert data(client.get(f"{USERS}/{own['id']}")) == own
    for path in (f"{USERS}/{me(admin)['id']}", f"{USERS}/nobody", USERS):
        assert data(client.get(path), 403) == {"error": "forbidden"}
    assert data(client.delete(f"{USERS}/me"), 403) == {"error": "forbidden"}
    for changes in ({"role": "admin"}, {"is_active": True}, {"password": NEW, "role": "admin"}):
        assert data(client.put(f"{USERS}/me", json=changes), 403) == {"error": "own_password_only"}
    assert data(client.put(f"{USERS}/{me(admin)['id']}", json={"password": NEW}), 403)
    assert me(client) == own


@pytest.mark.parametrize("role", ["admin", "viewer"])
def test_who_changes_its_own_password_must_know_the_present_one(api: Api, role: str) -> None:
    client = api.as_role(role)
    name = me(client)["name"]
    change = {"password": NEW}
    assert list(field_errors(client.put(f"{USERS}/me", json=change))) == ["old_password"]
    wrong = client.put(f"{USERS}/me", json=change | {"old_password": "a wrong one"})
    assert list(field_errors(wrong)) == ["old_password"]
    weak = client.put(f"{USERS}/me", json={"password": "short", "old_password": PASSWORD})
    assert list(field_errors(weak)) == ["password"]
    data(client.put(f"{USERS}/me", json=change | {"old_password": PASSWORD}))
    assert client.get(f"{USERS}/me").status_code == 401
    assert (log_in(api, name, PASSWORD), log_in(api, name, NEW)) == (401, 200)


def test_a_stolen_token_gets_five_guesses_at_the_password(api: Api) -> None:
    client = api.as_role("viewer")
    guess = {"password": NEW, "old_password": "a wrong one"}
    statuses = [client.put(f"{USERS}/me", json=guess).status_code for _ in range(6)]
    assert statuses == [422] * 5 + [429]


@pytest.mark.parametrize("changes", [{"role": "viewer"}, {"is_active": False}, None])
def test_the_last_active_admin_stays(admin: FlaskClient, changes: dict[str, object] | None) -> None:
    url = f"{USERS}/{me(admin)['id']}"
    answer = admin.delete(url) if changes is None else admin.put(url, json=changes)
    assert data(answer, 409) == {"error": "last_admin"}
    assert "make somebody else an admin first" in answer.get_json()["message"]
    assert me(admin)["role"] == "admin"


def test_of_two_admins_who_switch_each_other_off_at_once_one_stays(api: Api) -> None:
    first, second = api.as_role("admin"), api.as_role("admin")
    ids = [me(client)["id"] for client in (first, second)]
    answers = together(
        lambda: first.put(f"{USERS}/{ids[1]}", json={"is_active": False}).status_code,
        lambda: second.put(f"{USERS}/{ids[0]}", json={"is_active": False}).status_code,
    )
    # The slower one meets the end of its own login, or that nobody else is left.
    assert 200 in answers
    assert set(answers) <= {200, 401, 409}
    assert sorted(client.get(f"{USERS}/me").status_code for client in (first, second)) == [200, 401]


def test_another_role_counts_from_the_next_request_on(api: Api, admin: FlaskClient) -> None:
    client = api.as_role("operator")
    url = f"{USERS}/{me(client)['id']}"
    assert client.post("/api/v1/feeds", json={"url": "https://example.com/a"}).status_code == 200
    data(admin.put(url, json={"role": "viewer"}))
    assert client.post("/api/v1/feeds", json={"url": "https://example.com/b"}).status_code == 403
