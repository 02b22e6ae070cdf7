"""A node is known by its AK/SK pair on every route, and may use none that is for people."""

from __future__ import annotations

import pytest
from werkzeug.test import TestResponse

from backend.store import credentials
from backend.store.credentials import Pair, new_pair
from backend.store.session import transact
from backend.store.tables import Node
from tests import building
from tests.integration.api.harness import Api, data

PREFIXES = ["/api/v1/cascade", "/api/v1/wx/cascade"]


@pytest.fixture
def pair(api: Api) -> Pair:
    """The pair of a remote node that beats."""
    made, node_id = new_pair(), building.make_third_party(api.engine)
    transact(api.engine, lambda session: credentials.rotate(session, node_id, made))
    return made


def ask(api: Api, header: str, path: str = "/api/v1/cascade/allocations") -> TestResponse:
    return api.client().get(path, headers={"Authorization": header})


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_route_for_people_tells_a_node_that_it_is_not_for_nodes(api: Api, pair: Pair, prefix: str) -> None:
    answer = ask(api, f"AK-SK {pair.api_key}:{pair.api_secret}", f"{prefix}/allocations")
    assert data(answer, 403)["error"] == "forbidden_to_nodes"


def test_a_wrong_pair_is_nobody_whatever_is_wrong_with_it(api: Api, pair: Pair) -> None:
    wrong = [
        f"{pair.api_key}:{new_pair().api_secret}",
        f"{new_pair().api_key}:{pair.api_secret}",
        f"{pair.api_key}:{pair.api_secret}:",
    ]
    answers = [ask(api, f"AK-SK {one}") for one in wrong]
    assert {(answer.status_code, answer.get_json()["data"]["error"]) for answer in answers} == {
        (401, "dead_key")
    }


def test_a_node_that_is_switched_off_is_told_so(api: Api, pair: Pair) -> None:
    building.change(api.engine, Node, is_active=False)
    answer = ask(api, f"AK-SK {pair.api_key}:{pair.api_secret}")
    assert data(answer, 403)["error"] == "node_switched_off"
    assert "werss" in answer.get_json()["message"]
