"""Message tasks: add, list, change, delete."""

from __future__ import annotations

import dataclasses
from typing import Any

from flask import Blueprint, Response
from pydantic import BaseModel

from backend.api.answers import success, success_list
from backend.api.auth import may_see_secrets
from backend.api.context import actor, asker, parts
from backend.api.inputs import read_body, read_query
from backend.api.masking import mask_cookies, mask_headers, mask_url
from backend.api.schemas.common import PageQuery
from backend.api.schemas.message_tasks import TaskAnswer, TaskChangeRequest, TaskRequest
from backend.domain.identifiers import new_id
from backend.domain.message_tasks import TaskContent, check_task
from backend.store import message_tasks as store
from backend.store.message_tasks import TaskView
from backend.store.session import read, transact

message_tasks = Blueprint("message_tasks", __name__, url_prefix="/api/v1/message-tasks")


@message_tasks.post("")
def add_task() -> Response:
    """Add a message task."""
    checked = check_task(TaskContent(**_fields(read_body(TaskRequest))))
    task_id, cipher = new_id(), parts().cipher
    view = transact(parts().engine, lambda session: store.create_task(session, cipher, task_id, checked))
    return success(_answer(view))


@message_tasks.get("")
def list_tasks() -> Response:
    """The newest message tasks."""
    asked, cipher = read_query(PageQuery), parts().cipher
    found, total = read(
        parts().engine,
        lambda session: store.list_tasks(session, cipher, limit=asked.limit, offset=asked.offset),
    )
    return success_list((_answer(view) for view in found), total)


@message_tasks.get("/<id:task_id>")
def get_task(task_id: str) -> Response:
    """One message task."""
    return success(_answer(_standing(task_id)))


@message_tasks.put("/<id:task_id>")
def change_task(task_id: str) -> Response:
    """Change a message task; what is left out stays."""
    asked = read_body(TaskChangeRequest)
    before, cipher = _standing(task_id).content, parts().cipher
    after = check_task(dataclasses.replace(before, **_fields(asked)))
    who = actor()
    view = transact(
        parts().engine,
        lambda session: store.update_task(session, cipher, task_id, before, after, actor=who),
    )
    return success(_answer(view))


@message_tasks.delete("/<id:task_id>")
def delete_task(task_id: str) -> Response:
    """Delete a message task; its runs end and what waits for delivery is cancelled."""
    who = actor()
    transact(parts().engine, lambda session: store.delete_task(session, task_id, actor=who))
    return success()


def _standing(task_id: str) -> TaskView:
    return read(parts().engine, lambda session: store.get_task(session, parts().cipher, task_id))


def _fields(asked: BaseModel) -> dict[str, Any]:
    fields = asked.model_dump(exclude_unset=True)
    if isinstance(fields.get("feed_ids"), list):
        fields["feed_ids"] = tuple(fields["feed_ids"])
    return fields


def _answer(view: TaskView) -> TaskAnswer:
    fields = dataclasses.asdict(view.content)
    if not may_see_secrets(asker()):
        fields["web_hook_url"] = mask_url(view.content.web_hook_url)
        fields["headers"] = mask_headers(view.content.headers)
        fields["cookies"] = mask_cookies(view.content.cookies)
    return TaskAnswer(
        id=view.id,
        receiver_kind=view.receiver_kind,
        baseline_at=view.baseline_at,
        created_at=view.created_at,
        **fields,
    )
