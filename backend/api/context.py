"""What every route works with, built once per process by the application factory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

from flask import current_app, g, has_request_context, request
from redis import Redis
from sqlalchemy import Engine

from backend.api import door
from backend.api.child_parts import ChildParts
from backend.api.login_guard import LoginGuard
from backend.api.tokens import Tokens
from backend.dispatch.pump import Limits
from backend.domain.clients import Network, came_by_https, client_address
from backend.domain.errors import Forbidden, Unauthenticated
from backend.domain.freshness import Freshness
from backend.domain.ports import HttpClient, Publisher
from backend.store.cipher import Cipher
from backend.store.credentials import NodeIdentity
from backend.store.users import UserView

NAME = "cascade"
Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True)
class MetricsPart:
    """Where this machine's processes count, and the token that whoever reads it must send; empty: none."""

    directory: Path
    token: str


@dataclass(frozen=True, slots=True)
class Parts:
    """The parent's parts; `redis` is `None` without an address: work is then committed and starts later.

    `publishers` are those installed here, by platform: asked before anything is sent what they can't take.
    `watch` starts looking whether alarms are due, until the event is set; a process that serves does so once.
    """

    engine: Engine
    redis: Redis | None
    cipher: Cipher
    tokens: Tokens
    browser_tokens: Tokens
    feed_kinds: frozenset[str]
    publishers: Callable[[], Mapping[str, Publisher]]
    limits: Limits
    http: HttpClient
    freshness: Freshness
    login_guard: LoginGuard
    children: ChildParts
    trusted_proxies: tuple[Network, ...]
    flow_seconds: float
    watch: Callable[[threading.Event], None]
    metrics: MetricsPart

    def before_fork(self) -> None:
        """Connections must not be shared by two processes: none is open when a process is forked."""
        self.engine.dispose()
        if self.redis is not None:
            self.redis.close()

    def after_fork(self, is_stopping: Callable[[], bool]) -> None:
        """In a process that serves: long polls end with it, or it would wait for them; it watches, and says that it is there."""
        self.children.waits.stopping = is_stopping
        self.watch(threading.Event())
        door.keep_open(self.engine, self.children.leases.own, is_stopping)


@dataclass(frozen=True, slots=True)
class Credential:
    """With what a person asks: a login, or an access key. `expires_at` is its end, if it has one."""

    expires_at: datetime | None
    login_id: str | None = None
    key_id: str | None = None


def parts() -> Parts:
    """The parts of the application that answers this request; idempotency marks what this request commits."""
    built = cast("Parts", current_app.extensions[NAME])
    engine: Engine | None = g.get("engine")
    return built if engine is None else replace(built, engine=engine)


def asker() -> UserView:
    """The person who is asking. Raises `Unauthenticated` on a route that people don't log in for."""
    user: UserView | None = g.get("user")
    if user is None:
        raise Unauthenticated
    return user


def credential() -> Credential:
    """With what the person asks. Raises `Unauthenticated` on a route that people don't log in for."""
    found: Credential | None = g.get("credential")
    if found is None:
        raise Unauthenticated
    return found


def own_login() -> str:
    """The id of the login that is used. Raises `Forbidden` for an access key."""
    login_id = credential().login_id
    if login_id is None:
        raise Forbidden("login_needed")
    return login_id


def caller_address() -> str:
    """Where the request comes from, as far as the peer and trusted proxies can be believed."""
    forwarded = ",".join(request.headers.getlist("X-Forwarded-For"))
    return client_address(request.remote_addr or "", forwarded, parts().trusted_proxies)


def by_https() -> bool:
    """Whether the person's side of the connection is encrypted, as far as the peer and trusted proxies can be believed."""
    forwarded = request.headers.get("X-Forwarded-Proto", "")
    return request.is_secure or came_by_https(request.remote_addr or "", forwarded, parts().trusted_proxies)


def asking_node() -> NodeIdentity:
    """The node that is asking. Raises `Unauthenticated` on a route that is not for nodes."""
    node: NodeIdentity | None = g.get("node")
    if node is None:
        raise Unauthenticated
    return node


def actor() -> str:
    """Who is asking, as histories record it."""
    node: NodeIdentity | None = g.get("node")
    return f"node {node.name}" if node else f"user {asker().name}"


def language() -> Language:
    """The language of the answer: what the client prefers of English and Chinese."""
    preferred = request.accept_languages.values() if has_request_context() else ()
    for tag in preferred:
        # werkzeug's own best_match would take "en;q=0.1" before a more wanted "zh-TW".
        primary = tag.casefold().replace("_", "-").partition("-")[0]
        if primary in {"en", "zh"}:
            return "zh" if primary == "zh" else "en"
    return "en"
