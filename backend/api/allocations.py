"""Allocations: listed, told, cancelled and tried again, one or exactly those that were counted."""

from __future__ import annotations

from backend.api.access import Access, declare
from backend.api.answers import SEEDS_CODE
from backend.api.context import actor, parts
from backend.api.routes import Routes
from backend.api.schemas.allocations import (
    AllocationAnswer,
    AllocationFilterQuery,
    AllocationPage,
    AllocationPath,
    AllocationQuery,
    AllocationStoryAnswer,
    AttemptAnswer,
    InterventionAnswer,
    MemberAnswer,
    RetryQuery,
    SelectionAnswer,
    SelectionPath,
    SelectionRequest,
    StepAnswer,
)
from backend.dispatch import interventions
from backend.domain.identifiers import new_id
from backend.store import selections
from backend.store.allocation_views import AllocationFilter, list_allocations, show_allocation
from backend.store.session import read, transact

allocations = Routes("allocations", text="Work given to nodes: what became of it, and what to do about it.")


@allocations.get("/allocations")
@declare(Access.VIEWER, code=SEEDS_CODE)
def list_newest(query: AllocationQuery) -> AllocationPage:
    """The newest allocations that match."""
    page = read(
        parts().engine,
        lambda session: list_allocations(
            session, _wanted(query), limit=query.limit, offset=query.offset, cursor=query.cursor
        ),
    )
    return AllocationPage(
        list=[AllocationAnswer.model_validate(view) for view in page.found],
        total=page.total,
        total_is_exact=page.total_is_exact,
        next_cursor=page.next_cursor,
    )


def _wanted(query: AllocationFilterQuery) -> AllocationFilter:
    return AllocationFilter(
        task_id=query.task_id,
        run_id=query.run_id,
        node_id=query.node_id,
        status=query.status,
        kind=query.kind,
        created_after=query.created_after,
        created_before=query.created_before,
    )


@allocations.get("/allocations/<id:allocation_id>")
@declare(Access.VIEWER)
def show(path: AllocationPath) -> AllocationStoryAnswer:
    """One allocation with its timeline, attempts, feeds and messages."""
    story = read(parts().engine, lambda session: show_allocation(session, path.allocation_id))
    return AllocationStoryAnswer(
        **AllocationAnswer.model_validate(story.allocation).model_dump(),
        timeline=[StepAnswer.model_validate(one) for one in story.timeline],
        attempts=[AttemptAnswer.model_validate(one) for one in story.attempts],
        items=[MemberAnswer.model_validate(one) for one in story.items],
        deliveries=[MemberAnswer.model_validate(one) for one in story.deliveries],
    )


@allocations.post("/allocations/<id:allocation_id>/cancel")
@declare(Access.OPERATOR, errors=(409,))
def cancel(path: AllocationPath) -> InterventionAnswer:
    """End what waits at once, and ask what runs to stop; what has ended of it stays."""
    done = interventions.cancel_allocation(parts().engine, parts().redis, path.allocation_id, actor())
    return InterventionAnswer.model_validate(done)


@allocations.post("/allocations/<id:allocation_id>/retry")
@declare(Access.OPERATOR, errors=(409,))
def retry(path: AllocationPath, query: RetryQuery) -> InterventionAnswer:
    """Put what failed of an ended allocation back to wait for a node, with all its attempts before it."""
    done = interventions.retry_allocation(
        parts().engine, parts().redis, path.allocation_id, actor(), unconfirmed=query.unconfirmed
    )
    return InterventionAnswer.model_validate(done)


@allocations.post("/allocations/selections")
@declare(Access.OPERATOR, creates=True)
def select(body: SelectionRequest) -> SelectionAnswer:
    """Count and keep the allocations that an action would change; nothing is changed yet."""
    selection_id, who = new_id(), actor()
    chosen = transact(
        parts().engine,
        lambda session: selections.choose(
            session, selection_id, body.action, _wanted(body), who, unconfirmed=body.unconfirmed
        ),
    )
    return SelectionAnswer.model_validate(chosen)


@allocations.get("/allocations/selections/<id:selection_id>")
@declare(Access.VIEWER)
def show_selection(path: SelectionPath) -> SelectionAnswer:
    """A selection, and how far it is."""
    view = read(parts().engine, lambda session: selections.view_selection(session, path.selection_id))
    return SelectionAnswer.model_validate(view)


@allocations.post("/allocations/selections/<id:selection_id>/apply")
@declare(Access.OPERATOR)
def apply(path: SelectionPath) -> SelectionAnswer:
    """Change exactly the allocations that were counted, for up to 5 seconds; ask again while some remain."""
    done = interventions.apply_selection(parts().engine, parts().redis, path.selection_id, actor())
    return SelectionAnswer.model_validate(done)
