"""`/openapi.json`: a valid OpenAPI 3.1 document that shows everything by examples which are true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from backend.api.examples import speaks_for_itself
from tests.unit.test_routes_have_auth import make_app

APP = make_app()
DOCUMENT: dict[str, Any] = APP.api_doc
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS = [operation for methods in DOCUMENT["paths"].values() for operation in methods.values()]


def fields() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, schema in SCHEMAS.items():
        for field, inner in schema.get("properties", {}).items():
            yield f"{name}.{field}", inner


def test_it_is_openapi_3_1_and_the_same_every_time() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert make_app().api_doc == DOCUMENT


def test_every_route_of_the_api_is_in_it() -> None:
    routed = {
        (rule.rule.replace("<id:", "{").replace(">", "}"), method.lower())
        for rule in APP.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/")
    }
    described = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert routed
    assert routed <= described


def test_operations_have_ids_of_their_own_and_a_sentence() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    assert [operation["operationId"] for operation in OPERATIONS if not operation["summary"]] == []


def test_every_reference_leads_somewhere() -> None:
    parts = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "responses")
        for name in DOCUMENT["components"][kind]
    }
    assert set(references(DOCUMENT)) == parts


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    for inner in part if isinstance(part, list) else ():
        yield from references(inner)


def test_every_field_is_shown_by_an_example() -> None:
    # One for all fields of a name stands in backend/api/examples.py; a field may have its own: Field(examples=[…]).
    assert [name for name, field in fields() if not speaks_for_itself(field)] == []


def test_every_example_is_one_that_the_contract_allows() -> None:
    wrong = [
        (name, example)
        for name, field in fields()
        for example in field.get("examples", ())
        if not jsonschema_rs.is_valid({**field, "components": DOCUMENT["components"]}, example)
    ]
    assert wrong == []


def test_every_refusal_is_shown_as_it_looks() -> None:
    for operation in OPERATIONS:
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and "$ref" in answer:
                refusal = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
                assert refusal["content"]["application/json"]["example"]["code"] == int(status)
