"""Messages about alerts: made once for each receiver and occasion, claimed by one sender at a time, tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import CursorResult, and_, or_, select, update
from sqlalchemy.orm import Session

from backend.domain.identifiers import new_id
from backend.domain.messages import render
from backend.store.columns import now
from backend.store.inserting import insert_missing
from backend.store.tables import Alert, AlertNotice

OPENED, REMINDER, CLOSED = "opened", "reminder", "closed"
# Longer than any sending may take: who claimed and has not reported by then has died.
CLAIM_SECONDS = 120.0
PLANNED = 200
# What was closed longer ago, while nobody could tell it, is no news.
NEWS_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to send: the alert's rule and parameters, and which attempt this is."""

    id: str
    kind: str
    receiver: str
    attempt: int
    rule: str
    severity: str
    params: dict[str, object]
    close_reason: str


def plan(session: Session, receivers: Sequence[str], repeat_seconds: float) -> int:
    """Make the messages that are due: of what opened, of what is still open and unacknowledged, of what closed; how many.

    Each alert's turn is a compare-and-set, so that any number of processes plan each message once.
    """
    return sum(
        _plan_one(session, alert, receivers)
        for alert in session.scalars(select(Alert).where(_due(repeat_seconds)).limit(PLANNED)).all()
        if receivers
    )


def _due(repeat_seconds: float) -> Any:
    is_open = Alert.closed_at.is_(None)
    repeat = (
        and_(is_open, Alert.acknowledged_at.is_(None), Alert.told_at < now(-repeat_seconds))
        if repeat_seconds
        else None
    )
    closed = and_(Alert.closed_at > now(-NEWS_SECONDS), Alert.told_at.is_not(None), ~Alert.told_closed)
    opened = and_(is_open, Alert.told_at.is_(None))
    return or_(opened, closed) if repeat is None else or_(opened, repeat, closed)


def _plan_one(session: Session, alert: Alert, receivers: Sequence[str]) -> int:
    over = alert.closed_at is not None
    turn = (
        update(Alert)
        .where(
            Alert.id == alert.id,
            Alert.told_count == alert.told_count,
            Alert.closed_at.is_not(None) if over else Alert.closed_at.is_(None),
        )
        .values(told_at=now(), told_count=Alert.told_count + 1, told_closed=over)
    )
    if not _count(session, turn):
        return 0
    if over:
        receivers = _end_untold(session, alert.id, receivers)
    kind = CLOSED if over else REMINDER if alert.told_count else OPENED
    insert_missing(
        session,
        AlertNotice,
        [
            {
                "id": new_id(),
                "alert_id": alert.id,
                "kind": kind,
                "round": alert.told_count + 1,
                "receiver": receiver,
                "not_before": alert.closed_at or alert.opened_at,
            }
            for receiver in receivers
        ],
    )
    return len(receivers)


def _end_untold(session: Session, alert_id: str, receivers: Sequence[str]) -> list[str]:
    """Send no more of what waits; who may have heard of it: the others need not hear of its end either."""
    session.execute(
        update(AlertNotice)
        .where(AlertNotice.alert_id == alert_id, AlertNotice.not_before.is_not(None))
        .values(not_before=None, error_code="alert_over_before"),
        execution_options={"synchronize_session": False},
    )
    tried = select(AlertNotice.receiver).where(AlertNotice.alert_id == alert_id, AlertNotice.attempts > 0)
    return sorted(set(session.scalars(tried)) & set(receivers))


def due(session: Session, receivers: Sequence[str], limit: int = 100) -> list[Notice]:
    """Messages to these receivers that may be tried now, the oldest first."""
    query = (
        select(AlertNotice, Alert)
        .join(Alert, Alert.id == AlertNotice.alert_id)
        .where(AlertNotice.not_before <= now(), AlertNotice.receiver.in_(receivers))
        .order_by(AlertNotice.not_before)
        .limit(limit)
    )
    return [
        Notice(
            id=notice.id,
            kind=notice.kind,
            receiver=notice.receiver,
            attempt=notice.attempts + 1,
            rule=alert.rule,
            severity=alert.severity,
            params=alert.params,
            close_reason=alert.close_reason,
        )
        for notice, alert in session.execute(query)
    ]


def claim(session: Session, notices: Sequence[Notice]) -> list[Notice]:
    """Those of the messages that nobody else has taken: they are the caller's for two minutes."""
    return [one for one in notices if _claim(session, one)]


def _claim(session: Session, notice: Notice) -> bool:
    taken = (
        update(AlertNotice)
        .where(
            AlertNotice.id == notice.id,
            AlertNotice.attempts == notice.attempt - 1,
            AlertNotice.not_before <= now(),
        )
        .values(attempts=notice.attempt, not_before=now(CLAIM_SECONDS))
    )
    return bool(_count(session, taken))


def note_sent(session: Session, notices: Sequence[Notice]) -> None:
    """The receiver has them, also those whose alert ended meanwhile."""
    for one in notices:
        values = {"sent_at": now(), "not_before": None, "error_code": "", "error_message": ""}
        _count(session, update(AlertNotice).where(*_attempt(one)).values(**values))


def note_failed(session: Session, notice: Notice, code: str, message: str, wait: float | None) -> None:
    """It failed; it is tried again after so many seconds, or (`None`) never."""
    later = None if wait is None else now(wait)
    still_wanted = AlertNotice.not_before.is_not(None)
    _count(
        session,
        update(AlertNotice)
        .where(*_attempt(notice), still_wanted)
        .values(not_before=later, error_code=code[:64], error_message=message[:500]),
    )


def _attempt(notice: Notice) -> tuple[Any, Any]:
    return AlertNotice.id == notice.id, AlertNotice.attempts == notice.attempt


def give_up_foreign(session: Session, receivers: Sequence[str]) -> int:
    """End messages to receivers that are in nobody's settings any more, once they are a day late; how many."""
    late = (
        update(AlertNotice)
        .where(AlertNotice.not_before <= now(-NEWS_SECONDS), AlertNotice.receiver.not_in(receivers))
        .values(
            not_before=None,
            error_code="alert_receiver_gone",
            error_message=render("alert_receiver_gone", "en", {}),
        )
    )
    return _count(session, late)


def _count(session: Session, statement: Any) -> int:
    done = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", done).rowcount
