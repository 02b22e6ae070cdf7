"""Pages of other origins: none may read answers unless the settings name them. Cookies never count, logins are headers."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask, Response, request

ANY = "*"
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
HEADERS = (
    "Accept-Language, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-ID"
)
EXPOSED = "Content-Disposition, ETag, Idempotency-Replayed, Retry-After, X-Request-ID"
PREFLIGHT_SECONDS = 600


def allow_origins(app: Flask, origins: Sequence[str]) -> None:
    """Let pages of these origins use the API; `*` is every origin, and none is the default."""
    if not origins:
        return
    allowed = frozenset(origins)
    app.before_request(lambda: _preflight(allowed))
    app.after_request(lambda answer: _mark(allowed, answer))


def _preflight(allowed: frozenset[str]) -> Response | None:
    asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    if not asks or not _origin(allowed):
        return None
    answer = Response(status=204)
    del answer.headers["Content-Type"]
    answer.headers["Access-Control-Allow-Methods"] = METHODS
    answer.headers["Access-Control-Allow-Headers"] = HEADERS
    answer.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return answer


def _mark(allowed: frozenset[str], answer: Response) -> Response:
    # Also without an origin: a cache must not hand one origin's answer to another.
    if ANY not in allowed:
        answer.vary.add("Origin")
    if origin := _origin(allowed):
        answer.headers["Access-Control-Allow-Origin"] = origin
        answer.headers["Access-Control-Expose-Headers"] = EXPOSED
    return answer


def _origin(allowed: frozenset[str]) -> str:
    origin = request.headers.get("Origin", "")
    if not origin:
        return ""
    if ANY in allowed:
        return ANY
    return origin if origin in allowed else ""
