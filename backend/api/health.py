"""Whether the process lives and the parent can do its work."""

from __future__ import annotations

from flask import Response

from backend.api.access import Access, declare
from backend.api.answers import failure
from backend.api.context import language, parts
from backend.api.errors import RETRY_AFTER_SECONDS
from backend.api.routes import Routes
from backend.api.schemas.health import LivenessAnswer, ReadinessAnswer, ReadinessQuery
from backend.dispatch.health import readiness
from backend.domain.messages import render

health = Routes("health", text="Whether the parent lives and can work.", strict_query=False)


@health.get("/livez")
@declare(Access.OPEN)
def livez() -> LivenessAnswer:
    """This process answers; nothing else is asked."""
    return LivenessAnswer()


@health.get("/readyz")
@declare(Access.OPEN)
def readyz(query: ReadinessQuery) -> ReadinessAnswer | Response:
    """200 when all that work needs is there, else 503; `?verbose` lists every queue with its consumers."""
    return _readiness(query)


@health.get("/healthz")
@declare(Access.OPEN)
def healthz(query: ReadinessQuery) -> ReadinessAnswer | Response:
    """The same as `/readyz`."""
    return _readiness(query)


def _readiness(query: ReadinessQuery) -> ReadinessAnswer | Response:
    found = readiness(
        parts().engine, parts().redis, verbose=query.verbose is not None, flow_seconds=parts().flow_seconds
    )
    answer = ReadinessAnswer.model_validate(found)
    if found.ready:
        return answer
    detail = "; ".join(f"{check.name}: {check.detail}" for check in found.checks if not check.ok)
    data = {"error": "not_ready", **answer.model_dump(mode="json")}
    refused = failure(503, render("not_ready", language(), {"detail": detail}), data)
    refused.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return refused
