"""A route's function as an operation of OpenAPI 3.1; schemas go in as pydantic makes them, nothing is lost."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from flask import Response
from flask_openapi3.models import OPENAPI3_REF_PREFIX, OPENAPI3_REF_TEMPLATE
from flask_openapi3.models.operation import Operation
from flask_openapi3.utils import normalize_name
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from backend.api.access import Access, Declaration, declaration_of
from backend.api.answers import Bare, Reply
from backend.api.contract_parts import REFUSALS, answer_headers, conditions
from backend.api.examples import add_examples
from backend.api.inputs import FORMS, body_is_required
from backend.api.schemas.common import Envelope, ErrorEnvelope, FormRequest

Json = dict[str, Any]

JSON = "application/json"
BEARER, ACCESS_KEY, NODE_CREDENTIALS = "bearer", "accessKey", "nodeCredentials"
PERSON_SECURITY: list[dict[str, list[str]]] = [{BEARER: []}, {ACCESS_KEY: []}]
NODE_SECURITY: list[dict[str, list[str]]] = [{NODE_CREDENTIALS: []}]


@dataclass(frozen=True, slots=True)
class Signature:
    """The types of a route's function; `answer` is what the envelope's data holds, `enveloped` whether there is one.

    `bare`: the model of an answer without the envelope.
    """

    path: type[BaseModel] | None
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    answer: Any
    enveloped: bool
    bare: type[BaseModel] | None = None


class Schemas(Json):
    """Component schemas by name."""

    def reference(self, model: type[BaseModel], mode: JsonSchemaMode) -> Json:
        """A reference to the model's schema, which is added with everything that it refers to."""
        schema = self.inline(model, mode)
        name = normalize_name(schema.get("title") or model.__name__)
        self[name] = schema
        return {"$ref": f"{OPENAPI3_REF_PREFIX}/{name}"}

    def inline(self, model: type[BaseModel], mode: JsonSchemaMode, *, examples: bool = True) -> Json:
        """The model's schema; what it refers to is added."""
        schema = model.model_json_schema(ref_template=OPENAPI3_REF_TEMPLATE, mode=mode)
        inner = {normalize_name(name): one for name, one in schema.pop("$defs", {}).items()}
        for one in (schema, *inner.values()) if examples else ():
            add_examples(one)
        self.update(inner)
        return schema


def signature_of(func: Callable[..., Any]) -> Signature:
    """The function's inputs and answer. Raises `TypeError` for a parameter that is no input."""
    hints = get_type_hints(func)
    unknown = hints.keys() - {"path", "query", "body", "return"}
    if unknown or "return" not in hints:
        raise TypeError(f"{func.__qualname__}: a route takes path, query and body and says what it returns")
    if get_origin(hints["return"]) is Bare:
        (bare,) = get_args(hints["return"])
        return Signature(hints.get("path"), hints.get("query"), hints.get("body"), None, False, bare)
    answers = list(_answers(hints["return"]))
    union = Union[tuple(answers)] if answers else None  # noqa: UP007 - made of a list
    return Signature(hints.get("path"), hints.get("query"), hints.get("body"), union, bool(answers))


def describe(
    func: Callable[..., Any], method: str, signature: Signature, *, any_content_type: bool
) -> tuple[Operation, Schemas]:
    """The operation, and the schemas that it refers to."""
    declared, schemas = declaration_of(func), Schemas()
    summary, _, description = (inspect.getdoc(func) or "").partition("\n")
    operation = Operation(summary=summary, security=_security(declared.access))
    if description.strip():
        operation.description = description.strip()
    parameters = [
        *_parameters(signature.path, "path", schemas),
        *_parameters(signature.query, "query", schemas),
    ]
    parameters += conditions(method, declared)
    if parameters:
        operation.parameters = parameters
    body = signature.body or declared.reads_itself
    if body or declared.reads:
        operation.requestBody = _body(body, declared.reads, schemas)
    operation.responses = _responses(method, declared, signature, schemas, any_content_type=any_content_type)
    return operation, schemas


def _answers(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in {Union, UnionType}:
        for one in get_args(annotation):
            yield from _answers(one)
    elif get_origin(annotation) is Reply:
        yield from get_args(annotation)
    elif not (isinstance(annotation, type) and issubclass(annotation, Response)):
        yield NoneType if annotation is None else annotation


def _security(access: Access) -> Any:
    if access is Access.OPEN:
        return []
    return NODE_SECURITY if access is Access.NODE else PERSON_SECURITY


def _parameters(model: type[BaseModel] | None, place: str, schemas: Schemas) -> Iterator[Any]:
    # A filter that is filled in already only stands in the way of whoever tries a route.
    schema = schemas.inline(model, "validation", examples=place == "path") if model else {}
    for name, field in schema.get("properties", {}).items():
        parameter = {
            "name": name,
            "in": place,
            "required": name in schema.get("required", []),
            "schema": field,
        }
        if "description" in field:
            parameter["description"] = field["description"]
        yield parameter


def _body(model: type[BaseModel] | None, media: tuple[str, ...], schemas: Schemas) -> Any:
    content: Json = {one: {"schema": {"type": "string"}} for one in media}
    if model:
        for one in (JSON, *FORMS) if issubclass(model, FormRequest) else (JSON,):
            content[one] = {"schema": schemas.reference(model, "validation")}
    return {"content": content, "required": model is None or body_is_required(model)}


def _responses(
    method: str, declared: Declaration, signature: Signature, schemas: Schemas, *, any_content_type: bool
) -> Any:
    done: Json = {"description": "Done.", "content": _success(declared, signature, schemas)}
    if headers := answer_headers(declared):
        done["headers"] = headers
    answers: Json = {"200": done}
    if declared.versioned and method == "GET":
        answers["304"] = {"description": "It is what `If-None-Match` names."}
    schemas.reference(ErrorEnvelope, "serialization")
    for status in sorted(_statuses(method, declared, signature, any_content_type=any_content_type)):
        answers[str(status)] = {"$ref": f"#/components/responses/{REFUSALS[status].name}"}
    return answers


def _success(declared: Declaration, signature: Signature, schemas: Schemas) -> Json:
    content: Json = {media: {"schema": {"type": "string"}} for media in declared.media}
    if signature.enveloped:
        model: type[BaseModel] = Envelope[signature.answer]  # type: ignore[name-defined]
        content[JSON] = {"schema": schemas.reference(model, "serialization")}
    if signature.bare:
        content[JSON] = {"schema": schemas.reference(signature.bare, "serialization")}
    return content


def _statuses(
    method: str, declared: Declaration, signature: Signature, *, any_content_type: bool
) -> set[int]:
    found = {422, 503, *declared.errors}
    if declared.access is not Access.OPEN:
        found |= {401, 403}
    if signature.path:
        found.add(404)
    if declared.creates:
        found.add(409)
    if declared.versioned and method != "GET":
        found.add(412)
    if method in {"POST", "PUT", "PATCH"}:
        found.add(413)
    if signature.body or declared.reads_itself:
        found |= {400} if any_content_type else {400, 415}
    return found
