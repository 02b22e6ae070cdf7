"""Log entries of what children call: successes in the transaction of what they tell of, refusals after the answer."""

from __future__ import annotations

import logging
import time

from flask import Response, g, request

from backend.api.context import parts
from backend.api.routes import Routes
from backend.domain.errors import Unavailable
from backend.store import sync_logs
from backend.store.session import transact
from backend.store.sync_logs import SyncEntry

log = logging.getLogger(__name__)

# By the route's function: the operation in WeRSS's words, and its direction as the child sees it.
OPERATIONS = {
    "feeds": ("sync_feeds", "pull"),
    "message_tasks": ("sync_tasks", "pull"),
    "claim_task": ("claim_task", "pull"),
    "pending_tasks": ("pending_tasks", "pull"),
    "task_status": ("task_status", "push"),
    "upload_articles": ("upload_articles", "push"),
    "report_completion": ("task_completion", "push"),
    "report_result": ("report_result", "push"),
    "begin": ("begin", "pull"),
    "checkpoint": ("checkpoint", "push"),
    "renew": ("renew", "push"),
    "lost": ("lost", "push"),
    "settle": ("settle", "push"),
}


def entry(node_id: str, data_count: int = 0, *, error: str = "", **extra: object) -> SyncEntry:
    """The log entry of the call that is being answered."""
    operation, direction = OPERATIONS[_function()]
    return SyncEntry(
        node_id=node_id,
        operation=operation,
        direction=direction,
        data_count=data_count,
        duration_ms=int((time.monotonic() - g.started) * 1000),
        error=error,
        extra=extra,
    )


def log_refusals(routes: Routes) -> None:
    """Log what these routes refuse to a node that is known."""
    routes.after_request(_log_refusal)


def _log_refusal(answer: Response) -> Response:
    node = g.get("node")
    if node is not None and 400 <= answer.status_code < 500 and _function() in OPERATIONS:
        said = answer.get_json(silent=True) or {}
        refused = entry(node.id, error=str(said.get("message", "")), status=answer.status_code)
        try:
            transact(parts().engine, lambda session: sync_logs.record(session, refused), attempts=1)
        except Unavailable as error:
            log.warning("a refusal could not be logged: %s", error)
    return answer


def _function() -> str:
    return (request.endpoint or "").rpartition(".")[2]
