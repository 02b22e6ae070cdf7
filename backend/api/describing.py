"""A route's function as an operation of OpenAPI 3.1; schemas go in as pydantic makes them, nothing is lost."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
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
from backend.api.examples import add_examples
from backend.api.idempotency import HEADER, REPLAYED, USABLE_KEY
from backend.api.inputs import FORMS, body_is_required
from backend.api.schemas.common import Envelope, ErrorEnvelope, FormRequest
from backend.domain.messages import render

Json = dict[str, Any]

JSON = "application/json"
BEARER, ACCESS_KEY, NODE_CREDENTIALS = "bearer", "accessKey", "nodeCredentials"
PERSON_SECURITY: list[dict[str, list[str]]] = [{BEARER: []}, {ACCESS_KEY: []}]
NODE_SECURITY: list[dict[str, list[str]]] = [{NODE_CREDENTIALS: []}]
# What a refusal looks like: its usual code, and what that one's sentence needs.
REFUSALS: dict[int, tuple[str, dict[str, object]]] = {
    400: ("bad_json", {"detail": "EOF while parsing an object at line 1 column 1"}),
    401: ("unauthenticated", {}),
    403: ("forbidden", {"role": "viewer", "needed": "admin / operator"}),
    404: ("not_found", {"noun": "feed", "id": "0199a3c4-7d5e-7c1b-9d8e-2f4a6b8c0d1e"}),
    409: ("request_in_hand", {}),
    412: ("changed_meanwhile", {}),
    413: ("body_too_large", {"megabytes": 1}),
    415: ("bad_content_type", {"expected": JSON}),
    422: ("invalid_input", {}),
    429: ("login_busy", {"seconds": 1}),
    503: ("unavailable", {"part": "The database"}),
}
ERRORS = {
    400: "The body is not JSON.",
    401: "Nobody is known to be asking.",
    403: "The one who asks may not do this.",
    404: "It does not exist, or is not the caller's.",
    409: "It collides with what stands.",
    412: "It was changed meanwhile.",
    413: "The body is too large.",
    415: "The body has a type that is not read here.",
    422: "Fields can't be used; `data.errors` says why.",
    429: "Too many; `Retry-After` says when to try again.",
    503: "A part is away; `Retry-After` says when to try again.",
}
IDEMPOTENCY_KEY: Any = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Drawn by the caller for each thing to create: the same request again is answered the same for a day.",
    "schema": {"type": "string", "pattern": USABLE_KEY.pattern},
    "example": "0199a3c4-7d5e-7c1b-9d8e-2f4a6b8c0d1e",
}
IF_NONE_MATCH: Any = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "An `ETag` from before: what did not change since is answered 304, without a body.",
    "schema": {"type": "string"},
}
IF_MATCH: Any = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of what you saw: what changed since is left alone, 412.",
    "schema": {"type": "string"},
}
ETAG_HEADER = {"description": "Names this version.", "schema": {"type": "string"}}
REPLAYED_HEADER = {
    "description": "`true` when this is the answer of the first time.",
    "schema": {"type": "string", "enum": ["true"]},
}


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
    parameters += _conditions(method, declared)
    if parameters:
        operation.parameters = parameters
    if signature.body or declared.reads:
        operation.requestBody = _body(signature.body, declared.reads, schemas)
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


def _conditions(method: str, declared: Declaration) -> Iterator[Any]:
    if declared.creates:
        yield IDEMPOTENCY_KEY
    if declared.versioned:
        yield IF_NONE_MATCH if method == "GET" else IF_MATCH


def _headers(declared: Declaration) -> Json:
    found: Json = {REPLAYED: REPLAYED_HEADER} if declared.creates else {}
    return found | ({"ETag": ETAG_HEADER} if declared.versioned else {})


def _responses(
    method: str, declared: Declaration, signature: Signature, schemas: Schemas, *, any_content_type: bool
) -> Any:
    done: Json = {"description": "Done.", "content": _success(declared, signature, schemas)}
    if headers := _headers(declared):
        done["headers"] = headers
    answers: Json = {"200": done}
    if declared.versioned and method == "GET":
        answers["304"] = {"description": "It is what `If-None-Match` names."}
    refusal = schemas.reference(ErrorEnvelope, "serialization")
    for status in sorted(_statuses(method, declared, signature, any_content_type=any_content_type)):
        description = ERRORS.get(status, HTTPStatus(status).phrase)
        content = {JSON: {"schema": refusal, "example": _refusal_example(status)}}
        answers[str(status)] = {"description": description, "content": content}
    return answers


def _refusal_example(status: int) -> Json:
    code, params = REFUSALS[status]
    data: Json = {"error": code}
    if status == 422:
        data["errors"] = {"name": render("field_missing", "en", {})}
    return {"code": status, "message": render(code, "en", params), "data": data}


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
    if signature.body:
        found |= {400} if any_content_type else {400, 415}
    return found
