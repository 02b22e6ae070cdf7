"""Alerts: opened once for a rule and its subject, seen again while it holds, closed when it is over, read by people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, func, select, update
from sqlalchemy.orm import Session

from backend.domain.alarms import WARNING, Finding, Verdict
from backend.domain.errors import Conflict, NotFound
from backend.domain.identifiers import new_id
from backend.domain.messages import render
from backend.store.columns import now
from backend.store.inserting import chunked, insert_missing
from backend.store.tables import Alert, AlertNotice, core

OVER = "alert_closed_true"


@dataclass(frozen=True, slots=True)
class NoticeView:
    """A message about an alert to one receiver: `opened`, `reminder` or `closed`; `error_code` is its last failure's."""

    kind: str
    receiver: str
    attempts: int
    sent_at: datetime | None
    next_attempt_at: datetime | None
    error_code: str
    error_message: str


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert as people see it; `rule` is the code of its sentence. `failed_notices` could not be sent so far."""

    id: str
    rule: str
    subject: str
    params: dict[str, object]
    opened_at: datetime
    closed_at: datetime | None
    severity: str = WARNING
    seen_at: datetime | None = None
    seen_count: int = 1
    close_reason: str = ""
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    note: str = ""
    failed_notices: int = 0

    def sentence(self, language: str) -> str:
        """What happened and what to do, in `en` or `zh`."""
        return render(self.rule, language, self.params)


def open_alert(
    session: Session, rule: str, subject: str, *, severity: str = WARNING, **params: object
) -> None:
    """Open the alert unless it is open already. `rule` is the code of a sentence, `params` fill its placeholders."""
    _open(session, [Finding(rule, subject, severity, params)])


def _open(session: Session, findings: Sequence[Finding]) -> None:
    rows = [
        {
            "id": new_id(),
            "rule": one.rule,
            "subject": one.subject,
            "severity": one.severity,
            "open_key": _key(one.rule, one.subject),
            "params": dict(one.params),
        }
        for one in findings
    ]
    for part in chunked(rows):
        insert_missing(session, Alert, part)


def close_alerts(session: Session, subject: str, *rules: str, reason: str = OVER) -> None:
    """It is over: close what is open of these rules about the subject. `reason` is the code of a sentence."""
    _close(session, Alert.open_key.in_([_key(rule, subject) for rule in rules]), reason)


def _close(session: Session, which: ColumnElement[bool], reason: str) -> None:
    session.execute(
        update(Alert).where(which).values(open_key=None, closed_at=now(), close_reason=reason),
        execution_options={"synchronize_session": False},
    )


def apply_verdict(session: Session, verdict: Verdict, clear_seconds: float) -> tuple[list[Finding], int]:
    """Open what is new, note what still holds, close what has not held for so long; what is new, how many were closed.

    Alerts of rules that could not be judged stay as they are.
    """
    wanted = {_key(one.rule, one.subject): one for one in verdict.findings}
    query = select(Alert.id, Alert.open_key, Alert.rule).where(Alert.closed_at.is_(None))
    standing = {row.open_key: row for row in session.execute(query)}
    _see(session, {standing[key].id: one for key, one in wanted.items() if key in standing})
    fresh = [one for key, one in wanted.items() if key not in standing]
    _open(session, fresh)
    over = [row.id for key, row in standing.items() if key not in wanted and row.rule in verdict.judged]
    return fresh, _close_unseen(session, over, clear_seconds)


def _see(session: Session, seen: dict[str, Finding]) -> None:
    if not seen:
        return
    table = core(Alert)
    statement = (
        update(table)
        .where(table.c.id == bindparam("one"), table.c.closed_at.is_(None))
        .values(
            seen_at=now(),
            seen_count=table.c.seen_count + 1,
            params=bindparam("said"),
            severity=bindparam("weight"),
        )
    )
    rows = [{"one": one, "said": dict(found.params), "weight": found.severity} for one, found in seen.items()]
    session.execute(statement, rows)


def _close_unseen(session: Session, ids: Sequence[str], clear_seconds: float) -> int:
    unseen = func.coalesce(Alert.seen_at, Alert.opened_at) <= now(-clear_seconds)
    closed = 0
    for part in chunked(ids):
        gone = session.scalars(select(Alert.id).where(Alert.id.in_(part), unseen)).all()
        _close(session, Alert.id.in_(gone) & Alert.closed_at.is_(None), OVER)
        closed += len(gone)
    return closed


def acknowledge(session: Session, alert_id: str, actor: str, note: str) -> AlertView:
    """Somebody looks after it: no reminders from now on. A repeat replaces the note. Raises `NotFound` and `Conflict`."""
    row = session.get(Alert, alert_id, with_for_update=True)
    if row is None:
        raise NotFound(noun="alert", id=alert_id)
    if row.closed_at is not None:
        raise Conflict("alert_closed_already", id=alert_id)
    row.acknowledged_at, row.acknowledged_by, row.note = now(), actor[:100], note[:500]
    session.flush()
    session.refresh(row)
    return _views(session, [row])[0]


def list_alerts(
    session: Session,
    *,
    only_open: bool = False,
    state: str | None = None,
    rule: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> tuple[list[AlertView], int]:
    """The newest alerts, and how many there are. `state`: open, acknowledged (and open), closed."""
    filters = _filters("open" if only_open else state)
    if rule is not None:
        filters.append(Alert.rule == rule)
    total = session.scalar(select(func.count()).select_from(Alert).where(*filters)) or 0
    query = select(Alert).where(*filters).order_by(Alert.id.desc()).limit(limit).offset(offset)
    return _views(session, session.scalars(query).all()), total


def _filters(state: str | None) -> list[ColumnElement[bool]]:
    match state:
        case "open":
            return [Alert.closed_at.is_(None)]
        case "acknowledged":
            return [Alert.closed_at.is_(None), Alert.acknowledged_at.is_not(None)]
        case "closed":
            return [Alert.closed_at.is_not(None)]
        case _:
            return []


def get_alert(session: Session, alert_id: str) -> tuple[AlertView, list[NoticeView]]:
    """One alert and its messages, the oldest first. Raises `NotFound`."""
    row = session.get(Alert, alert_id)
    if row is None:
        raise NotFound(noun="alert", id=alert_id)
    query = select(AlertNotice).where(AlertNotice.alert_id == alert_id).order_by(AlertNotice.id)
    notices = [
        NoticeView(
            kind=one.kind,
            receiver=one.receiver,
            attempts=one.attempts,
            sent_at=one.sent_at,
            next_attempt_at=one.not_before,
            error_code=one.error_code,
            error_message=one.error_message,
        )
        for one in session.scalars(query)
    ]
    return _views(session, [row])[0], notices


def _views(session: Session, rows: Sequence[Alert]) -> list[AlertView]:
    failed = _failed_notices(session, [row.id for row in rows])
    return [
        AlertView(
            id=row.id,
            rule=row.rule,
            subject=row.subject,
            params=row.params,
            opened_at=row.opened_at,
            closed_at=row.closed_at,
            severity=row.severity,
            seen_at=row.seen_at,
            seen_count=row.seen_count,
            close_reason=row.close_reason,
            acknowledged_at=row.acknowledged_at,
            acknowledged_by=row.acknowledged_by,
            note=row.note,
            failed_notices=failed.get(row.id, 0),
        )
        for row in rows
    ]


def _failed_notices(session: Session, ids: Sequence[str]) -> dict[str, int]:
    query = (
        select(AlertNotice.alert_id, func.count())
        .where(AlertNotice.alert_id.in_(ids), AlertNotice.sent_at.is_(None), AlertNotice.error_code != "")
        .group_by(AlertNotice.alert_id)
    )
    return {row[0]: row[1] for row in session.execute(query)} if ids else {}


def _key(rule: str, subject: str) -> str:
    return f"{rule}:{subject}"
