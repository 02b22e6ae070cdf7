"""The repairs of publishing: tasks and allocations that lost each other, slots and prompts that nobody needs any more."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from backend.dispatch.repairs import Repair, in_one
from backend.store import publish_admission, publish_waiting
from backend.store import publish_repairs as store
from backend.store.scene import scene

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from backend.domain.publish_admission import PublishLimits
    from backend.store.publish_waiting import Note


def reasons(engine: Engine, limits: PublishLimits) -> Repair[Note]:
    """Tasks that come next and whose row says another reason for their waiting than is true now."""
    find = partial(_stale_reasons, limits=limits)
    return in_one(engine, "sweep_reasons", find, publish_waiting.note_reasons)


def _stale_reasons(session: Session, limits: PublishLimits) -> list[Note]:
    # Mostly nothing waits, and nothing more is asked then.
    waits = publish_admission.any_pending(session)
    return publish_waiting.stale_reasons(session, limits, scene(session)) if waits else []


def publish_repairs(engine: Engine) -> list[Repair[str]]:
    """All of them; each finds without locks and mends by key."""
    make = partial(in_one, engine)
    return [
        make("sweep_workless_publishes", store.workless, store.wait_again),
        make("sweep_taskless", store.taskless, store.end_taskless),
        make("sweep_slots", store.kept_slots, store.free_slots),
        make("sweep_prompts", store.old_prompts, store.forget_prompts),
    ]
