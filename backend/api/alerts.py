"""Alerts: what a person should look at."""

from __future__ import annotations

from backend.api.access import Access, declare
from backend.api.context import asker, language, parts
from backend.api.routes import Routes
from backend.api.schemas.alerts import (
    AcknowledgeRequest,
    AlertAnswer,
    AlertDetailAnswer,
    AlertPath,
    AlertQuery,
    NoticeAnswer,
)
from backend.api.schemas.common import Page
from backend.domain.messages import render
from backend.store import alerts as store
from backend.store.alerts import AlertView
from backend.store.session import read, transact

alerts = Routes("alerts", "/api/v1/alerts", text="What a person should look at.")


@alerts.get("")
@declare(Access.VIEWER)
def list_alerts(query: AlertQuery) -> Page[AlertAnswer]:
    """The newest alerts: those that are open, unless others are asked for."""
    found, total = read(
        parts().engine,
        lambda session: store.list_alerts(
            session, state=query.state, rule=query.rule, limit=query.limit, offset=query.offset
        ),
    )
    return Page(list=[_answer(view) for view in found], total=total)


@alerts.get("/<id:alert_id>")
@declare(Access.VIEWER)
def get_alert(path: AlertPath) -> AlertDetailAnswer:
    """One alert, and who was told of it."""
    view, notices = read(parts().engine, lambda session: store.get_alert(session, path.alert_id))
    told = [NoticeAnswer.model_validate(one) for one in notices]
    return AlertDetailAnswer(**_answer(view).model_dump(), notices=told)


@alerts.post("/<id:alert_id>/acknowledge")
@declare(Access.OPERATOR, errors=(409,))
def acknowledge_alert(path: AlertPath, body: AcknowledgeRequest) -> AlertAnswer:
    """Say that somebody looks after it: it is not sent again. A repeat replaces the note."""
    who = asker().name
    return _answer(
        transact(
            parts().engine, lambda session: store.acknowledge(session, path.alert_id, who, body.note or "")
        )
    )


def _answer(view: AlertView) -> AlertAnswer:
    return AlertAnswer(
        id=view.id,
        rule=view.rule,
        subject=view.subject,
        severity=view.severity,
        message=view.sentence(language()),
        params=view.params,
        opened_at=view.opened_at,
        seen_at=view.seen_at or view.opened_at,
        seen_count=view.seen_count,
        closed_at=view.closed_at,
        close_reason=render(view.close_reason, language(), {}) if view.close_reason else "",
        acknowledged_at=view.acknowledged_at,
        acknowledged_by=view.acknowledged_by,
        note=view.note,
        failed_notices=view.failed_notices,
    )
