"""Every route declares who may use it, and the open ones are those that we decided on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import config
from backend.api.access import Access, declaration_of
from backend.api.app import create_app
from backend.api.contract import Contract
from backend.api.routes import Routes

# Everybody may: log in by a call or a form, join with a token, ask whether we live, look at the start page and the contract. Adding
# here is a decision.
DECIDED_OPEN = {
    "docs.asset",
    "docs.contract",
    "docs.page",
    "home.page",
    "home.style",
    "joining.join",
    "wx_joining.join",
    "health.healthz",
    "health.livez",
    "health.readyz",
    "login.issue_token",
    "login.log_in",
    "login_page.form",
    "login_page.submit",
    "metrics.show",
}


def make_app() -> Contract:
    settings = config.load({"CASCADE_SECRET_KEY": "a key for tests only"}, data_dir=Path("/nonexistent"))
    # Nothing listens there: a route that gets as far as the database answers 503 and fails its test.
    return create_app(
        dataclasses.replace(settings, database_url="sqlite:////nonexistent/cascade.db", redis_url="")
    )


APP = make_app()
CLOSED = [
    (method, rule.rule.replace("<id:", "<").replace("<", "").replace(">", ""))
    for rule in APP.url_map.iter_rules()
    if rule.endpoint not in DECIDED_OPEN
    for method in sorted(rule.methods or ())
]


def test_the_open_routes_are_the_ones_we_decided_on() -> None:
    declared = {name: declaration_of(view).access for name, view in APP.view_functions.items()}
    assert {name for name, access in declared.items() if access is Access.OPEN} == DECIDED_OPEN


def test_a_route_that_declares_nothing_is_refused_when_it_is_made() -> None:
    routes = Routes("undeclared", "/undeclared", text="A mistake.")
    with pytest.raises(LookupError, match=r"silent does not declare who may use it"):

        @routes.get("")
        def silent() -> None: ...


def test_a_page_that_declares_nothing_answers_nobody() -> None:
    app = make_app()
    app.add_url_rule("/silent", "silent", lambda: "hello")
    assert app.test_client().get("/silent").status_code == 500


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_a_route_asks_for_a_login_before_anything_else(method: str, path: str) -> None:
    answer = APP.test_client().open(path, method=method)
    assert answer.status_code == 401


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_a_forged_token_opens_nothing(method: str, path: str) -> None:
    # {"alg":"none"}, {"sub":"1","token_version":1,"exp":9999999999}
    forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIiwidG9rZW5fdmVyc2lvbiI6MSwiZXhwIjo5OTk5OTk5OTk5fQ."
    answer = APP.test_client().open(path, method=method, headers={"Authorization": f"Bearer {forged}"})
    assert answer.status_code == 401


def test_every_route_of_the_cascade_answers_under_both_prefixes() -> None:
    rules = {(rule.rule, method) for rule in APP.url_map.iter_rules() for method in rule.methods or ()}
    ours = {(rule, method) for rule, method in rules if rule.startswith("/api/v1/cascade/")}
    assert ours
    assert {(rule.replace("/v1/", "/v1/wx/"), method) for rule, method in ours} <= rules
