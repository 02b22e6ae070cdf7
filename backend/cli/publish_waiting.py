"""Waiting for a publish task: how far it is, and when waiting longer makes no sense."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from backend.bootstrap import build_publish_limits
from backend.cli.language import say, spoken
from backend.cli.output import note
from backend.cli.waiting import Patience, alive
from backend.dispatch import progress
from backend.domain.errors import Unavailable
from backend.domain.states import PublishState
from backend.store.publish_views import get_task
from backend.store.publish_waiting import WAITING, waits
from backend.store.scene import scene
from backend.store.session import read

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from backend.cli.opening import Place
    from backend.domain.publish_admission import PublishLimits
    from backend.domain.publish_waiting import Wait
    from backend.store.publish_views import PublishTaskView

POLL_SECONDS = 0.5
ENDED = frozenset(
    {PublishState.SUCCESS, PublishState.FAILED, PublishState.CANCELLED, PublishState.UNCONFIRMED}
)


def await_task(place: Place, task_id: str) -> PublishTaskView:
    """The task when it has ended or waits for a person. Raises `Unavailable` when neither can happen."""
    patience, last = Patience(), ""
    limits = build_publish_limits(place.settings)
    while True:
        view, wait = read(place.engine, lambda session: _look(session, task_id, limits))
        last = _say(place, view, wait, last)
        # What is held goes on when somebody has mended its account, which may take days; a cooling one mends itself.
        if view.state in ENDED or (view.state == PublishState.HELD and not (wait and wait.expected_at)):
            return view
        beat, node = read(place.engine, alive)
        if reason := patience.spent(beat=beat, node=node):
            raise Unavailable("wait_given_up", reason=reason)
        time.sleep(POLL_SECONDS)


def _look(session: Session, task_id: str, limits: PublishLimits) -> tuple[PublishTaskView, Wait | None]:
    view = get_task(session, task_id)
    if view.state not in WAITING:
        return view, None
    return view, waits(session, [task_id], limits, scene(session)).get(task_id)


def _say(place: Place, view: PublishTaskView, wait: Wait | None, last: str) -> str:
    """A line whenever something changed."""
    running = [view.id] if view.state == PublishState.RUNNING else []
    told = progress.read(place.redis, running).get(view.id, "") or spoken(wait.why if wait else None)
    sentence = say("publish_status", status=view.state, detail=told) if told else view.state
    if sentence != last:
        note(sentence)
    return sentence
