"""What people read of children: their results, and the log of what moved."""

from __future__ import annotations

from backend.api.access import Access, declare
from backend.api.context import parts
from backend.api.routes import Routes
from backend.api.schemas.children import ResultAnswer, ResultQuery, SyncLogAnswer, SyncLogQuery
from backend.api.schemas.common import Page
from backend.store.results import list_results
from backend.store.session import read
from backend.store.sync_logs import list_sync_logs

child_reports = Routes(
    "child_reports", text="What children reported, and what moved between them and the parent."
)


@child_reports.get("/results")
@declare(Access.VIEWER)
def results(query: ResultQuery) -> Page[ResultAnswer]:
    """The newest results that children reported, one for each feed."""
    found, total = read(
        parts().engine,
        lambda session: list_results(
            session, task_id=query.task_id, node_id=query.node_id, limit=query.limit, offset=query.offset
        ),
    )
    return Page(list=[ResultAnswer.model_validate(one) for one in found], total=total)


@child_reports.get("/sync-logs")
@declare(Access.VIEWER)
def sync_logs(query: SyncLogQuery) -> Page[SyncLogAnswer]:
    """The newest exchanges with children that moved data or failed."""
    found, total = read(
        parts().engine,
        lambda session: list_sync_logs(
            session,
            node_id=query.node_id,
            operation=query.operation,
            direction=query.direction,
            status=query.status,
            limit=query.limit,
            offset=query.offset,
        ),
    )
    return Page(list=[SyncLogAnswer.model_validate(one) for one in found], total=total)
