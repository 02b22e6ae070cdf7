"""Dispatching and allocations."""

from __future__ import annotations

from backend.api.access import Access, declare
from backend.api.answers import SEEDS_CODE
from backend.api.context import actor, parts
from backend.api.routes import Routes
from backend.api.schemas.allocations import AllocationAnswer, AllocationQuery, DispatchAnswer, DispatchQuery
from backend.api.schemas.common import Page
from backend.dispatch.dispatching import dispatch_tasks
from backend.store.allocations import list_allocations
from backend.store.session import read

cascade = Routes("cascade", text="Dispatching work to nodes, and what became of it.", any_content_type=True)


@cascade.post("/dispatch-task")
@declare(Access.OPERATOR, code=SEEDS_CODE, errors=(404, 409), creates=True)
def dispatch_task(query: DispatchQuery) -> DispatchAnswer:
    """Dispatch one message task, or every enabled one, and say what happened."""
    report = dispatch_tasks(
        parts().engine, parts().redis, limits=parts().limits, task_id=query.task_id, actor=actor()
    )
    return DispatchAnswer.model_validate(report)


@cascade.get("/allocations")
@declare(Access.VIEWER, code=SEEDS_CODE)
def allocations(query: AllocationQuery) -> Page[AllocationAnswer]:
    """The newest allocations that match."""
    found, total = read(
        parts().engine,
        lambda session: list_allocations(
            session,
            task_id=query.task_id,
            node_id=query.node_id,
            status=query.status,
            kind=query.kind,
            limit=query.limit,
            offset=query.offset,
        ),
    )
    return Page(list=[AllocationAnswer.model_validate(view) for view in found], total=total)
