"""rq-dashboard at `/rq`: its views behind our login and our pages, on what `queue_views` shows of Redis.

Of rq-dashboard come the views; its own pages need `unsafe-eval`, print what jobs say as HTML and change things by
GET, so the pages and their one script are ours, and only the routes of the table below exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    g,
    jsonify,
    render_template,
    request,
    send_file,
)
from redis import Redis
from rq_dashboard import web

from backend.api import queue_views
from backend.api.access import Access, declare
from backend.api.browser_logins import TOKEN_HEADER, change_token
from backend.api.context import language
from backend.api.dashboard_texts import texts
from backend.domain.errors import ConfigurationError, NotFound

dashboard = Blueprint("rq_dashboard", __name__, url_prefix="/rq")

ASSETS = Path(__file__).with_name("assets")
FILES = {"rq.js": ASSETS / "rq.js", "rq.css": ASSETS / "rq.css"}
# No text of a job can become a script, even through a mistake in ours: nothing inline, no evaluation, no HTML from strings.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
# Where rq-dashboard's views look for the client.
CLIENT = "redis_conn"
POLL_SECONDS = 10
PER_PAGE = 25
MOST_PER_PAGE = 200
MOST_PAGES = 1_000_000
JOBS = "/<queue_name>/<registry_name>/<per_page>/<order>/<page>"
# rq-dashboard's own paths; its instance number is always 0, because there is one Redis.
PAGES = {
    "queues_overview": ("/", "/0/view/queues"),
    "workers_overview": ("/0/view/workers",),
    "jobs_overview": (f"/0/view/jobs{JOBS}",),
    "job_view": ("/0/view/job/<job_id>",),
    "list_jobs": (f"/0/data/jobs{JOBS}.json",),
    "list_queues": ("/0/data/queues.json",),
    "list_workers": ("/0/data/workers.json",),
    "job_info": ("/0/data/job/<job_id>.json",),
}
CHANGES = {
    "delete_job_view": "/job/<job_id>/delete",
    "requeue_job_view": "/job/<job_id>/requeue",
    "requeue_all": "/requeue/<queue_name>",
    "empty_queue": "/queue/<queue_name>/<registry_name>/empty",
    "compact_queue": "/queue/<queue_name>/compact",
}


def mount(app: Flask, redis: Redis | None) -> None:
    """Serve the dashboard on this client, which all requests of the process share."""
    # The names under which its views find what they show.
    web.config.serializer = queue_views.Serializer
    web.Job = queue_views.ShownJob
    web.Queue = queue_views.ShownQueue
    web.Worker = queue_views.ShownWorker
    web.requeue_job = queue_views.requeue_job
    web.get_queue_registry_jobs_count = _jobs_of
    vars(app)[CLIENT] = redis
    app.register_blueprint(dashboard)


def _redis() -> Redis:
    redis: Redis | None = getattr(current_app, CLIENT)
    if redis is None:
        raise ConfigurationError("no_redis")
    return redis


def _jobs_of(
    queue_name: str, registry_name: str, offset: int, per_page: int, order: str, connection: Redis
) -> tuple[int, list[Any]]:
    total, jobs = queue_views.jobs_of(
        connection, queue_name, registry_name, offset, per_page, newest_first=order == "dsc"
    )
    return total, [web.serialize_job(job) for job in jobs]


def list_queues(instance_number: int) -> Response:  # noqa: ARG001 - one of its views
    """Every queue; rq-dashboard's own view asks Redis seven times for each."""
    return jsonify(queues=queue_views.queue_lengths(_redis()))


def requeue_all(queue_name: str) -> Response:
    """Put the failed jobs of a queue back into it; rq-dashboard's own view ends at the first one that is gone."""
    return jsonify(status="OK", count=queue_views.requeue_failed(_redis(), queue_name))


OURS: dict[str, Callable[..., Any]] = {"list_queues": list_queues, "requeue_all": requeue_all}


def _view(name: str, access: Access) -> Callable[..., Any]:
    view: Callable[..., Any] = OURS.get(name) or getattr(web, name)

    @declare(access, page=True)
    @wraps(view)
    def answer(**path: str) -> Any:
        redis = _redis()
        values = _checked(path, redis)
        if name in PAGES:
            values["instance_number"] = 0
        return queue_views.answered(view, values)

    return answer


def _checked(path: Mapping[str, str], redis: Redis) -> dict[str, Any]:
    """What the path names. Raises `NotFound` for what does not exist."""
    values: dict[str, Any] = dict(path)
    if "queue_name" in values and values["queue_name"] not in queue_views.queue_names(redis):
        raise NotFound(noun="queue", id=values["queue_name"])
    if "job_id" in values and not queue_views.has_job(redis, values["job_id"]):
        raise NotFound(noun="job", id=values["job_id"])
    if values.get("registry_name", "queued") not in queue_views.REGISTRIES:
        raise NotFound(noun="registry", id=values["registry_name"])
    if values.get("order", "asc") not in {"asc", "dsc"}:
        raise NotFound(noun="order", id=values["order"])
    for name, most in (("per_page", MOST_PER_PAGE), ("page", MOST_PAGES)):
        if name in values:
            values[name] = _number(name, values[name], most)
    return values


def _number(name: str, text: str, most: int) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= most:
        raise NotFound(noun=name.replace("_", " "), id=text)
    return number


def _publish(name: str, rules: tuple[str, ...], access: Access, method: str) -> None:
    view = _view(name, access)
    for rule in rules:
        dashboard.add_url_rule(rule, name, view, methods=[method])


for _name, _rules in PAGES.items():
    _publish(_name, _rules, Access.VIEWER, "GET")
for _name, _rule in CHANGES.items():
    _publish(_name, (_rule,), Access.ADMIN, "POST")


@dashboard.get("/assets/<name>")
@declare(Access.VIEWER, page=True)
def asset(name: str) -> Response:
    """The script or the style sheet of the pages."""
    if name not in FILES:
        abort(404)
    return send_file(FILES[name])


@dashboard.context_processor
def _surroundings() -> dict[str, Any]:
    person = g.get("user")
    return {
        "t": texts(language()),
        "language": language(),
        "person": person,
        "may_change": person is not None and person.role == "admin",
        "token": change_token() if person else "",
        "token_header": TOKEN_HEADER,
        "poll_seconds": POLL_SECONDS,
        "shown_per_page": PER_PAGE,
        "registries": queue_views.REGISTRIES,
    }


@dashboard.after_request
def _harden(answer: Response) -> Response:
    if answer.status_code >= 400 and answer.is_json and "text/html" in request.headers.get("Accept", ""):
        sentence = answer.get_json()["message"]
        answer.set_data(render_template("rq_dashboard/refused.html", sentence=sentence))
        answer.mimetype = "text/html"
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["Cache-Control"] = "no-store"
    answer.vary.add("Cookie")
    return answer
