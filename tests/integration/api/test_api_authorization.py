"""Every route, asked by everybody: the answer follows from what the route declares, and the table says what we decided."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from backend.api.access import RANKS, Access, declaration_of
from tests.databases import SqliteTemplate
from tests.integration.api.callers import CALLERS, Callers, register
from tests.integration.api.decided_access import DECIDED, REPEATABLE
from tests.integration.api.harness import build
from tests.unit.test_routes_have_auth import make_app

ME = {"user_id": "me"}
APP = make_app()
DECLARED = {
    f"{method} {rule.rule}": declaration_of(APP.view_functions[rule.endpoint])
    for rule in APP.url_map.iter_rules()
    for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
}
ROUTES = {route: declared.access for route, declared in DECLARED.items()}
# The second prefix has the same functions.
ASKED = sorted(route for route in ROUTES if "/api/v1/wx/" not in route)


@pytest.fixture(scope="module")
def callers(sqlite_template: SqliteTemplate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    folder = tmp_path_factory.mktemp("authorization")
    api = build(sqlite_template.fresh(folder), folder)
    yield register(api)
    api.close()


def expected(access: Access, caller: str) -> int:
    """401, 403, or 0 for whatever an allowed caller gets."""
    if access is Access.OPEN:
        return 0
    if caller in {"no token", "expired", "revoked key"}:
        return 401
    if access is Access.NODE:
        return 0 if caller in {"node", "other node"} else 403
    return 0 if RANKS.get(caller, 0) >= RANKS[access.value] else 403


def test_every_route_admits_whom_we_decided_on() -> None:
    decided = {route: access for access, routes in DECIDED.items() for route in routes}
    assert {route: ROUTES[route] for route in ASKED} == decided


def test_every_post_takes_an_idempotency_key_or_may_be_repeated_anyway() -> None:
    without = {route for route in ASKED if route.startswith("POST ") and not DECLARED[route].creates}
    assert without == REPEATABLE


@pytest.mark.parametrize("route", ASKED)
def test_who_may_use_a_route(callers: Callers, route: str) -> None:
    method, rule = route.split(" ")
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: ME.get(found[1], "nothing"), rule)
    wrong = {}
    for caller in CALLERS:
        answer = callers.api.client().open(path, method=method, headers=callers.header(caller), buffered=True)
        wanted = expected(ROUTES[route], caller)
        if answer.status_code != wanted if wanted else answer.status_code in {401, 403, 405, 500}:
            wrong[caller] = (answer.status_code, answer.text)
    assert wrong == {}


def test_both_prefixes_of_the_cascade_admit_the_same() -> None:
    doubled = {
        route.replace("/api/v1/wx/", "/api/v1/"): access
        for route, access in ROUTES.items()
        if "/wx/" in route
    }
    assert doubled
    assert {route: ROUTES.get(route) for route in doubled} == doubled
