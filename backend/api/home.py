"""The start page: what runs, the next command, links. It works when Redis or the database are away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, Response, make_response, render_template, request, send_file
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from backend.api.access import Access, declare
from backend.api.context import language, parts
from backend.api.home_texts import texts
from backend.dispatch.health import Check, readiness
from backend.domain.errors import Unavailable
from backend.domain.messages import LANGUAGES
from backend.store.articles import count_articles
from backend.store.feeds import count_feeds
from backend.store.message_tasks import count_tasks
from backend.store.node_views import NodeView
from backend.store.nodes import list_nodes
from backend.store.runs import RunProgress, list_runs
from backend.store.session import transact

home = Blueprint("home", __name__)

STYLE = Path(__file__).with_name("assets") / "home.css"
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
SHOWN_RUNS = 5
# Somebody looks at the page while the database is away: better a quick answer than a patient one.
ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Overview:
    """What the database knows."""

    feeds: int
    tasks: int
    articles: int
    nodes: list[NodeView]
    runs: list[RunProgress]

    @property
    def online(self) -> int:
        """How many nodes are online."""
        return sum(node.status for node in self.nodes)


@home.get("/")
@declare(Access.OPEN)
def page() -> Response:
    """The start page, in English or Chinese by `?lang=` or `Accept-Language`."""
    chosen = request.args.get("lang", "")
    shown = chosen if chosen in LANGUAGES else language()
    overview = _overview()
    checks = _checks() if overview else []
    content = render_template(
        "home.html",
        language=shown,
        other="en" if shown == "zh" else "zh",
        t=texts(shown),
        overview=overview,
        checks=checks,
        ready=bool(checks) and all(check.ok for check in checks),
        step=_next_step(overview, checks),
    )
    answer = make_response(content)
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Content-Language"] = shown
    answer.vary.add("Accept-Language")
    return answer


@home.get("/home.css")
@declare(Access.OPEN)
def style() -> Response:
    """The page's one style sheet."""
    return send_file(STYLE, mimetype="text/css", max_age=300)


def _checks() -> list[Check]:
    return readiness(parts().engine, parts().redis, verbose=False, flow_seconds=parts().flow_seconds).checks


def _overview() -> Overview | None:
    engine = parts().engine.execution_options(reading=True)
    try:
        return transact(engine, _look, attempts=ATTEMPTS)
    except (Unavailable, SQLAlchemyError):
        return None


def _look(session: Session) -> Overview:
    return Overview(
        feeds=count_feeds(session),
        tasks=count_tasks(session),
        articles=count_articles(session),
        nodes=list_nodes(session),
        runs=list_runs(session, SHOWN_RUNS),
    )


def _next_step(overview: Overview | None, checks: list[Check]) -> tuple[str, str]:
    if overview is None or not all(check.ok for check in checks):
        return "next_check", "./cascade check"
    if not overview.feeds:
        return "next_feed", "./cascade feed add https://example.com/feed.xml"
    if not overview.tasks:
        return "next_task", "./cascade task add --name news --feeds all"
    if not overview.runs:
        return "next_dispatch", "./cascade dispatch --wait"
    return "next_status", "./cascade status"
