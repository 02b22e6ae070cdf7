"""Why publish tasks wait and when they will probably go on, read for a page of them at once; and that written down for the next ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from backend.domain.pacing import pace_of
from backend.domain.publish_admission import AccountFacts, PublishLimits, UserLoad
from backend.domain.publish_waiting import AccountStory, Wait, WaitingTask, why_task_waits
from backend.domain.publishing import Health
from backend.domain.waiting import Backoff, Scene
from backend.store import publish_admission, publish_pace
from backend.store.account_health import ACCOUNTS, TASKS
from backend.store.columns import by_index
from backend.store.publish_admission import ADMISSION_INDEX
from backend.store.tables import PublishTask
from backend.store.transitions import REASON_LENGTH

WAITING = ("pending", "held")
NOTED_AT_ONCE = 200
SHOWN = [
    TASKS.c[name]
    for name in (
        *("id", "user_id", "account_id", "state", "submitted_at", "scheduled_at", "not_before"),
        *("attempts", "error_code", "error_message", "errors", "reason", "reason_code"),
    )
]


def waits(session: Session, ids: Collection[str], limits: PublishLimits, at: Scene) -> dict[str, Wait]:
    """Of those of the tasks that wait, pending or held, the reason and when they probably go on."""
    if not ids:
        return {}
    query = select(*SHOWN).where(TASKS.c.id.in_(sorted(ids)), TASKS.c.state.in_(WAITING))
    return _explain(session, session.execute(query).all(), limits, at)


def _explain(session: Session, rows: Sequence[Any], limits: PublishLimits, at: Scene) -> dict[str, Wait]:
    taken = publish_admission.occupants(session)
    stories = _stories(session, {row.account_id for row in rows}, taken)
    users = publish_admission.user_loads(session, {row.user_id for row in rows})
    places = publish_admission.publish_nodes(session, taken.values(), limits.node_slots, at.nodes)
    ahead = _ahead(session, rows)
    return {
        row.id: why_task_waits(
            _task(row, ahead.get(row.id, 0)),
            users.get(row.user_id, UserLoad()),
            stories.get(row.account_id),
            places,
            limits,
            at,
        )
        for row in rows
    }


def _task(row: Any, ahead: int) -> WaitingTask:
    error = (row.errors or [{}])[-1]
    code, message = row.error_code or error.get("code", ""), row.error_message or error.get("message", "")
    backoff = Backoff(row.not_before, row.attempts, code, message)
    return WaitingTask(row.user_id, row.submitted_at is not None, row.scheduled_at, backoff, ahead)


def _stories(session: Session, ids: Collection[str], taken: Collection[str]) -> dict[str, AccountStory]:
    query = select(*(column for column in ACCOUNTS.c if column.name not in ("credentials", "login_prompt")))
    rows = session.execute(query.where(ACCOUNTS.c.id.in_(sorted(ids)))).all()
    paces = {row.id: pace_of(row.platform, row.min_gap_seconds, row.daily_limit) for row in rows}
    used = publish_pace.usage(session, paces)
    return {row.id: _story(row, used[row.id], row.id in taken) for row in rows}


def _story(row: Any, used: publish_pace.Usage, occupied: bool) -> AccountStory:
    health = Health(row.health)
    facts = AccountFacts(row.id, row.platform, health, row.is_active, occupied, row.node_id, used.free_at)
    return AccountStory(
        facts=facts,
        name=row.name,
        reason=row.health_reason.rstrip(". "),
        cooling_until=row.cooling_until,
        pace=used.pace,
        gap_until=used.gap_until,
        day_until=used.day_until,
        used_today=used.today,
    )


def _ahead(session: Session, rows: Sequence[Any]) -> dict[str, int]:
    """Of each task, how many of its account come first: those whose time has come, in the order of admission."""
    ids, accounts = sorted(row.id for row in rows), sorted({row.account_id for row in rows})
    order = (PublishTask.submitted_at.is_(None), PublishTask.priority.desc(), PublishTask.id)
    place = func.row_number().over(partition_by=PublishTask.account_id, order_by=order)
    ranked = (
        by_index(select(PublishTask.id, (place - 1).label("ahead")), PublishTask, ADMISSION_INDEX)
        .where(PublishTask.state == "pending", PublishTask.account_id.in_(accounts))
        .where(or_(publish_admission.is_due(), PublishTask.id.in_(ids)))
        .subquery()
    )
    query = select(ranked.c.id, ranked.c.ahead).where(ranked.c.id.in_(ids))
    return {row.id: int(row.ahead) for row in session.execute(query)}


@dataclass(frozen=True, slots=True)
class Note:
    """What a task's row should say of why it waits."""

    task_id: str
    code: str
    reason: str


def stale_reasons(session: Session, limits: PublishLimits, at: Scene) -> list[Note]:
    """Of each account and user the next task, where its row says another reason than is true now.

    Those behind it wait for their turn; `waits` says more of each that a person looks at.
    """
    found: list[Note] = []
    for accounts in publish_admission.waiting_accounts(session, "pending"):
        heads = [one.task_id for one in publish_admission.candidates(session, accounts)]
        rows = session.execute(select(*SHOWN).where(TASKS.c.id.in_(heads))).all()
        told = _explain(session, rows, limits, at) if rows else {}
        for row in rows:
            why = told[row.id].why
            said = why.sentence()[:REASON_LENGTH]
            if (row.reason_code, row.reason) != (why.code, said):
                found.append(Note(row.id, why.code, said))
        if len(found) >= NOTED_AT_ONCE:
            break
    return found[:NOTED_AT_ONCE]


def note_reasons(session: Session, notes: Sequence[Note]) -> int:
    """Write them down, where the tasks still wait."""
    for one in notes:
        session.execute(
            update(TASKS)
            .where(TASKS.c.id == one.task_id, TASKS.c.state == "pending")
            .values(reason=one.reason, reason_code=one.code)
        )
    return len(notes)
