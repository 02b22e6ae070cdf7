"""Accounts over HTTP: what goes in as credentials never comes out, and their health says what to do."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.domain.identifiers import new_id
from backend.store import login_screenshots, nodes
from backend.store.session import transact
from backend.store.tables import LoginScreenshot, PublishAccount
from tests.building import change, rows_of
from tests.integration.api.harness import Api, data
from tests.integration.api.publishing import ACCOUNTS, SECRET, URL, add_account, add_article

PLANTED = ("planted-url", "planted-secret", "planted-cookie", "planted-password", "planted-token")
LINK = "https://www.zhihu.com/account/scan/login/planted-link"


@pytest.fixture
def author(api: Api) -> FlaskClient:
    """A client of somebody who publishes."""
    return api.as_role("operator")


def make_node(api: Api, name: str = "beijing-1") -> str:
    """A node that an account may belong to; its id."""
    node_id = new_id()
    transact(
        api.engine,
        lambda session: nodes.create_node(session, name=name, transport="remote", node_id=node_id),
    )
    return node_id


def test_an_account_is_shown_without_its_credentials(api: Api, author: FlaskClient) -> None:
    node = make_node(api)
    account = add_account(author, "my hook", node_id=node, min_gap_seconds=5)
    answer = author.get(f"{ACCOUNTS}/{account}")
    found = data(answer)
    assert (found["platform"], found["name"], found["node_name"]) == ("webhook", "my hook", "beijing-1")
    assert (found["health"], found["credential_version"], found["is_active"]) == ("unknown", 1, True)
    assert (found["min_gap_seconds"], found["daily_limit"]) == (5, None)
    everything = answer.text + author.get(ACCOUNTS).text
    assert not [one for one in PLANTED if one in everything]
    [row] = rows_of(api.engine, PublishAccount)
    assert SECRET not in row.credentials
    assert SECRET in api.parts.cipher.decrypt(row.credentials)


COOKIES: list[Any] = [
    "Cookie: z_c0=planted-cookie; _xsrf=x; d_c0=y",
    [{"name": "z_c0", "value": "planted-cookie"}, {"name": "_xsrf", "value": "x"}],
    {"z_c0": "planted-cookie", "_xsrf": "x"},
    ".zhihu.com\tTRUE\t/\tTRUE\t1999999999\tz_c0\tplanted-cookie\n.zhihu.com\tTRUE\t/\tTRUE\t0\t_xsrf\tx",
]


def test_cookies_are_taken_in_every_form(api: Api, author: FlaskClient) -> None:
    for number, cookies in enumerate(COOKIES):
        body = {"platform": "zhihu", "name": f"writer {number}", "credentials": {"cookies": cookies}}
        assert data(author.post(ACCOUNTS, json=body))["id"]
    stored = [api.parts.cipher.decrypt(row.credentials) for row in rows_of(api.engine, PublishAccount)]
    assert len(stored) == len(COOKIES)
    assert all("planted-cookie" in one for one in stored)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"credentials": {"url": URL}}, "credentials"),
    ({"credentials": {}}, "credentials"),
    ({"credentials": {"url": "ftp://planted-url", "secret": "x"}}, "credentials"),
    ({"credentials": {"cookies": "planted-cookie"}}, "credentials"),
    ({"platform": "nowhere"}, "platform"),
    ({"name": " "}, "name"),
    ({"node_id": "nothing"}, "node_id"),
    ({"daily_limit": -1}, "daily_limit"),
]


def test_what_can_not_be_used_is_refused_without_repeating_it(author: FlaskClient) -> None:
    usable = {"platform": "webhook", "name": "mine", "credentials": {"url": URL, "secret": SECRET}}
    for change_of, field in REFUSED:
        answer = author.post(ACCOUNTS, json=usable | change_of)
        assert list(data(answer, 422)["errors"]) == [field], change_of
        assert not [one for one in PLANTED if one in answer.text]
    assert data(author.get(ACCOUNTS))["total"] == 0


def test_a_name_is_taken_once_on_each_platform(author: FlaskClient, api: Api) -> None:
    first = add_account(author, "mine")
    body = {"platform": "webhook", "name": "mine", "credentials": {"url": URL, "secret": SECRET}}
    assert data(author.post(ACCOUNTS, json=body), 409)["existing_id"] == first
    assert add_account(api.as_role("operator"), "mine")


def test_owners_see_their_own_accounts_and_admins_all(api: Api, author: FlaskClient) -> None:
    account = add_account(author)
    stranger, admin = api.as_role("operator"), api.as_role("admin")
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {"name": "stolen"}),
        ("DELETE", "", None),
        ("PUT", "/credentials", {"credentials": {"url": URL, "secret": "x"}}),
        ("POST", "/check", None),
        ("POST", "/login", None),
        ("GET", "/login-code", None),
        ("GET", "/login-screenshot", None),
    ):
        answer = stranger.open(f"{ACCOUNTS}/{account}{path}", method=method, json=body)
        assert answer.status_code == 404, path
    assert data(stranger.get(ACCOUNTS))["total"] == 0
    assert data(admin.get(ACCOUNTS))["total"] == 1
    owner = data(author.get(f"{ACCOUNTS}/{account}"))["user_id"]
    assert stranger.get(ACCOUNTS, query_string={"user_id": owner}).status_code == 403


def test_an_account_changes_as_its_owner_saw_it(api: Api, author: FlaskClient) -> None:
    account = add_account(author, "mine", daily_limit=3)
    seen = author.get(f"{ACCOUNTS}/{account}")
    changed = author.put(
        f"{ACCOUNTS}/{account}",
        json={"name": "renamed", "daily_limit": None, "is_active": False},
        headers={"If-Match": seen.headers["ETag"]},
    )
    assert (data(changed)["name"], data(changed)["daily_limit"], data(changed)["is_active"]) == (
        *("renamed", None),
        False,
    )
    late = author.put(
        f"{ACCOUNTS}/{account}", json={"name": "late"}, headers={"If-Match": seen.headers["ETag"]}
    )
    assert data(late, 412)["error"] == "changed_meanwhile"
    assert data(author.get(f"{ACCOUNTS}/{account}"))["name"] == "renamed"
    unchanged = author.get(f"{ACCOUNTS}/{account}", headers={"If-None-Match": changed.headers["ETag"]})
    assert unchanged.status_code == 304


def test_new_credentials_are_a_new_version_and_are_checked(api: Api, author: FlaskClient) -> None:
    account = add_account(author)
    change(api.engine, PublishAccount, account, health="expired", health_code="session_expired")
    new = {"credentials": {"url": URL, "secret": "planted-token"}}
    done = data(author.put(f"{ACCOUNTS}/{account}/credentials", json=new))
    assert (done["credential_version"], done["health"]) == (2, "unknown")
    assert done["check_due_at"]
    [row] = rows_of(api.engine, PublishAccount)
    assert "planted-token" in api.parts.cipher.decrypt(row.credentials)
    assert SECRET not in api.parts.cipher.decrypt(row.credentials)


def test_a_check_is_asked_for_and_a_login_only_where_there_is_one(author: FlaskClient) -> None:
    account = add_account(author)
    asked = data(author.post(f"{ACCOUNTS}/{account}/check"))
    assert (asked["account_id"], asked["errand"]) == (account, "check")
    assert data(author.get(f"{ACCOUNTS}/{account}"))["errand_wanted"] == "check"
    assert data(author.post(f"{ACCOUNTS}/{account}/login"), 409)["error"] == "no_login_for_platform"


def put_code(api: Api, account: str, life: timedelta) -> None:
    """A code to log in with, as a running login stores it."""
    change(
        api.engine,
        PublishAccount,
        account,
        login_prompt=api.parts.cipher.encrypt(LINK),
        login_prompt_until=datetime.now(UTC) + life,
    )


def test_the_code_to_log_in_with_is_a_picture_while_it_is_good(api: Api, author: FlaskClient) -> None:
    account = add_account(author)
    path = f"{ACCOUNTS}/{account}/login-code"
    assert data(author.get(path), 404)["error"] == "no_login_code"
    put_code(api, account, timedelta(minutes=1))
    for form, kind, start in (("png", "image/png", b"\x89PNG"), ("svg", "image/svg+xml", b"<?xml")):
        answer = author.get(path, query_string={"format": form})
        assert (answer.status_code, answer.mimetype) == (200, kind)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.data.startswith(start)
    assert data(author.get(f"{ACCOUNTS}/{account}"))["login_code_until"]
    put_code(api, account, timedelta(minutes=-1))
    assert author.get(path).status_code == 404
    assert data(author.get(f"{ACCOUNTS}/{account}"))["login_code_until"] is None


def test_the_screenshot_of_a_login_is_seen_by_its_owner_until_the_account_is_deleted(
    api: Api, author: FlaskClient
) -> None:
    account = add_account(author)
    path = f"{ACCOUNTS}/{account}/login-screenshot"
    assert data(author.get(path), 404)["error"] == "no_login_screenshot"
    cipher, image = api.parts.cipher, base64.b64encode(b"\xff\xd8 a picture").decode()
    transact(api.engine, lambda session: login_screenshots.keep(session, cipher, account, image))
    answer = author.get(path)
    assert (answer.mimetype, answer.data) == ("image/jpeg", b"\xff\xd8 a picture")
    assert answer.headers["Cache-Control"] == "no-store"
    assert author.delete(f"{ACCOUNTS}/{account}").status_code == 200
    assert rows_of(api.engine, LoginScreenshot) == []


def test_an_account_with_open_tasks_is_not_deleted(author: FlaskClient) -> None:
    account = add_account(author)
    task = add_article(author, account)
    assert author.delete(f"{ACCOUNTS}/{account}").status_code == 409
    author.post(f"/api/v1/publish/tasks/{task}/cancel")
    assert data(author.delete(f"{ACCOUNTS}/{account}")) is None
    assert author.get(f"{ACCOUNTS}/{account}").status_code == 404
    assert data(author.get(f"/api/v1/publish/tasks/{task}"))["account_name"] == ""


REMEDIES = {"expired": "credentials", "needs_login": "log in", "cooling": "by itself", "ok": ""}


def test_health_says_what_to_do(api: Api, author: FlaskClient) -> None:
    account = add_account(author)
    for health, words in REMEDIES.items():
        change(api.engine, PublishAccount, account, health=health, health_reason="what the platform said")
        found = data(author.get(f"{ACCOUNTS}/{account}"))
        assert (found["health"], found["health_reason"]) == (health, "what the platform said")
        assert words in found["remedy"]
        assert bool(words) == bool(found["remedy"])
