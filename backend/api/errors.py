"""The one place where an error becomes an answer."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Response, g, request
from pydantic import ValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from backend.api.answers import failure
from backend.api.context import language
from backend.api.schemas.common import TAGS
from backend.api.tracing import asked_path
from backend.dispatch.broker import fault_of
from backend.domain.errors import (
    CascadeError,
    Conflict,
    InvalidInput,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from backend.domain.messages import render
from backend.store.verdicts import unavailable

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5
MEGABYTE = 1024 * 1024
# What programs read of a conflict beside its code.
SHOWN = ("existing_id", "standing")
# pydantic's error types, and our sentences for them.
FIELD_CODES = {
    "missing": "field_missing",
    "extra_forbidden": "field_unknown",
    "string_too_long": "field_too_long",
    "string_too_short": "field_too_short",
    "too_long": "field_too_many",
    "too_short": "field_too_few",
    "string_type": "field_not_text",
    "string_unicode": "field_not_text",
    "int_type": "field_not_number",
    "int_parsing": "field_not_number",
    "int_from_float": "field_not_number",
    "int_parsing_size": "field_not_number",
    "float_type": "field_not_amount",
    "float_parsing": "field_not_amount",
    "finite_number": "field_not_amount",
    "datetime_type": "field_not_time",
    "datetime_parsing": "field_not_time",
    "datetime_from_date_parsing": "field_not_time",
    "datetime_object_invalid": "field_not_time",
    "list_type": "field_not_list",
    "dict_type": "field_not_object",
    # Ours: `backend.api.schemas.common`.
    "field_too_many_bytes": "field_too_many_bytes",
    "field_time_out_of_range": "field_time_out_of_range",
    "bool_type": "field_not_flag",
    "bool_parsing": "field_not_flag",
    "greater_than_equal": "field_too_small",
    "less_than_equal": "field_too_large",
    "literal_error": "field_not_allowed",
    "enum": "field_not_allowed",
    "model_type": "field_not_object",
    "model_attributes_type": "field_not_object",
    "string_pattern_mismatch": "field_bad_pattern",
}


def answer_errors(app: Flask) -> None:
    """Register the answers to everything that can be raised."""
    app.register_error_handler(CascadeError, _known)
    app.register_error_handler(ValidationError, _invalid)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(PoolTimeout, _busy)
    app.register_error_handler(DBAPIError, _database)
    app.register_error_handler(RedisError, _without_redis)
    app.register_error_handler(Exception, _unexpected)


def _known(error: CascadeError) -> Response:
    data: dict[str, Any] = {"error": error.code}
    if isinstance(error, InvalidInput):
        data["errors"] = error.field_sentences(language())
    if isinstance(error, Conflict):
        data |= {name: error.params[name] for name in SHOWN if name in error.params}
    if error.status >= 500 and not isinstance(error, Unavailable):
        log.error("%s %s failed: %s", request.method, asked_path(), error, exc_info=error)
    answer = failure(error.status, error.sentence(language()), data)
    if seconds := retry_after(error):
        answer.headers["Retry-After"] = str(seconds)
    if isinstance(error, Unauthenticated):
        answer.headers["WWW-Authenticate"] = "Bearer, AK-SK"
    return answer


def retry_after(error: CascadeError) -> int:
    """After how many seconds trying again makes sense; 0: nobody knows."""
    if isinstance(error, TooManyRequests):
        return error.retry_after
    if isinstance(error, Unavailable):
        return RETRY_AFTER_SECONDS
    return 1 if error.code == "request_in_hand" else 0


def _invalid(error: ValidationError) -> Response:
    details = error.errors(include_url=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        detail = str(details[0].get("ctx", {}).get("error", ""))
        return _plain(400, "bad_json", detail=detail)
    return _known(invalid_fields(error))


def invalid_fields(error: ValidationError) -> InvalidInput:
    """What is wrong with each field, without what was sent."""
    details = error.errors(include_url=False, include_input=False)
    return InvalidInput(fields={_path(one["loc"]): _sentence(one) for one in details})


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part not in TAGS) or "body"


def _sentence(detail: Any) -> str:
    code = FIELD_CODES.get(detail["type"])
    if code is None:
        return render("field_invalid", language(), {"detail": detail["msg"]})
    return render(code, language(), detail.get("ctx", {}))


def _http(error: HTTPException) -> Any:
    status = error.code or 500
    if status < 400:
        return error
    if status == 404:
        return _plain(404, "no_route", path=request.path)
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        answer = _plain(405, "bad_method", method=request.method, allowed=allowed)
        answer.headers["Allow"] = allowed
        return answer
    if isinstance(error, RequestEntityTooLarge):
        return _plain(413, "body_too_large", megabytes=(request.max_content_length or 0) // MEGABYTE)
    return _plain(status, "bad_request", detail=error.description)


def _busy(_error: PoolTimeout) -> Response:
    return _known(Unavailable("pool_is_empty"))


def _database(error: DBAPIError) -> Response:
    refused = unavailable(error)
    return _known(refused) if refused else _unexpected(error)


def _without_redis(error: RedisError) -> Response:
    fault = fault_of(error)
    if not fault.passes:
        return _unexpected(error)
    return _known(Unavailable("redis_needed", reason=fault.sentence(language())))


def _unexpected(error: Exception) -> Response:
    request_id = g.get("request_id", "")
    log.error("%s %s failed (request %s)", request.method, asked_path(), request_id, exc_info=error)
    return _plain(500, "internal_error", request_id=request_id)


def _plain(status: int, code: str, **params: object) -> Response:
    return failure(status, render(code, language(), params), {"error": code})
