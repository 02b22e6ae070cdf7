"""Waiting for a publish task: how far it is, and when waiting longer makes no sense."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from backend.cli.language import say
from backend.cli.output import note
from backend.cli.waiting import Patience, alive
from backend.dispatch import progress
from backend.domain.errors import Unavailable
from backend.domain.states import PublishState
from backend.store.publish_views import get_task
from backend.store.session import read

if TYPE_CHECKING:
    from backend.cli.opening import Place
    from backend.store.publish_views import PublishTaskView

POLL_SECONDS = 0.5
ENDED = frozenset(
    {PublishState.SUCCESS, PublishState.FAILED, PublishState.CANCELLED, PublishState.UNCONFIRMED}
)


def await_task(place: Place, task_id: str) -> PublishTaskView:
    """The task when it has ended or waits for a person. Raises `Unavailable` when neither can happen."""
    patience, last = Patience(), ""
    while True:
        view = read(place.engine, lambda session: get_task(session, task_id))
        last = _say(place, view, last)
        # A held task goes on when somebody has mended its account, which may take days; a cooling account mends itself.
        if view.state in ENDED or (view.state == PublishState.HELD and view.not_before is None):
            return view
        beat, node = read(place.engine, alive)
        if reason := patience.spent(beat=beat, node=node):
            raise Unavailable("wait_given_up", reason=reason)
        time.sleep(POLL_SECONDS)


def _say(place: Place, view: PublishTaskView, last: str) -> str:
    """A line whenever something changed."""
    running = [view.id] if view.state == PublishState.RUNNING else []
    told = progress.read(place.redis, running).get(view.id, "") or view.reason
    sentence = say("publish_status", status=view.state, detail=told) if told else view.state
    if sentence != last:
        note(sentence)
    return sentence
