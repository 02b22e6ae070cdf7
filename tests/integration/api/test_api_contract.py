"""The contract holds: whatever is sent, the answer is one that `/openapi.json` declares, and never a 5xx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis.openapi
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok

from backend.store import users
from backend.store.session import read
from tests.databases import SqliteTemplate
from tests.integration.api.callers import Callers, register
from tests.integration.api.harness import add_feed, add_task, build
from tests.unit.test_routes_have_auth import make_app

EXAMPLES, SOAK_EXAMPLES = 4, 100
SCHEMA = schemathesis.openapi.from_wsgi("/openapi.json", make_app())
OPERATIONS = {
    operation.label: operation
    for operation in (found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok))
}
# The second prefix has the same functions.
NORMAL = sorted(label for label in OPERATIONS if "/api/v1/wx/" not in label)
# Without Redis and a beat they are not ready, and say so. A beat is a beat, whatever an old child sends along.
EXCUSED = {
    "GET /readyz": ["not_a_server_error"],
    "GET /healthz": ["not_a_server_error"],
    "POST /api/v1/cascade/heartbeat": ["negative_data_rejection"],
    "POST /api/v1/wx/cascade/heartbeat": ["negative_data_rejection"],
}
HELD = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
    ]
)


@pytest.fixture(scope="module")
def callers(sqlite_template: SqliteTemplate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    folder = tmp_path_factory.mktemp("contract")
    api = build(sqlite_template.fresh(folder), folder)
    yield register(api)
    api.close()


@pytest.fixture(scope="module")
def known(callers: Callers) -> dict[str, str]:
    """Ids that exist, by the name that paths have for them."""
    client = callers.api.client()
    client.environ_base["HTTP_AUTHORIZATION"] = callers.header("admin")["Authorization"]
    viewer = read(callers.api.engine, lambda session: users.named_user(session, "a-viewer"))
    return {
        "feed_id": add_feed(client),
        "task_id": add_task(client),
        "user_id": viewer.id,
        "node_id": callers.node_id,
    }


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", NORMAL)
def test_an_operation_keeps_its_contract(
    callers: Callers, known: dict[str, str], label: str, mode: GenerationMode
) -> None:
    hold(callers, known, label, mode, EXAMPLES)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_an_operation_keeps_its_contract_for_long(
    callers: Callers, known: dict[str, str], label: str, mode: GenerationMode
) -> None:
    hold(callers, known, label, mode, SOAK_EXAMPLES)


def hold(callers: Callers, known: dict[str, str], label: str, mode: GenerationMode, examples: int) -> None:
    """Send generated requests and check every answer against the contract."""
    operation = OPERATIONS[label]
    caller = "node" if "nodeCredentials" in str(operation.definition.raw.get("security")) else "admin"
    client = callers.api.app.test_client()
    excused = CHECKS.get_by_names(EXCUSED.get(label, []))
    if mode is GenerationMode.NEGATIVE:
        if not (operation.query or operation.body):
            return
        # What is wrong is in the query or the body: a path or a header of ours would take its place.
        path = {name: known.get(name, "nothing") for name in re.findall(r"{(\w+)}", label)}
        cases = operation.as_strategy(mode, path_parameters=path, headers=callers.header(caller))
    else:
        cases = operation.as_strategy(mode)

    @seed(4)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, real=st.booleans())
    def check(case: Any, real: bool) -> None:
        for name in case.path_parameters or {}:
            if real and name in known:
                case.path_parameters[name] = known[name]
        case.call_and_validate(
            session=client, headers=callers.header(caller), checks=HELD, excluded_checks=excused
        )

    check()
