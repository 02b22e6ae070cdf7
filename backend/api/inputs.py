"""Reading requests into models."""

from __future__ import annotations

from typing import TypeVar

from flask import g, request
from pydantic import BaseModel
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from backend.api.schemas.common import FormRequest
from backend.domain.errors import CascadeError
from backend.domain.wire import unpack

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

Model = TypeVar("Model", bound=BaseModel)


class UnreadableBody(CascadeError):
    """The body has a content type that the route does not read."""

    default_code = "bad_content_type"
    status = 415


def read_body(model: type[Model], *, any_content_type: bool = False) -> Model:
    """The JSON body, or for a `FormRequest` the form, as a model. Raises `UnreadableBody`, and pydantic's errors."""
    if issubclass(model, FormRequest) and request.mimetype in FORMS:
        return model.model_validate(_last_values(request.form))
    content = read_content()
    if not content and not body_is_required(model):
        return model.model_validate({})
    if not any_content_type and not request.is_json:
        also = FORMS if issubclass(model, FormRequest) else ()
        raise UnreadableBody(expected=", ".join(("application/json", *also)))
    return model.model_validate_json(content)


def read_content() -> bytes:
    """The body, unpacked where the route takes gzip. Raises as `read_raw`, and `InvalidInput` for gzip that can't be used."""
    content = read_raw()
    if g.get("unpacked_bytes") and request.headers.get("Content-Encoding", "").lower() == "gzip":
        return unpack(content, g.unpacked_bytes)
    return content


def read_raw() -> bytes:
    """The body as it came. Raises `RequestEntityTooLarge` also for one that came in chunks, without saying its length."""
    content = request.get_data()
    limit = request.max_content_length
    if request.content_length is None and limit is not None and len(content) >= limit:
        # werkzeug stops reading at the limit: what is here is the beginning of a body, and no body.
        raise RequestEntityTooLarge
    return content


def read_query(model: type[Model]) -> Model:
    """The query as a model; of a repeated name the last value counts."""
    return model.model_validate(_last_values(request.args))


def _last_values(values: MultiDict[str, str]) -> dict[str, str]:
    return {name: several[-1] for name, several in values.lists()}


def body_is_required(model: type[BaseModel]) -> bool:
    """Whether an empty body is a mistake: not with `openapi_extra = {"required": False}` in the model's config."""
    extra: dict[str, object] = model.model_config.get("openapi_extra", {})  # type: ignore[assignment]
    return extra.get("required", True) is True
