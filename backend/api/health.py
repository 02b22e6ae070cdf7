"""Whether the process lives and the parent can do its work."""

from __future__ import annotations

from flask import Blueprint, Response, request

from backend.api.answers import failure, success
from backend.api.context import language, parts
from backend.api.schemas.health import ReadinessAnswer
from backend.dispatch.health import readiness
from backend.domain.messages import render

health = Blueprint("health", __name__)


@health.get("/livez")
def livez() -> Response:
    """This process answers; nothing else is asked."""
    return success({"status": "alive"})


@health.get("/readyz")
def readyz() -> Response:
    """200 when all that work needs is there, else 503; `?verbose` lists every queue with its consumers."""
    verbose = "verbose" in request.args
    found = readiness(parts().engine, parts().redis, verbose=verbose)
    answer = ReadinessAnswer.model_validate(found)
    if found.ready:
        return success(answer)
    detail = "; ".join(f"{check.name}: {check.detail}" for check in found.checks if not check.ok)
    data = {"error": "not_ready", **answer.model_dump(mode="json")}
    return failure(503, render("not_ready", language(), {"detail": detail}), data)


@health.get("/healthz")
def healthz() -> Response:
    """The same as `/readyz`."""
    return readyz()
