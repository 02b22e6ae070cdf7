"""Start, stop and reload the schedules of all message tasks: a row in the database that every beat obeys."""

from __future__ import annotations

from dataclasses import asdict

from backend.api.access import Access, declare
from backend.api.context import actor, parts
from backend.api.routes import Routes
from backend.api.schemas.scheduler import ReloadAnswer, SchedulerAnswer
from backend.dispatch.scheduler import reload_schedules
from backend.store.scheduler import scheduler_state, set_running
from backend.store.session import read, transact

scheduler = Routes("scheduler", text="Whether schedules fire.", any_content_type=True)


@scheduler.get("/scheduler")
@declare(Access.VIEWER)
def get_scheduler() -> SchedulerAnswer:
    """Whether schedules fire."""
    return SchedulerAnswer.model_validate(read(parts().engine, scheduler_state))


@scheduler.post("/start-scheduler")
@declare(Access.ADMIN)
def start_scheduler() -> SchedulerAnswer:
    """Let schedules fire; what each task missed while they were stopped fires once, late."""
    return _set_running(running=True)


@scheduler.post("/stop-scheduler")
@declare(Access.ADMIN)
def stop_scheduler() -> SchedulerAnswer:
    """Stop all schedules within a second; dispatching by hand and what runs go on."""
    return _set_running(running=False)


@scheduler.post("/reload-scheduler")
@declare(Access.ADMIN)
def reload_scheduler() -> ReloadAnswer:
    """Plan every schedule anew; what is due already stays due. Needed only after an update of time zones."""
    planned, view = reload_schedules(parts().engine)
    return ReloadAnswer(planned=planned, **asdict(view))


def _set_running(*, running: bool) -> SchedulerAnswer:
    who = actor()
    view = transact(parts().engine, lambda session: set_running(session, who, running=running))
    return SchedulerAnswer.model_validate(view)
