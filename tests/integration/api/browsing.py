"""A person with a browser: the form, the cookie, and the token that pages give for changes."""

from __future__ import annotations

import re

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.integration.api.harness import PASSWORD, Api

HTML = {"Accept": "text/html,application/xhtml+xml"}
COOKIE = "cascade_login"


def form_token(page: str) -> str:
    """What the page's forms send along."""
    (token,) = set(re.findall(r'name="csrf_token" value="([^"]*)"', page))
    return str(token)


def submit(client: FlaskClient, name: str, password: str = PASSWORD, *, at: str = "/login") -> TestResponse:
    """Open the form and send it."""
    fields = {"username": name, "password": password, "csrf_token": form_token(client.get(at).text)}
    return client.post(at, data=fields, headers=HTML)


def browser_of(api: Api, name: str) -> FlaskClient:
    """A browser in which the user has logged in."""
    client = api.client()
    assert submit(client, name).status_code == 303
    return client


def change_header(client: FlaskClient) -> dict[str, str]:
    """What this browser's pages send with a change."""
    return {"X-CSRF-Token": form_token(client.get("/login").text)}


def login_cookie(answer: TestResponse) -> dict[str, str]:
    """The attributes of the login's cookie, by lower-case name; none when it is not set."""
    lines = [line for line in answer.headers.getlist("Set-Cookie") if line.startswith(f"{COOKIE}=")]
    if not lines:
        return {}
    first, *attributes = lines[0].split("; ")
    pairs = [one.partition("=") for one in attributes]
    return {"value": first.partition("=")[2], **{name.lower(): value for name, _, value in pairs}}
