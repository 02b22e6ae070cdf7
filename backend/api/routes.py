"""Routes by noun: a function's types are the contract, and what it returns goes out in the envelope."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, g, jsonify, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from flask_openapi3.utils import parse_and_store_tags, parse_method, parse_rule
from pydantic import BaseModel

from backend.api.access import ATTRIBUTE, declaration_of
from backend.api.answers import Bare, plain, success
from backend.api.describing import Signature, describe, signature_of
from backend.api.idempotency import once
from backend.api.inputs import read_body, read_query
from backend.api.schemas.common import NoQuery


class Routes(APIBlueprint):
    """The routes of one noun.

    A route's function takes what it needs of `path`, `query`, `body` (models; the names are fixed) and returns a
    model, a list of them, `Page[Model]`, `None`, or a `Reply` around one. Only an answer outside the envelope
    is a `Bare` model or a `Response`. `any_content_type`: JSON is read whatever the body calls itself; `strict_query`: a query
    that nobody asked for is refused.
    """

    def __init__(
        self,
        name: str,
        url_prefix: str | None = None,
        *,
        text: str,
        any_content_type: bool = False,
        strict_query: bool = True,
    ) -> None:
        tag = Tag(name=name.replace("_", "-"), description=text)
        super().__init__(name, __name__, url_prefix=url_prefix, abp_tags=[tag])
        self.any_content_type = any_content_type
        self.strict_query = strict_query

    def _collect_openapi_info(
        self, rule: str, func: Callable[..., Any], *, method: str = "GET", **_options: Any
    ) -> Any:
        signature = signature_of(func)
        operation, schemas = describe(func, method, signature, any_content_type=self.any_content_type)
        operation.operationId = f"{self.name}_{func.__name__}"
        parse_and_store_tags(self.abp_tags, self.tags, self.tag_names, operation)
        parse_method(parse_rule(rule, url_prefix=self.url_prefix), method, self.paths, operation)
        self.components_schemas.update(schemas)
        return None, None, signature.path, signature.query, None, signature.body, None

    def create_view_func(  # type: ignore[override] # it is called on the instance
        self, func: Callable[..., Any], *_inputs: Any, **_options: Any
    ) -> Callable[..., Response]:
        """The function with its inputs read and checked, and its answer in the envelope."""
        signature, declaration = signature_of(func), declaration_of(func)

        @wraps(func)
        def view(**path_values: str) -> Response:
            if declaration.body_bytes:
                request.max_content_length = declaration.body_bytes
            g.unpacked_bytes = declaration.unpacked_bytes
            inputs = self._read(signature, path_values)

            def work() -> Response:
                return _response(func(**inputs), declaration.code)

            answer = once(work) if declaration.creates else work()
            if declaration.versioned:
                answer.make_conditional(request)
            return answer

        setattr(view, ATTRIBUTE, declaration)
        return view

    def _read(self, signature: Signature, path_values: dict[str, str]) -> dict[str, BaseModel]:
        inputs: dict[str, BaseModel] = {}
        if signature.path:
            inputs["path"] = signature.path.model_validate(path_values)
        if signature.query:
            inputs["query"] = read_query(signature.query)
        elif self.strict_query:
            read_query(NoQuery)
        if signature.body:
            inputs["body"] = read_body(signature.body, any_content_type=self.any_content_type)
        return inputs


def _response(answer: object, code: int) -> Response:
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, Bare):
        return jsonify(plain(answer.data))
    return success(answer, code=code)
