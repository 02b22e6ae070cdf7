"""Publish tasks: articles that users want on platforms, each submitted once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from backend.api.access import Access, declare
from backend.api.context import actor, asker, language, parts
from backend.api.errors import invalid_fields
from backend.api.publishing_parts import owner, whose
from backend.api.routes import Routes
from backend.api.schemas.allocations import StepAnswer
from backend.api.schemas.publishing import (
    BatchAnswer,
    BatchItemAnswer,
    BatchRequest,
    ClearAnswer,
    ClearRequest,
    ConfirmRequest,
    GroupRequest,
    LimitsAnswer,
    LimitsQuery,
    NewTaskAnswer,
    PublishAnswer,
    PublishPage,
    PublishPath,
    PublishQuery,
    PublishRequest,
    PublishStoryAnswer,
    TargetRequest,
)
from backend.dispatch import progress, publish_interventions
from backend.dispatch.queues import try_wake
from backend.domain.errors import CascadeError, InvalidInput, NotFound
from backend.domain.identifiers import new_id
from backend.domain.publish_checks import check_manuscript
from backend.domain.publish_waiting import Wait
from backend.domain.publishing import Manuscript
from backend.domain.states import PublishState
from backend.store import accounts, publish_views
from backend.store import publishing as store
from backend.store.publish_views import PublishFilter, PublishStory, PublishTaskView
from backend.store.publish_waiting import WAITING, waits
from backend.store.publishing import NewPublish
from backend.store.scene import scene
from backend.store.session import read, transact

Waits = Mapping[str, Wait]

MEGABYTE = 1024 * 1024
BODY_BYTES, BATCH_BYTES = 12 * MEGABYTE, 32 * MEGABYTE

publishing = Routes(
    "publishing",
    "/api/v1/publish/tasks",
    text="Articles to publish: what became of them, and what to do about it.",
)


@publishing.post("")
@declare(Access.OPERATOR, creates=True, body_bytes=BODY_BYTES)
def add_task(body: PublishRequest) -> NewTaskAnswer:
    """Publish an article. 409 with the earlier task when the account was given the same one; `force` does it again."""
    task_id = new_id()
    [refusal] = _create({task_id: _checked(body, None)})
    if refusal is not None:
        raise refusal
    return NewTaskAnswer(id=task_id)


@publishing.post("/batch")
@declare(Access.OPERATOR, creates=True, body_bytes=BATCH_BYTES)
def add_batch(body: BatchRequest) -> BatchAnswer:
    """Publish up to 100 articles, each accepted or refused by itself; what exceeds one's limits waits."""
    return _together(body.tasks)


@publishing.post("/group")
@declare(Access.OPERATOR, creates=True, body_bytes=BODY_BYTES)
def add_group(body: GroupRequest) -> BatchAnswer:
    """Publish one article to several accounts, each accepted or refused by itself: a bad one never touches the others."""
    shared = body.model_dump(exclude={"targets"})
    return _together([shared | _own(one) for one in body.targets])


def _own(target: TargetRequest | dict[str, Any]) -> dict[str, Any]:
    return target if isinstance(target, dict) else target.model_dump(exclude_none=True)


def _together(tasks: Sequence[PublishRequest | Mapping[str, Any]]) -> BatchAnswer:
    group_id = new_id()
    wanted = [(new_id(), _try(one, group_id)) for one in tasks]
    good = {task_id: one for task_id, one in wanted if isinstance(one, NewPublish)}
    refused = dict(zip(good, _create(good), strict=True))
    done = [
        _told(index, task_id, one if isinstance(one, CascadeError) else refused[task_id])
        for index, (task_id, one) in enumerate(wanted)
    ]
    accepted = sum(one.id is not None for one in done)
    return BatchAnswer(group_id=group_id, accepted=accepted, refused=len(done) - accepted, list=done)


def _try(asked: PublishRequest | Mapping[str, Any], group_id: str) -> NewPublish | CascadeError:
    try:
        body = asked if isinstance(asked, PublishRequest) else PublishRequest.model_validate(asked)
        return _checked(body, group_id)
    except ValidationError as error:
        return invalid_fields(error)
    except InvalidInput as error:
        return error


def _checked(body: PublishRequest, group_id: str | None) -> NewPublish:
    """What to store. Raises `InvalidInput` for an account that is not the person's, and what its platform can't take."""
    account_id, mine = body.account_id, owner()
    try:
        account = read(parts().engine, lambda session: accounts.get_account(session, account_id, mine))
    except NotFound:
        raise InvalidInput(fields={"account_id": InvalidInput("unknown_account")}) from None
    if body.platform not in {None, account.platform}:
        told = InvalidInput("platform_of_account", platform=account.platform)
        raise InvalidInput(fields={"platform": told})
    manuscript = Manuscript(
        title=body.title,
        content=body.content,
        content_format=body.content_format,
        cover=body.cover,
        tags=tuple(body.tags),
        draft=body.draft,
    )
    check_manuscript(parts().publishers(), account.platform, manuscript)
    return NewPublish(
        account_id=account_id,
        manuscript=manuscript,
        platform=account.platform,
        scheduled_at=body.scheduled_at,
        priority=body.priority,
        group_id=group_id,
        force=body.force,
    )


def _create(wanted: Mapping[str, NewPublish]) -> Sequence[CascadeError | None]:
    user_id, mine = asker().id, owner()
    found = transact(parts().engine, lambda session: store.create_tasks(session, user_id, wanted, owner=mine))
    try_wake(parts().redis)
    return [found[task_id] for task_id in wanted]


def _told(index: int, task_id: str, refusal: CascadeError | None) -> BatchItemAnswer:
    if refusal is None:
        return BatchItemAnswer(index=index, id=task_id, error="", message="", errors={}, existing_id=None)
    existing = refusal.params.get("existing_id")
    return BatchItemAnswer(
        index=index,
        id=None,
        error=refusal.code,
        message=refusal.sentence(language()),
        errors=refusal.field_sentences(language()) if isinstance(refusal, InvalidInput) else {},
        existing_id=str(existing) if existing else None,
    )


@publishing.get("")
@declare(Access.VIEWER)
def list_tasks(query: PublishQuery) -> PublishPage:
    """The newest publish tasks: one's own, for admins all; with how many there are in each status."""
    which = PublishFilter(
        owner=whose(query.user_id),
        states=(query.status.value,) if query.status else (),
        platform=query.platform,
        account_id=query.account_id,
        group_id=query.group_id,
        created_after=query.created_after,
        created_before=query.created_before,
    )

    def look(session: Session) -> tuple[list[PublishTaskView], int, dict[str, int], Waits]:
        page = publish_views.list_tasks(session, which, limit=query.limit, offset=query.offset)
        return *page, _waits(session, page[0])

    found, total, totals, waiting = read(parts().engine, look)
    told = _progress(found)
    return PublishPage(list=[_answer(one, told, waiting) for one in found], total=total, totals=totals)


@publishing.get("/limits")
@declare(Access.VIEWER)
def get_limits(query: LimitsQuery) -> LimitsAnswer:
    """A user's limits, and how much of them is used."""
    user_id = whose(query.user_id) or asker().id
    limits = parts().limits.publishing
    used = read(parts().engine, lambda session: publish_views.user_publishing(session, user_id))
    return LimitsAnswer(
        user_id=user_id,
        in_flight=used.in_flight,
        max_in_flight=limits.in_flight,
        admitted_last_minute=used.admitted_last_minute,
        max_per_minute=limits.per_minute,
        submitted_last_day=used.submitted_last_day,
        totals=used.states,
    )


@publishing.get("/<id:publish_id>")
@declare(Access.VIEWER)
def get_task(path: PublishPath) -> PublishStoryAnswer:
    """One publish task with its article, timeline and failed attempts."""
    mine = owner()

    def look(session: Session) -> tuple[PublishStory, Waits]:
        story = publish_views.show_task(session, path.publish_id, mine)
        return story, _waits(session, [story.task])

    story, waiting = read(parts().engine, look)
    return PublishStoryAnswer(
        **_fields(story.task, _progress([story.task]), waiting),
        content=story.content,
        timeline=[StepAnswer.model_validate(one) for one in story.timeline],
        late_reports=[StepAnswer.model_validate(one) for one in story.late_reports],
        errors=story.errors,
    )


@publishing.post("/<id:publish_id>/cancel")
@declare(Access.OPERATOR, errors=(409,))
def cancel(path: PublishPath) -> PublishAnswer:
    """End what waits; ask what runs to stop. 409 when it has ended, or its article was submitted."""
    publish_interventions.cancel_task(parts().engine, parts().redis, path.publish_id, actor(), owner=owner())
    return _changed(path)


@publishing.post("/<id:publish_id>/retry")
@declare(Access.OPERATOR, errors=(409,))
def retry(path: PublishPath) -> PublishAnswer:
    """Try a failed task again, with all its attempts before it; the same draft is continued."""
    publish_interventions.retry_task(parts().engine, parts().redis, path.publish_id, actor(), owner=owner())
    return _changed(path)


@publishing.post("/<id:publish_id>/confirm")
@declare(Access.OPERATOR, errors=(409,))
def confirm(path: PublishPath, body: ConfirmRequest) -> PublishAnswer:
    """Say of an unconfirmed task what stands on the platform: the article, or nothing, so that it is published again."""
    publish_interventions.confirm_task(
        parts().engine,
        parts().redis,
        path.publish_id,
        actor(),
        published=body.published,
        url=body.url,
        owner=owner(),
    )
    return _changed(path)


@publishing.post("/clear")
@declare(Access.OPERATOR)
def clear(body: ClearRequest) -> ClearAnswer:
    """Delete finished tasks: those named, or all of one's own in the named states."""
    if not body.ids and not body.states:
        raise InvalidInput("nothing_to_clear")
    deleted = 0
    kept: list[str] = []
    if body.ids:
        kept = transact(parts().engine, lambda session: _clear_named(session, body.ids))
        deleted = len(set(body.ids)) - len(kept)
    if body.states:
        deleted += _clear_states(body.states)
    return ClearAnswer(deleted=deleted, kept=kept)


def _clear_named(session: Session, ids: Sequence[str]) -> list[str]:
    """Clear those of the ids that can be; the others."""
    there = publish_views.get_tasks(session, ids)
    store.clear(session, owner=owner(), ids=ids)
    gone = there.keys() - publish_views.get_tasks(session, ids).keys()
    return sorted(set(ids) - gone)


def _clear_states(states: Sequence[str]) -> int:
    deleted, user_id = 0, asker().id
    while some := transact(
        parts().engine, lambda session: store.clear(session, owner=user_id, states=states)
    ):
        deleted += some
    return deleted


def _changed(path: PublishPath) -> PublishAnswer:
    def look(session: Session) -> tuple[PublishTaskView, Waits]:
        view = publish_views.get_task(session, path.publish_id)
        return view, _waits(session, [view])

    view, waiting = read(parts().engine, look)
    return _answer(view, {}, waiting)


def _waits(session: Session, found: Sequence[PublishTaskView]) -> Waits:
    ids = [one.id for one in found if one.state in WAITING]
    return waits(session, ids, parts().limits.publishing, scene(session)) if ids else {}


def _progress(found: Sequence[PublishTaskView]) -> Mapping[str, str]:
    return progress.read(parts().redis, [one.id for one in found if one.state == PublishState.RUNNING])


def _answer(view: PublishTaskView, told: Mapping[str, str], waiting: Waits) -> PublishAnswer:
    return PublishAnswer(**_fields(view, told, waiting))


def _fields(view: PublishTaskView, told: Mapping[str, str], waiting: Waits) -> dict[str, Any]:
    fields = dataclasses.asdict(view)
    wait = waiting.get(view.id)
    return fields | {
        "status": fields.pop("state"),
        "progress": told.get(view.id, ""),
        "why": wait.why if wait else None,
        "expected_at": wait.expected_at if wait else None,
    }
