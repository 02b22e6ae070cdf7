"""`/login` in a browser: the cookie and where it counts, the form's protections, the ends of a login."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backend.api.app import create_app
from backend.api.browser_logins import local_path
from backend.store.tables import Login, User
from tests.building import change, rows_of
from tests.integration.api.browsing import (
    COOKIE,
    HTML,
    browser_of,
    change_header,
    form_token,
    login_cookie,
    submit,
)
from tests.integration.api.harness import PASSWORD, Api, data, settings_for

# A page that needs a login and nothing else: without one it says where to get it.
PAGE = "/rq/assets/rq.css"


@pytest.fixture
def backend() -> str:
    """What logins are in the database is tested on each of them elsewhere."""
    return "sqlite"


@pytest.fixture
def ana(api: Api) -> Api:
    """A parent that knows the admin ana."""
    api.add_user("ana", "admin")
    return api


def is_in(client: FlaskClient) -> bool:
    """Whether the browser is logged in: else it is sent to the form."""
    with client.get(PAGE, headers=HTML) as answer:
        assert answer.status_code in {200, 303}
        return answer.status_code == 200


def test_the_form_logs_a_browser_in_and_leads_where_it_wanted_to_go(ana: Api) -> None:
    client = ana.client()
    sent = client.get("/rq/0/view/workers?x=1", headers=HTML)
    assert (sent.status_code, sent.headers["Location"]) == (
        303,
        "/login?next=%2Frq%2F0%2Fview%2Fworkers%3Fx%3D1",
    )
    answer = submit(client, "ana", at=sent.headers["Location"])
    assert (answer.status_code, answer.headers["Location"]) == (303, "/rq/0/view/workers?x=1")
    cookie = login_cookie(answer)
    assert cookie.keys() == {"value", "expires", "max-age", "httponly", "path", "samesite"}
    assert (cookie["samesite"], cookie["path"], cookie["max-age"]) == ("Strict", "/", "259200")
    assert is_in(client)
    assert "ana" in client.get("/login").text


def test_scripts_are_told_401_and_only_browsers_are_sent_to_the_form(api: Api) -> None:
    client = api.client()
    assert data(client.get(PAGE), 401) == {"error": "unauthenticated"}
    assert client.post("/logout", headers=HTML).headers["Location"] == "/login?next=%2F"
    assert data(client.get("/api/v1/feeds", headers=HTML), 401)


@pytest.mark.parametrize(
    ("proxies", "base_url", "headers", "secure"),
    [
        ((), "http://localhost", {}, False),
        ((), "https://localhost", {}, True),
        ((), "http://localhost", {"X-Forwarded-Proto": "https"}, False),
        (("127.0.0.0/8",), "http://localhost", {"X-Forwarded-Proto": "https"}, True),
        (("127.0.0.0/8",), "http://localhost", {"X-Forwarded-Proto": "http"}, False),
    ],
)
def test_the_cookie_is_for_https_only_where_the_person_came_by_https(
    migrated_url: str,
    tmp_path: Path,
    proxies: tuple[str, ...],
    base_url: str,
    headers: dict[str, str],
    secure: bool,
) -> None:
    settings = dataclasses.replace(settings_for(migrated_url, tmp_path), trusted_proxies=proxies)
    api = Api(create_app(settings))
    api.add_user("ana", "viewer")
    client = api.client()
    page = client.get("/login", base_url=base_url, headers=headers)
    fields = {"username": "ana", "password": PASSWORD, "csrf_token": form_token(page.text)}
    answer = client.post("/login", base_url=base_url, headers=headers, data=fields)
    assert ("secure" in login_cookie(answer)) is secure
    api.close()


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "evil",
        "/a\r\nSet-Cookie: x=1",
        "/a\n",
        "/\t/evil.example",
        "",
    ],
)
def test_nobody_is_led_to_another_site(ana: Api, wanted: str) -> None:
    client = ana.client()
    page = client.get("/login", query_string={"next": wanted})
    assert "evil" not in page.text
    fields = {"username": "ana", "password": PASSWORD, "csrf_token": form_token(page.text)}
    answer = client.post("/login", query_string={"next": wanted}, data=fields)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert local_path("/rq/0/view/jobs/node:a-1/queued/25/asc/1?x=%E4%B8%AD") != "/"


def test_five_wrong_passwords_lock_the_form_and_the_api_together(ana: Api) -> None:
    client = ana.client()
    for number in range(5):
        if number % 2:
            assert submit(client, "ana", "wrong").status_code == 401
        else:
            wrong = {"username": "ana", "password": "wrong"}
            assert client.post("/api/v1/auth/login", json=wrong).status_code == 401
    answer = submit(client, "ana")
    assert answer.status_code == 429
    assert 890 <= int(answer.headers["Retry-After"]) <= 900
    assert 'role="alert"' in answer.text
    assert login_cookie(answer) == {}
    right = {"username": "ana", "password": PASSWORD}
    assert data(client.post("/api/v1/auth/login", json=right), 429) == {"error": "login_locked"}


@pytest.mark.parametrize(
    ("accepted", "words"),
    [("en", "The user name or the password is wrong."), ("zh-CN", "用户名或密码错误。")],
)
def test_the_form_says_what_was_wrong_in_the_browser_s_language(api: Api, accepted: str, words: str) -> None:
    client = api.client(Accept_Language=accepted)
    for name, password in (("<b>nobody", "x"), ("nobody", "x" * 2000), ("n" * 300, "x")):
        answer = submit(client, name, password)
        assert (answer.status_code, words in answer.text, "<b>nobody" in answer.text) == (401, True, False)


def test_a_login_can_t_be_slipped_in_by_another_page(ana: Api) -> None:
    client, other = ana.client(), ana.client()
    fields = {"username": "ana", "password": PASSWORD}
    token = form_token(client.get("/login").text)
    for sent, headers, status in (
        ({}, {}, 422),
        ({"csrf_token": "0" * 64}, {}, 422),
        ({"csrf_token": form_token(other.get("/login").text)}, {}, 422),
        ({"csrf_token": token}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ({"csrf_token": token}, {"Sec-Fetch-Site": "same-site"}, 403),
    ):
        answer = client.post("/login", data=fields | sent, headers=headers)
        assert (answer.status_code, login_cookie(answer)) == (status, {})
    # Without the form's cookie the token is worth nothing.
    assert ana.client().post("/login", data=fields | {"csrf_token": token}).status_code == 422
    assert rows_of(ana.engine, Login) == []
    own = {"Sec-Fetch-Site": "same-origin"}
    assert client.post("/login", data=fields | {"csrf_token": token}, headers=own).status_code == 303


def test_the_cookie_opens_pages_and_never_the_api(ana: Api) -> None:
    client = browser_of(ana, "ana")
    header = change_header(client)
    assert is_in(client)
    assert data(client.get("/api/v1/feeds", headers=header), 401) == {"error": "unauthenticated"}
    assert data(client.post("/api/v1/cascade/reload-scheduler", headers=header), 401)
    cookie = client.get_cookie(COOKIE)
    assert cookie is not None
    assert data(ana.client(cookie.value).get("/api/v1/feeds"), 401) == {"error": "dead_token"}


def test_a_token_of_the_api_is_no_cookie(ana: Api) -> None:
    client = ana.client()
    client.set_cookie(COOKIE, ana.log_in("ana"))
    assert not is_in(client)


def end_by_switching_off(api: Api) -> None:
    change(api.engine, User, is_active=False)


def end_by_new_password(api: Api) -> None:
    body = {"password": "another long password", "old_password": PASSWORD}
    data(api.client(api.log_in("ana")).put("/api/v1/users/me", json=body))


def end_by_logging_out_everywhere(api: Api) -> None:
    data(api.client(api.log_in("ana")).post("/api/v1/auth/logout", json={"everywhere": True}))


def end_by_deleting_the_login(api: Api) -> None:
    with api.engine.begin() as connection:
        connection.execute(Login.__table__.delete())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "end",
    [end_by_switching_off, end_by_new_password, end_by_logging_out_everywhere, end_by_deleting_the_login],
    ids=lambda end: end.__name__,
)
def test_a_browser_s_login_ends_at_once(ana: Api, end: Callable[[Api], None]) -> None:
    client = browser_of(ana, "ana")
    assert is_in(client)
    end(ana)
    assert not is_in(client)


def test_a_browser_s_login_ends_by_age(ana: Api) -> None:
    client = ana.client()
    client.set_cookie(
        COOKIE, ana.issue("ana", ana.parts.browser_tokens, datetime.now(UTC) - timedelta(seconds=1))
    )
    assert not is_in(client)
    client.set_cookie(
        COOKIE, ana.issue("ana", ana.parts.browser_tokens, datetime.now(UTC) + timedelta(minutes=1))
    )
    assert is_in(client)


def test_logging_out_ends_this_browser_s_login_only_and_only_from_our_pages(ana: Api) -> None:
    here, there = browser_of(ana, "ana"), browser_of(ana, "ana")
    assert here.get("/logout").status_code == 405
    assert here.post("/logout").status_code == 403
    assert here.post("/logout", headers=change_header(there)).status_code == 403
    other_site = change_header(here) | {"Sec-Fetch-Site": "cross-site"}
    assert here.post("/logout", headers=other_site).status_code == 403
    assert is_in(here)
    stolen = here.get_cookie(COOKIE)
    answer = here.post("/logout", data={"csrf_token": form_token(here.get("/login").text)})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert login_cookie(answer)["max-age"] == "0"
    assert stolen is not None
    here.set_cookie(COOKIE, stolen.value)
    assert not is_in(here)
    assert is_in(there)


def test_docs_let_who_is_logged_in_try_requests(ana: Api) -> None:
    client = browser_of(ana, "ana")
    assert "<b>ana</b>" in client.get("/docs").text
    assert data(client.post("/docs/token"), 403) == {"error": "csrf_refused"}
    header = change_header(client)
    token = client.post("/docs/token", headers=header).get_json()["access_token"]
    left = ana.parts.tokens.read(token).expires_at - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert ana.client(token).get("/api/v1/feeds").status_code == 200
    client.post("/logout", headers=header)
    assert data(ana.client(token).get("/api/v1/feeds"), 401) == {"error": "dead_token"}
    open_to_all = ana.client().get("/docs")
    assert (open_to_all.status_code, 'data-token=""' in open_to_all.text) == (200, True)
