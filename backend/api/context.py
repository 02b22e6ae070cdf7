"""What every route works with, built once per process by the application factory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from flask import current_app, g, has_request_context, request
from redis import Redis
from sqlalchemy import Engine

from backend.api.tokens import Tokens
from backend.dispatch.pump import Limits
from backend.domain.errors import Unauthenticated
from backend.store.cipher import Cipher
from backend.store.credentials import NodeIdentity
from backend.store.users import UserView

NAME = "cascade"
Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True)
class Parts:
    """The parent's parts; `redis` is `None` without an address: work is then committed and starts later."""

    engine: Engine
    redis: Redis | None
    cipher: Cipher
    tokens: Tokens
    feed_kinds: frozenset[str]
    limits: Limits


def parts() -> Parts:
    """The parts of the application that answers this request."""
    return cast("Parts", current_app.extensions[NAME])


def asker() -> UserView:
    """The person who is asking. Raises `Unauthenticated` on a route that people don't log in for."""
    user: UserView | None = g.get("user")
    if user is None:
        raise Unauthenticated
    return user


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
