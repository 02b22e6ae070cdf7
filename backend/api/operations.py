"""What waits and why, what failed, and how fresh the feeds are."""

from __future__ import annotations

from backend.api.access import Access, declare
from backend.api.context import asker, parts
from backend.api.routes import Routes
from backend.api.schemas.operations import (
    BacklogAnswer,
    FailureGroupAnswer,
    FailureQuery,
    FailuresAnswer,
    FeedStatusAnswer,
    FeedStatusPageAnswer,
    FeedStatusQuery,
    WhyAnswer,
    WhyPath,
)
from backend.store.failures import FailureFilter, group_failures
from backend.store.feed_status import feed_status
from backend.store.scene import Asker, explain
from backend.store.session import read
from backend.store.waiting import backlog

operations = Routes("operations", text="What waits and why, what failed, and how fresh the feeds are.")


@operations.get("/pending-allocations")
@declare(Access.VIEWER)
def pending_allocations() -> BacklogAnswer:
    """How much has not ended, by node and kind, and what waits for which reason."""
    return BacklogAnswer.model_validate(read(parts().engine, backlog))


@operations.get("/failures")
@declare(Access.VIEWER)
def failures(query: FailureQuery) -> FailuresAnswer:
    """What failed, grouped by error code and message, with numbers, ids and hosts folded."""
    wanted = FailureFilter(**query.model_dump(exclude={"limit"}))
    found = read(parts().engine, lambda session: group_failures(session, wanted))
    return FailuresAnswer(
        list=[FailureGroupAnswer.model_validate(group) for group in found.groups[: query.limit]],
        total=len(found.groups),
        looked_at=found.looked_at,
        complete=found.complete,
    )


@operations.get("/feed-status")
@declare(Access.VIEWER)
def feed_states(query: FeedStatusQuery) -> FeedStatusPageAnswer:
    """How fresh the feeds are, what was last done for them, and their last error."""
    page = read(
        parts().engine,
        lambda session: feed_status(
            session,
            parts().freshness,
            feed_id=query.feed_id,
            status=query.status,
            limit=query.limit,
            offset=query.offset,
            cursor=query.cursor,
        ),
    )
    return FeedStatusPageAnswer(
        list=[FeedStatusAnswer.model_validate(one) for one in page.found],
        total=page.total,
        counts=page.counts,
        next_cursor=page.next_cursor,
    )


@operations.get("/why/<id:subject_id>")
@declare(Access.VIEWER)
def why(path: WhyPath) -> WhyAnswer:
    """Why a run, item, allocation, delivery or publish task waits, in one sentence, and when that one probably goes on."""
    asking = Asker(parts().limits.publishing, None if asker().role == "admin" else asker().id)
    found = read(parts().engine, lambda session: explain(session, path.subject_id, asking))
    return WhyAnswer.model_validate(found)
