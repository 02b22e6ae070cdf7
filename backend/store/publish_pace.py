"""When accounts may submit again: their gap and their daily limit, counted from what they submitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.domain.pacing import DAY_SECONDS, Pace
from backend.store.columns import by_index, now
from backend.store.tables import PublishAccount, PublishTask

SUBMISSIONS = "ix_publish_tasks_account_id_submitted_at"


@dataclass(frozen=True, slots=True)
class Usage:
    """An account's pace, how many submissions it had within 24 hours, and until when its gap and its daily limit last."""

    pace: Pace
    today: int = 0
    gap_until: datetime | None = None
    day_until: datetime | None = None

    @property
    def free_at(self) -> datetime | None:
        """From when on it may submit again; `None`: it always may."""
        return max((one for one in (self.gap_until, self.day_until) if one is not None), default=None)


def usage(session: Session, paces: Mapping[str, Pace]) -> dict[str, Usage]:
    """By account, of those that are given with their paces, how far they are used."""
    if not paces:
        return {}
    ids = sorted(paces)
    today = (
        select(PublishTask.account_id, func.count())
        .where(PublishTask.account_id.in_(ids), PublishTask.submitted_at > now(-DAY_SECONDS))
        .group_by(PublishTask.account_id)
    )
    used = select(PublishAccount.id, PublishAccount.last_used_at).where(PublishAccount.id.in_(ids))
    counts: dict[str, int] = {
        row[0]: row[1] for row in session.execute(by_index(today, PublishTask, SUBMISSIONS))
    }
    last: dict[str, datetime | None] = {row[0]: row[1] for row in session.execute(used)}
    return {
        one: Usage(
            pace, counts.get(one, 0), _gap(pace, last.get(one)), _day(session, one, pace, counts.get(one, 0))
        )
        for one, pace in paces.items()
    }


def _gap(pace: Pace, last: datetime | None) -> datetime | None:
    # By the account's own row: a task may be gone, or its mark cleared, and the platform saw the call all the same.
    return last + timedelta(seconds=pace.gap_seconds) if last and pace.gap_seconds else None


def _day(session: Session, account_id: str, pace: Pace, count: int) -> datetime | None:
    if not pace.daily_limit or count < pace.daily_limit:
        return None
    # When the oldest of its newest ones is a day old, there is room for another.
    query = (
        select(PublishTask.submitted_at)
        .where(PublishTask.account_id == account_id, PublishTask.submitted_at.is_not(None))
        .order_by(PublishTask.submitted_at.desc())
        .offset(pace.daily_limit - 1)
        .limit(1)
    )
    oldest = session.scalar(query)
    return oldest + timedelta(seconds=DAY_SECONDS) if oldest else None
