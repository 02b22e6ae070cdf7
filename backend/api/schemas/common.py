"""What every request and answer has in common: texts, ids and lists have limits; admins' unknown fields are refused."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
)

from backend.domain.states import AllocationState

MAX_LIMIT = 500
MAX_OFFSET = 10_000_000
MAX_FEEDS = 20_000
MAX_SECRET = 8_192

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.~@:+=-]{1,64}$")]
Search = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


def _header_text(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def _fits_column(text: str) -> str:
    # MySQL's TEXT holds 65,535 bytes, whatever they spell.
    if len(text.encode()) > 65_000:
        raise ValueError("may have at most 65000 bytes")
    return text


def _feeds_tag(value: object) -> str:
    return "every feed" if isinstance(value, str) else "named feeds"


# Scripts send `?task_id=` for "no filter".
OptionalId = Annotated[Id | None, BeforeValidator(_empty_is_none)]
OptionalState = Annotated[AllocationState | None, BeforeValidator(_empty_is_none)]
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
    """What admins send: a field that we do not know is a mistake to point out."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """What we answer, read from the store's views."""

    model_config = ConfigDict(from_attributes=True)


class PageQuery(Request):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=MAX_LIMIT)
    offset: int = Field(0, ge=0, le=MAX_OFFSET)
