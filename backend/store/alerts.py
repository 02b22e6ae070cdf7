"""Alerts: opened once for a rule and its subject, closed when it is over, read by people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from backend.domain.identifiers import new_id
from backend.domain.messages import render
from backend.store.columns import now
from backend.store.inserting import insert_missing
from backend.store.tables import Alert


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert as people see it; `rule` is the code of its sentence."""

    id: str
    rule: str
    subject: str
    params: dict[str, object]
    opened_at: datetime
    closed_at: datetime | None

    def sentence(self, language: str) -> str:
        """What happened and what to do, in `en` or `zh`."""
        return render(self.rule, language, self.params)


def open_alert(session: Session, rule: str, subject: str, **params: object) -> None:
    """Open the alert unless it is open already. `rule` is the code of a sentence, `params` fill its placeholders."""
    row = {
        "id": new_id(),
        "rule": rule,
        "subject": subject,
        "open_key": _key(rule, subject),
        "params": params,
    }
    insert_missing(session, Alert, [row])


def close_alerts(session: Session, subject: str, *rules: str) -> None:
    """It is over: close what is open of these rules about the subject."""
    session.execute(
        update(Alert)
        .where(Alert.open_key.in_([_key(rule, subject) for rule in rules]))
        .values(open_key=None, closed_at=now()),
        execution_options={"synchronize_session": False},
    )


def list_alerts(
    session: Session, *, only_open: bool = False, limit: int = 50, offset: int = 0
) -> tuple[list[AlertView], int]:
    """The newest alerts, and how many there are."""
    filters = [Alert.closed_at.is_(None)] if only_open else []
    total = session.scalar(select(func.count()).select_from(Alert).where(*filters)) or 0
    query = select(Alert).where(*filters).order_by(Alert.id.desc()).limit(limit).offset(offset)
    return [
        AlertView(row.id, row.rule, row.subject, row.params, row.opened_at, row.closed_at)
        for row in session.scalars(query)
    ], total


def _key(rule: str, subject: str) -> str:
    return f"{rule}:{subject}"
