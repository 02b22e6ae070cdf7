"""The envelope of every answer: `{"code", "message", "data"}`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Response, jsonify
from pydantic import BaseModel

from backend.api.context import language
from backend.domain.messages import render

SEEDS_CODE = 200


def success(data: object = None, *, code: int = 0) -> Response:
    """A success; `code` is 0, or 200 where the seeds show that."""
    return jsonify(code=code, message=render("ok", language(), {}), data=plain(data))


def success_list(items: Iterable[BaseModel], total: int, *, code: int = 0) -> Response:
    """One page of a list, with how many there are in all."""
    return success({"list": [plain(item) for item in items], "total": total}, code=code)


def failure(status: int, message: str, data: Mapping[str, Any]) -> Response:
    """A failure with its true HTTP status."""
    answer = jsonify(code=status, message=message, data=data)
    answer.status_code = status
    return answer


def plain(data: object) -> object:
    """Models as JSON shows them: times in UTC with a Z."""
    return data.model_dump(mode="json") if isinstance(data, BaseModel) else data
