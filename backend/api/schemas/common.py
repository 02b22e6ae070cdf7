"""What every request and answer has in common: texts, ids and lists have limits; admins' unknown fields are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    Tag,
    ValidationError,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from backend.domain.states import AllocationState

MAX_LIMIT = 500
MAX_OFFSET = 10_000_000
MAX_FEEDS = 20_000
MAX_SECRET = 8_192
MAX_TEXT_BYTES = 65_000
FIRST_YEAR, LAST_YEAR = 2000, 9000

T = TypeVar("T")

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.~@:+=-]{1,64}$")]


def _no_flag(value: object) -> object:
    # Python takes true for 1.
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "must be a whole number, not true or false")
    return value


Whole = Annotated[int, BeforeValidator(_no_flag)]
Search = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]


def _header_text(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def _fits_column(text: str) -> str:
    # MySQL's TEXT holds 65,535 bytes, whatever they spell.
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise PydanticCustomError(
            "field_too_many_bytes", "may have at most {limit} bytes", {"limit": MAX_TEXT_BYTES}
        )
    return text


def _utc(moment: datetime) -> datetime:
    # Nothing is older or later; and arithmetic near the ends of the calendar overflows.
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise PydanticCustomError(
            "field_time_out_of_range",
            "must lie between the years {first} and {last}",
            {"first": FIRST_YEAR, "last": LAST_YEAR},
        )
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _feeds_tag(value: object) -> str:
    return "every feed" if isinstance(value, str) else "named feeds"


@dataclass(frozen=True, slots=True)
class OrEmpty:
    """Scripts send `?task_id=` for "no filter": empty text counts as `meaning`, and the contract says so."""

    meaning: object = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Empty text is replaced before anything looks at it."""

        def replace(value: object) -> object:
            return self.meaning if value == "" else value

        return core_schema.no_info_before_validator_function(replace, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        """One more alternative."""
        described = handler(schema)
        alternatives = described.pop("anyOf", None) or [dict(described)]
        return {"anyOf": [*alternatives, {"type": "string", "const": ""}]}


OptionalId = Annotated[Id | None, OrEmpty()]
OptionalState = Annotated[AllocationState | None, OrEmpty()]
# ISO 8601; without an offset it is UTC.
Moment = Annotated[datetime, AfterValidator(_utc)]
Headers = Annotated[str, BeforeValidator(_header_text), Field(max_length=MAX_SECRET)]
Template = Annotated[str, Field(max_length=65_000), AfterValidator(_fits_column)]
# The tags hold a space, so that no field's path can be taken for one.
FeedIds = Annotated[
    Annotated[Literal["all"], Tag("every feed")]
    | Annotated[list[Id], Field(max_length=MAX_FEEDS), Tag("named feeds")],
    Discriminator(_feeds_tag),
]
TAGS = frozenset({"every feed", "named feeds"})


class Request(BaseModel):
    """What people send: a field that we do not know is a mistake to point out."""

    model_config = ConfigDict(extra="forbid")


class FormRequest(Request):
    """What people's programs send as JSON or as a form."""


class ChildRequest(BaseModel):
    """What children send: they are of any age, so fields that we do not know are ignored."""

    model_config = ConfigDict(extra="ignore")

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Read the body; half an emoji in a title, which pydantic's own reader refuses, does not lose an upload."""
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError as error:
            if error.errors(include_url=False, include_input=False)[0]["type"] != "json_invalid":
                raise
            try:
                said = json.loads(json_data)
            except (ValueError, RecursionError):
                raise error from None
        return cls.model_validate(said)


class NoQuery(Request):
    """The query of a route that takes none."""


class Answer(BaseModel):
    """What we answer, read from the store's views."""

    model_config = ConfigDict(from_attributes=True)


class PageQuery(Request):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=MAX_LIMIT, description="How many at most.")
    offset: int = Field(0, ge=0, le=MAX_OFFSET, description="How many to pass over.")


class Page(BaseModel, Generic[T]):
    """One page of a list, with how many there are in all."""

    list: Sequence[T]
    total: int


class Envelope(BaseModel, Generic[T]):
    """Every answer; `code` is 0, or 200 where the seeds show that."""

    code: int = Field(examples=[0])
    message: str = Field(examples=["success"])
    data: T


class ErrorData(BaseModel):
    """What programs read of a failure: a stable code and, on 422, what is wrong with each field."""

    model_config = ConfigDict(extra="allow")

    error: str = Field(examples=["invalid_input"])
    errors: dict[str, str] | None = Field(None, examples=[{"name": "is required"}])


class ErrorEnvelope(BaseModel):
    """A failure; `code` is the HTTP status and `message` says what happened and what to do."""

    code: int = Field(ge=400, le=599, examples=[422])
    message: str = Field(
        examples=["The request can't be used as it is; see data.errors for each field."],
    )
    data: ErrorData
