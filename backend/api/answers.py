"""The envelope of every answer: `{"code", "message", "data"}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from flask import Response, jsonify
from pydantic import BaseModel

from backend.api.context import language
from backend.domain.messages import render

SEEDS_CODE = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """An answer with more than its data: another message (a code of `backend.domain.messages`), or headers."""

    data: T
    message: str = "ok"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bare(Generic[T]):
    """An answer without the envelope, where another protocol says what it looks like."""

    data: T


def success(data: object = None, *, code: int = 0) -> Response:
    """A success; `code` is 0, or 200 where the seeds show that. `data`: models, lists of them, or a `Reply`."""
    reply = data if isinstance(data, Reply) else Reply(data)
    answer = jsonify(code=code, message=render(reply.message, language(), {}), data=plain(reply.data))
    answer.headers.update(reply.headers)
    return answer


def failure(status: int, message: str, data: Mapping[str, Any]) -> Response:
    """A failure with its true HTTP status."""
    answer = jsonify(code=status, message=message, data=data)
    answer.status_code = status
    return answer


def plain(data: object) -> object:
    """Models as JSON shows them: times in UTC with a Z."""
    if isinstance(data, BaseModel):
        return data.model_dump(mode="json", by_alias=True)
    if isinstance(data, list | tuple):
        return [plain(one) for one in data]
    return data
