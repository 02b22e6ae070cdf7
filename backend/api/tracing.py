"""A request's id in and out and on every log line, one line per request, and the security headers."""

from __future__ import annotations

import logging
import re
import time
from contextvars import ContextVar
from urllib.parse import quote

from flask import Flask, Response, g, request

from backend import metrics
from backend.domain.identifiers import new_id

log = logging.getLogger(__name__)

HEADER = "X-Request-ID"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
USABLE_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_current: ContextVar[str] = ContextVar("request_id", default="")


class RequestIdFilter(logging.Filter):
    """Puts the id of the request that is being answered in front of its log lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never refuses a line."""
        request_id = _current.get()
        # A record passes each handler's filter: it must be marked only once.
        if request_id and getattr(record, "request_id", "") != request_id:
            record.request_id = request_id
            record.msg = f"[{request_id}] {record.msg}"
        return True


def asked_path() -> str:
    """The path of the request as a log may show it: encoded again, so that it can't end the line and write one of its own."""
    return quote(request.path, safe="/:@~+=,;!$'()*")


def trace(app: Flask) -> None:
    """Number, time and log every request, and harden every answer."""
    app.before_request(_start)
    app.after_request(_finish)
    app.teardown_request(_forget)


def log_request_ids() -> None:
    """Let the process's log handlers show request ids."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(RequestIdFilter())


def _start() -> None:
    given = request.headers.get(HEADER, "")
    g.request_id = given if USABLE_ID.match(given) else new_id()
    g.started = time.monotonic()
    _current.set(g.request_id)


def _finish(answer: Response) -> Response:
    answer.headers[HEADER] = g.request_id
    for name, value in SECURITY_HEADERS.items():
        answer.headers.setdefault(name, value)
    if request.path.startswith("/api/"):
        # Tokens, receivers and cookies pass here.
        answer.headers["Cache-Control"] = "no-store"
    seconds = time.monotonic() - g.started
    _count(answer, seconds)
    asker = g.get("node") or g.get("user")
    name = asker.name if asker else "-"
    log.info("%s %s %d %.0f ms %s", request.method, asked_path(), answer.status_code, seconds * 1000, name)
    return answer


def _count(answer: Response, seconds: float) -> None:
    # The rule and not the path: labels must be few. Both prefixes of the children's routes are one.
    route = request.url_rule.rule.replace("/wx/cascade/", "/cascade/") if request.url_rule else "none"
    method = request.method if request.method in METHODS else "other"
    metrics.count(metrics.REQUESTS, method=method, route=route, status=str(answer.status_code))
    metrics.observe(metrics.REQUEST_DURATION, seconds, route=route)


def _forget(_error: BaseException | None) -> None:
    _current.set("")
