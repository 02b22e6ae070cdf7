"""Message tasks: add, list, change, delete."""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic import BaseModel
from sqlalchemy.orm import Session

from backend.api.access import Access, declare
from backend.api.answers import Reply
from backend.api.auth import may_see_secrets
from backend.api.context import actor, asker, language, parts
from backend.api.masking import mask_cookies, mask_headers, mask_url
from backend.api.preconditions import is_conditional, require_match, tagged
from backend.api.routes import Routes
from backend.api.schemas.common import Page, PageQuery
from backend.api.schemas.message_tasks import (
    TaskAnswer,
    TaskChangeRequest,
    TaskPath,
    TaskRequest,
    TickAnswer,
)
from backend.domain.identifiers import new_id
from backend.domain.message_tasks import TaskContent, check_task
from backend.domain.schedule_words import in_words
from backend.store import message_tasks as store
from backend.store import ticks
from backend.store.message_tasks import TaskView
from backend.store.session import read, transact

FIRE_TIMES = 3

message_tasks = Routes(
    "message_tasks", "/api/v1/message-tasks", text="Saved jobs: which feeds, when, which message, where to."
)


@message_tasks.post("")
@declare(Access.OPERATOR, creates=True)
def add_task(body: TaskRequest) -> TaskAnswer:
    """Add a message task."""
    checked = check_task(TaskContent(**_fields(body)))
    task_id, cipher = new_id(), parts().cipher
    view = transact(parts().engine, lambda session: store.create_task(session, cipher, task_id, checked))
    return _answer(view)


@message_tasks.get("")
@declare(Access.VIEWER)
def list_tasks(query: PageQuery) -> Page[TaskAnswer]:
    """The newest message tasks."""
    cipher = parts().cipher
    found, total = read(
        parts().engine,
        lambda session: store.list_tasks(session, cipher, limit=query.limit, offset=query.offset),
    )
    return Page(list=[_answer(view) for view in found], total=total)


@message_tasks.get("/<id:task_id>")
@declare(Access.VIEWER, versioned=True)
def get_task(path: TaskPath) -> Reply[TaskAnswer]:
    """One message task."""
    return _tagged(_standing(path.task_id))


@message_tasks.put("/<id:task_id>")
@declare(Access.OPERATOR, errors=(409,), versioned=True)
def change_task(path: TaskPath, body: TaskChangeRequest) -> Reply[TaskAnswer]:
    """Change a message task; what is left out stays."""
    before, cipher = _standing(path.task_id).content, parts().cipher
    after = check_task(dataclasses.replace(before, **_fields(body)))
    who = actor()

    def change(session: Session) -> TaskView:
        if is_conditional():
            require_match(store.get_task(session, cipher, path.task_id, lock=True).content)
        return store.update_task(session, cipher, path.task_id, before, after, actor=who)

    return _tagged(transact(parts().engine, change))


@message_tasks.delete("/<id:task_id>")
@declare(Access.OPERATOR)
def delete_task(path: TaskPath) -> None:
    """Delete a message task; its runs end and what waits for delivery is cancelled."""
    who = actor()
    transact(parts().engine, lambda session: store.delete_task(session, path.task_id, actor=who))


@message_tasks.post("/<id:task_id>/pause")
@declare(Access.OPERATOR)
def pause_task(path: TaskPath) -> TaskAnswer:
    """Stop the task's schedule, and nothing else: its ticks are skipped until it is resumed."""
    return _set_paused(path.task_id, paused=True)


@message_tasks.post("/<id:task_id>/resume")
@declare(Access.OPERATOR)
def resume_task(path: TaskPath) -> TaskAnswer:
    """Let the task's schedule go on with its next tick; nothing is made up."""
    return _set_paused(path.task_id, paused=False)


@message_tasks.get("/<id:task_id>/ticks")
@declare(Access.VIEWER)
def list_ticks(path: TaskPath, query: PageQuery) -> Page[TickAnswer]:
    """What the planned times of the task's schedule came to, the newest first."""
    found, total = read(
        parts().engine,
        lambda session: ticks.list_ticks(session, path.task_id, limit=query.limit, offset=query.offset),
    )
    return Page(list=[TickAnswer.model_validate(view) for view in found], total=total)


def _set_paused(task_id: str, *, paused: bool) -> TaskAnswer:
    transact(
        parts().engine,
        lambda session: ticks.set_paused(session, task_id, ticks.clock(session), paused=paused),
    )
    return _answer(_standing(task_id))


def _standing(task_id: str) -> TaskView:
    return read(parts().engine, lambda session: store.get_task(session, parts().cipher, task_id))


def _fields(asked: BaseModel) -> dict[str, Any]:
    fields = asked.model_dump(exclude_unset=True)
    if isinstance(fields.get("feed_ids"), list):
        fields["feed_ids"] = tuple(fields["feed_ids"])
    return fields


def _tagged(view: TaskView) -> Reply[TaskAnswer]:
    return tagged(_answer(view), view.content)


def _answer(view: TaskView) -> TaskAnswer:
    fields = dataclasses.asdict(view.content)
    if not may_see_secrets(asker()):
        fields["web_hook_url"] = mask_url(view.content.web_hook_url)
        fields["headers"] = mask_headers(view.content.headers)
        fields["cookies"] = mask_cookies(view.content.cookies)
    return TaskAnswer(
        id=view.id,
        receiver_kind=view.receiver_kind,
        paused=view.paused,
        schedule_in_words=in_words(view.content.cron_exp, language()),
        next_fire_times=view.fire_times(FIRE_TIMES),
        baseline_at=view.baseline_at,
        created_at=view.created_at,
        **fields,
    )
