"""Alerts: what a person should look at."""

from __future__ import annotations

from backend.api.access import Access, declare
from backend.api.context import language, parts
from backend.api.routes import Routes
from backend.api.schemas.alerts import AlertAnswer, AlertQuery
from backend.api.schemas.common import Page
from backend.store.alerts import AlertView
from backend.store.alerts import list_alerts as find
from backend.store.session import read

alerts = Routes("alerts", "/api/v1/alerts", text="What a person should look at.")


@alerts.get("")
@declare(Access.VIEWER)
def list_alerts(query: AlertQuery) -> Page[AlertAnswer]:
    """The newest alerts."""
    found, total = read(
        parts().engine,
        lambda session: find(
            session, only_open=query.state == "open", limit=query.limit, offset=query.offset
        ),
    )
    return Page(list=[_answer(view) for view in found], total=total)


def _answer(view: AlertView) -> AlertAnswer:
    return AlertAnswer(
        id=view.id,
        rule=view.rule,
        subject=view.subject,
        message=view.sentence(language()),
        opened_at=view.opened_at,
        closed_at=view.closed_at,
    )
