"""A child's small HTTP server: whether it works, what it counted, and the calls of its parent. It has no database."""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, cast

from flask import Response, current_app, g, request
from redis import Redis
from redis.exceptions import RedisError

from backend import metrics
from backend.api.access import Access, declaration_of, declare
from backend.api.answers import Reply, failure
from backend.api.auth import node_pair
from backend.api.context import NAME, MetricsPart, language
from backend.api.contract import Contract
from backend.api.errors import RETRY_AFTER_SECONDS, answer_errors
from backend.api.metrics import check_token
from backend.api.routes import Routes
from backend.api.schemas.common import Answer
from backend.api.schemas.health import CheckAnswer, LivenessAnswer, ReadinessAnswer
from backend.api.tracing import trace
from backend.dispatch import queues
from backend.dispatch.broker import fault_of, note_fault
from backend.domain.condition import Condition
from backend.domain.errors import Unauthenticated
from backend.domain.messages import render
from backend.domain.signing import SIGNATURE_HEADER, WINDOW_SECONDS, verify

PREFIXES = {"": "/api/v1/cascade", "wx_": "/api/v1/wx/cascade"}
BODY_BYTES = 64 * 1024

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ChildMode:
    """What the server of a child works with. `pair` are its key and secret now, `condition` is what its presence wrote last.

    `seen`: signatures of the last minutes, each with its time; a repeat is refused.
    """

    pair: Callable[[], tuple[str, str]]
    condition: Callable[[], Condition | None]
    redis: Redis | None
    metrics: MetricsPart
    clock: Callable[[], float] = time.time
    seen: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def before_fork(self) -> None:
        """Connections must not be shared by two processes."""
        if self.redis is not None:
            self.redis.close()

    def after_fork(self, _is_stopping: Callable[[], bool]) -> None:
        """Nothing: no request here waits for anything."""

    def admit_signed(self) -> None:
        """Raises `Unauthenticated` unless the parent signed this request, and only once."""
        now = self.clock()
        with self.lock:
            self.seen = {one: at for one, at in self.seen.items() if now - at <= 2 * WINDOW_SECONDS}
            signature = verify(
                {name.lower(): value for name, value in request.headers.items()},
                request.get_data(),
                secret_hash=hashlib.sha256(self.pair()[1].encode()).hexdigest(),
                now=now,
                seen=self.seen.keys(),
            )
            self.seen[signature] = now

    def admit_pair(self) -> None:
        """Raises `Unauthenticated` unless the request brings this node's own key and secret."""
        given = node_pair(request.headers.get("Authorization", ""))
        if given is None:
            raise Unauthenticated("bad_signature")
        own = self.pair()
        fits = [
            hmac.compare_digest(one.encode(), other.encode()) for one, other in zip(given, own, strict=True)
        ]
        if not all(fits):
            raise Unauthenticated("dead_key")


def create_child_app(mode: ChildMode) -> Contract:
    """The application; nothing connects here."""
    app = Contract("backend.api.child")
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False
    app.extensions[NAME] = mode
    trace(app)
    app.before_request(_check)
    answer_errors(app)
    app.register_api(health)
    for begin, prefix in PREFIXES.items():
        app.register_api(calls, name=begin + calls.name, url_prefix=prefix)
    return app


def _mode() -> ChildMode:
    return cast("ChildMode", current_app.extensions[NAME])


def _check() -> None:
    if request.endpoint is None:
        return
    if declaration_of(current_app.view_functions[request.endpoint]).access is Access.OPEN:
        return
    if SIGNATURE_HEADER in request.headers:
        _mode().admit_signed()
    else:
        _mode().admit_pair()
    g.is_parent = True


class AliveAnswer(Answer):
    """This node lives."""

    status: Literal["alive"] = "alive"
    node_id: str


health = Routes("health", text="Whether this child lives and can work.", strict_query=False)
calls = Routes("calls", text="What the parent calls.", any_content_type=True, strict_query=False)


@health.get("/livez")
@declare(Access.OPEN)
def livez() -> LivenessAnswer:
    """This process answers; nothing else is asked."""
    return LivenessAnswer()


@health.get("/readyz")
@declare(Access.OPEN)
def readyz() -> ReadinessAnswer | Response:
    """200 when this child can work, else 503: its presence, its parent, its Redis, its workers."""
    return _readiness()


@health.get("/healthz")
@declare(Access.OPEN)
def healthz() -> ReadinessAnswer | Response:
    """The same as `/readyz`."""
    return _readiness()


@health.get("/metrics")
@declare(Access.OPEN, media=(metrics.CONTENT_TYPE,))
def show_metrics() -> Response:
    """What this child's processes counted, in Prometheus' text format."""
    part = _mode().metrics
    check_token(part.token)
    answer = Response(metrics.expose(part.directory, ()), content_type=metrics.CONTENT_TYPE)
    answer.headers["Cache-Control"] = "no-store"
    return answer


@calls.post("/heartbeat")
@declare(Access.NODE)
def heartbeat() -> AliveAnswer:
    """Say that this node lives; the parent's connection test asks."""
    return _alive()


@calls.post("/notify")
@declare(Access.NODE)
def notify() -> Reply[AliveAnswer]:
    """There is work: claim it now. A `ping` asks nothing but the answer."""
    content = request.get_json(force=True, silent=True)
    if not isinstance(content, dict) or content.get("type") != "ping":
        _note_work(_mode().redis)
    return Reply(_alive())


def _note_work(redis: Redis | None) -> None:
    try:
        if redis is not None:
            queues.note_work(redis)
    except RedisError as error:
        note_fault(log, error, "the work that the parent tells of is found by the next claim")


def _alive() -> AliveAnswer:
    found = _mode().condition()
    return AliveAnswer(node_id=found.node_id if found else "")


def _readiness() -> ReadinessAnswer | Response:
    checks = list(_look(_mode()))
    answer = ReadinessAnswer(ready=all(one.ok for one in checks), checks=checks, queues=[], scheduler=None)
    if answer.ready:
        return answer
    detail = "; ".join(f"{one.name}: {one.detail}" for one in checks if not one.ok)
    data = {"error": "not_ready", **answer.model_dump(mode="json")}
    refused = failure(503, render("child_not_ready", language(), {"detail": detail}), data)
    refused.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return refused


def _look(mode: ChildMode) -> Iterator[CheckAnswer]:
    found = mode.condition()
    if found is None or not found.is_fresh(mode.clock()):
        yield _verdict("node", "child_node_silent")
        return
    yield _verdict("node")
    if found.connected:
        yield _verdict("parent")
    else:
        detail = found.trouble or render(
            "child_parent_away", language(), {"seconds": f"{found.away_seconds:.0f}"}
        )
        yield CheckAnswer(name="parent", ok=False, detail=detail)
    yield _redis(mode.redis)
    yield _verdict("workers", "" if found.workers else "child_no_workers")


def _verdict(name: str, code: str = "") -> CheckAnswer:
    return CheckAnswer(name=name, ok=not code, detail=render(code, language(), {}) if code else "")


def _redis(redis: Redis | None) -> CheckAnswer:
    if redis is None:
        return CheckAnswer(name="redis", ok=False, detail=render("no_redis", language(), {}))
    try:
        queues.probe(redis)
    except RedisError as error:
        return CheckAnswer(name="redis", ok=False, detail=fault_of(error).sentence(language()))
    return CheckAnswer(name="redis", ok=True, detail="")
