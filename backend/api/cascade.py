"""Dispatching and allocations, under the prefix of the seeds and the one of deployed WeRSS children."""

from __future__ import annotations

from flask import Blueprint, Response

from backend.api.answers import SEEDS_CODE, success, success_list
from backend.api.context import actor, parts
from backend.api.inputs import read_query
from backend.api.schemas.allocations import AllocationAnswer, AllocationQuery, DispatchAnswer, DispatchQuery
from backend.dispatch.dispatching import dispatch_tasks
from backend.store.allocations import list_allocations
from backend.store.session import read

PREFIXES = {"cascade": "/api/v1/cascade", "wx_cascade": "/api/v1/wx/cascade"}

cascade = Blueprint("cascade", __name__)


@cascade.post("/dispatch-task")
def dispatch_task() -> Response:
    """Dispatch one message task, or every enabled one, and say what happened."""
    asked = read_query(DispatchQuery)
    report = dispatch_tasks(
        parts().engine, parts().redis, limits=parts().limits, task_id=asked.task_id, actor=actor()
    )
    return success(DispatchAnswer.model_validate(report), code=SEEDS_CODE)


@cascade.get("/allocations")
def allocations() -> Response:
    """The newest allocations that match."""
    asked = read_query(AllocationQuery)
    found, total = read(
        parts().engine,
        lambda session: list_allocations(
            session,
            task_id=asked.task_id,
            node_id=asked.node_id,
            status=asked.status,
            kind=asked.kind,
            limit=asked.limit,
            offset=asked.offset,
        ),
    )
    return success_list((AllocationAnswer.model_validate(view) for view in found), total, code=SEEDS_CODE)
