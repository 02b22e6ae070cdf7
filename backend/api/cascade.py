"""Dispatching and allocations."""

from __future__ import annotations

from backend.api.access import Access, declare
from backend.api.answers import SEEDS_CODE, Reply
from backend.api.context import actor, language, parts
from backend.api.routes import Routes
from backend.api.schemas.allocations import (
    DispatchAnswer,
    DispatchedTaskAnswer,
    DispatchQuery,
    SkippedTaskAnswer,
    WaitingAnswer,
)
from backend.dispatch.dispatching import dispatch_tasks

cascade = Routes("cascade", text="Dispatching work to nodes.", any_content_type=True)


@cascade.post("/dispatch-task")
@declare(Access.OPERATOR, code=SEEDS_CODE, errors=(404, 409), creates=True)
def dispatch_task(query: DispatchQuery) -> Reply[DispatchAnswer]:
    """Dispatch one message task, or every enabled one, and say what happened."""
    report = dispatch_tasks(
        parts().engine, parts().redis, limits=parts().limits, task_id=query.task_id, actor=actor()
    )
    answer = DispatchAnswer(
        online_nodes=report.online_nodes,
        task_count=report.task_count,
        tasks=[DispatchedTaskAnswer.model_validate(task) for task in report.tasks],
        items=report.items,
        allocations_created=report.allocations_created,
        items_waiting=report.items_waiting,
        waiting=[WaitingAnswer.model_validate(group) for group in report.waiting],
        reason=report.reason_in(language()),
        skipped=[SkippedTaskAnswer.model_validate(task) for task in report.skipped],
    )
    return Reply(answer, "dispatch_done")
