"""`/metrics` for Prometheus: what this machine's processes counted, and what the parent sees of the whole system."""

from __future__ import annotations

import hmac

from flask import Blueprint, Response, request

from backend import metrics
from backend.api.access import Access, declare
from backend.api.context import parts
from backend.dispatch.figures import Figures
from backend.domain.errors import Unauthenticated

watching = Blueprint("metrics", __name__)


@watching.get("/metrics")
@declare(Access.OPEN)
def show() -> Response:
    """Everything in Prometheus' text format; parts that are away are shown as down."""
    built = parts()
    check_token(built.metrics.token)
    families = Figures(built.engine, built.redis).families()
    answer = Response(metrics.expose(built.metrics.directory, families), content_type=metrics.CONTENT_TYPE)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def check_token(token: str) -> None:
    """Raises `Unauthenticated` unless the request brings the token, where there is one."""
    # A person's login would end; Prometheus sends one token for ever.
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token and not hmac.compare_digest(given.encode(), token.encode()):
        raise Unauthenticated("metrics_token")
