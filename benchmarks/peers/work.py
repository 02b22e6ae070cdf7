"""The work that each peer does for an item: begin and settle, two short transactions, and between them the same fetch.

Begin and settle are guarded updates whose row count is read, as ours are. Settling stores the articles. The pool is the fastest that is
correct on a healthy server: a few connections for many slots, no pings.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import uuid4

import requests
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    create_engine,
    func,
    select,
    update,
)
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.dialects.mysql import insert as mysql_insert

from backend.domain.identifiers import digest
from backend.domain.orders import ArticleDraft
from backend.sources.parsing import parse_feed

DATABASE, REDIS = "BENCH_DATABASE_URL", "BENCH_REDIS_URL"
POOL_SIZE = 16
FETCH_SECONDS = 60

metadata = MetaData()
items = Table(
    "peer_items",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("url", String(255), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("execution", String(36)),
)
articles = Table(
    "peer_articles",
    metadata,
    Column("key_hash", String(64), primary_key=True),
    Column("item_id", Integer, nullable=False, index=True),
    Column("title", String(1000), nullable=False),
    Column("url", String(2048), nullable=False),
    Column("summary", Text().with_variant(LONGTEXT(), "mysql"), nullable=False),
    Column("content", Text().with_variant(LONGTEXT(), "mysql"), nullable=False),
)

BEGIN = (
    update(items)
    .where(items.c.id == bindparam("item"), items.c.state == "pending")
    .values(state="executing", execution=bindparam("mine"))
)
ORDER = select(items.c.url).where(items.c.id == bindparam("item"))
SETTLE = (
    update(items)
    .where(items.c.id == bindparam("item"), items.c.execution == bindparam("mine"))
    .values(state="done")
)
STORE = mysql_insert(articles).prefix_with("IGNORE")


class LostItemError(RuntimeError):
    """An item was not there to begin or not ours to settle."""


@dataclass(frozen=True)
class Begun:
    """What phase 2 needs. Without a URL the work is nothing."""

    item: int
    execution: str
    url: str


@cache
def engine() -> Engine:
    """This process's engine; made after the last fork."""
    return create_engine(
        os.environ[DATABASE],
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=120,
        isolation_level="READ COMMITTED",
    )


def begin(item: int) -> Begun:
    """Phase 1."""
    execution = str(uuid4())
    with engine().begin() as connection:
        if connection.execute(BEGIN, {"item": item, "mine": execution}).rowcount != 1:
            raise LostItemError(item)
        url = connection.scalar(ORDER, {"item": item})
    return Begun(item, execution, str(url))


def settle(begun: Begun, found: Sequence[ArticleDraft]) -> None:
    """Phase 3."""
    rows = [_row(begun.item, article) for article in found]
    with engine().begin() as connection:
        if connection.execute(SETTLE, {"item": begun.item, "mine": begun.execution}).rowcount != 1:
            raise LostItemError(begun.item)
        if rows:
            connection.execute(STORE, rows)


def _row(item: int, article: ArticleDraft) -> dict[str, Any]:
    return {
        "key_hash": digest(str(item), article.key),
        "item_id": item,
        "title": article.title,
        "url": article.url,
        "summary": article.summary,
        "content": article.content,
    }


def parse(url: str, body: bytes, content_type: str) -> Sequence[ArticleDraft]:
    """The articles of an answer, read by our own parser."""
    return parse_feed(body, content_type, url, datetime.now(UTC)).articles


_local = threading.local()


def fetch(url: str) -> Sequence[ArticleDraft]:
    """Phase 2 in a thread; each thread has its own session."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.trust_env = False
    answer = _local.session.get(url, timeout=FETCH_SECONDS)
    answer.raise_for_status()
    return parse(url, answer.content, answer.headers["content-type"])


def do(item: int) -> None:
    """All three phases, blocking."""
    begun = begin(item)
    settle(begun, fetch(begun.url) if begun.url else ())


async def do_async(item: int, client: Any) -> None:
    """All three phases on an event loop; `client` is an aiohttp session. The database driver blocks, so it gets threads."""
    begun = await asyncio.to_thread(begin, item)
    found: Sequence[ArticleDraft] = ()
    if begun.url:
        async with client.get(begun.url) as answer:
            answer.raise_for_status()
            found = parse(begun.url, await answer.read(), answer.headers["content-type"])
    await asyncio.to_thread(settle, begun, found)


def count_open(database: Engine) -> int:
    """How many items are not done."""
    with database.connect() as connection:
        query = select(func.count()).select_from(items).where(items.c.state != "done")
        return connection.scalar(query) or 0
