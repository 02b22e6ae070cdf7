"""Runs, work items, allocations and deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock, ascii_key, long_text
from backend.store.tables.base import FEED_ID, ID, MYSQL, STATE, Base


class Run(Base):
    """One dispatch of one message task. `cursor` is the last feed that became a work item."""

    __tablename__ = "runs"
    __table_args__ = (
        Index(None, "state", "id"),
        Index(None, "task_id", "id"),
        Index(None, "task_id", "state"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    task_id: Mapped[str] = mapped_column(ID)
    task_name: Mapped[str] = mapped_column(String(100))
    trigger: Mapped[str] = mapped_column(ascii_key(16))
    actor: Mapped[str] = mapped_column(String(100), default="")
    state: Mapped[str] = mapped_column(STATE)
    cursor: Mapped[str] = mapped_column(FEED_ID, default="")
    reason: Mapped[str] = mapped_column(String(500), default="")
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
    ended_at: Mapped[datetime | None]


class WorkItem(Base):
    """One feed of one run: what gets retried. `errors` keeps each attempt's time, code and message.

    `deaths` counts workers that died with this item alone; `batch_limit` keeps suspects in small batches.
    `feed_kind` is its feed's kind: not every node can collect every kind; `host` is where its feed lives.
    """

    __tablename__ = "work_items"
    __table_args__ = (
        UniqueConstraint("run_id", "feed_id"),
        Index(None, "state", "not_before", "feed_kind", "id"),
        Index(None, "state", "node_id"),
        Index(None, "state", "host"),
        Index(None, "allocation_id", "id"),
        Index(None, "run_id", "state"),
        Index(None, "feed_id", "id"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    run_id: Mapped[str] = mapped_column(ID)
    task_id: Mapped[str] = mapped_column(ID)
    feed_id: Mapped[str] = mapped_column(FEED_ID)
    feed_kind: Mapped[str] = mapped_column(ascii_key(32), server_default="rss")
    host: Mapped[str] = mapped_column(ascii_key(255), server_default="")
    state: Mapped[str] = mapped_column(STATE)
    reason: Mapped[str] = mapped_column(String(500), default="")
    not_before: Mapped[datetime | None]
    node_id: Mapped[str | None] = mapped_column(ID)
    allocation_id: Mapped[str | None] = mapped_column(ID)
    execution: Mapped[str | None] = mapped_column(ID)
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    deaths: Mapped[int] = mapped_column(Integer, server_default="0")
    batch_limit: Mapped[int | None] = mapped_column(Integer)
    errors: Mapped[list[Any]] = mapped_column(JSON, default=list)
    error_code: Mapped[str] = mapped_column(ascii_key(64), default="")
    error_message: Mapped[str] = mapped_column(Text, default="")
    article_count: Mapped[int] = mapped_column(Integer, server_default="0")
    new_article_count: Mapped[int] = mapped_column(Integer, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
    ended_at: Mapped[datetime | None]


class Allocation(Base):
    """One unit of work given to one node; the fencing columns are execution, attempt and settled_by.

    `polled`: claimed by an old child through `pending-tasks`, whose reports name no allocation. `worker` is the process
    of a node that holds it; `alone`: its items were with a worker that died, so it gets a process for itself.
    Publish and account work names its account: `active_account_id` is the account's one slot, empty once no execution can be
    alive any more. `errand` is what account work is for; `credential_version` is the one that its execution was given.
    `task_id` of publish work is its publish task.
    """

    __tablename__ = "allocations"
    __table_args__ = (
        Index(None, "queue", "state", "id"),
        Index(None, "state", "lease_until"),
        Index(None, "node_id", "state"),
        Index(None, "node_id", "id"),
        Index(None, "node_id", "claim_id"),
        Index(None, "run_id", "id"),
        Index(None, "task_id", "id"),
        Index(None, "kind", "id"),
        Index(None, "active_account_id", unique=True),
        Index(None, "account_id", "id"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    kind: Mapped[str] = mapped_column(ascii_key(16))
    queue: Mapped[str] = mapped_column(ascii_key(96))
    node_id: Mapped[str] = mapped_column(ID)
    run_id: Mapped[str | None] = mapped_column(ID)
    task_id: Mapped[str | None] = mapped_column(ID)
    account_id: Mapped[str | None] = mapped_column(ID)
    active_account_id: Mapped[str | None] = mapped_column(ID)
    errand: Mapped[str | None] = mapped_column(ascii_key(8))
    credential_version: Mapped[int | None] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(STATE)
    attempt: Mapped[int] = mapped_column(Integer, server_default="1")
    execution: Mapped[str | None] = mapped_column(ID)
    settled_by: Mapped[str | None] = mapped_column(ID)
    instance: Mapped[str | None] = mapped_column(ID)
    worker: Mapped[str | None] = mapped_column(ID)
    alone: Mapped[bool] = mapped_column(Boolean, server_default=false())
    lease_until: Mapped[datetime | None]
    claim_id: Mapped[str | None] = mapped_column(ascii_key(64))
    polled: Mapped[bool] = mapped_column(Boolean, server_default=false())
    cancel_requested: Mapped[bool] = mapped_column(Boolean, server_default=false())
    reason: Mapped[str] = mapped_column(String(500), default="")
    error_code: Mapped[str] = mapped_column(ascii_key(64), default="")
    error_message: Mapped[str] = mapped_column(Text, default="")
    feed_ids: Mapped[list[str]] = mapped_column(default=list)
    item_count: Mapped[int] = mapped_column(Integer, server_default="0")
    article_count: Mapped[int] = mapped_column(Integer, server_default="0")
    new_article_count: Mapped[int] = mapped_column(Integer, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
    claimed_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=Clock())


class Delivery(Base):
    """One message about one feed's due articles to one task's receiver. Its id is its `Idempotency-Key`.

    `in_flight` is set before an attempt is sent and cleared by its receipt. `errors` keeps each failed attempt's time, code and
    message.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        Index(None, "state", "not_before", "id"),
        Index(None, "allocation_id", "id"),
        Index(None, "receiver", "attempted_at"),
        Index(None, "task_id", "id"),
        Index(None, "run_id", "state"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    task_id: Mapped[str] = mapped_column(ID)
    feed_id: Mapped[str] = mapped_column(FEED_ID)
    run_id: Mapped[str | None] = mapped_column(ID)
    allocation_id: Mapped[str | None] = mapped_column(ID)
    receiver: Mapped[str] = mapped_column(ascii_key(64))
    receiver_kind: Mapped[str] = mapped_column(ascii_key(16))
    state: Mapped[str] = mapped_column(STATE)
    reason: Mapped[str] = mapped_column(String(500), default="")
    not_before: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    in_flight: Mapped[bool] = mapped_column(Boolean, server_default=false())
    title: Mapped[str | None] = mapped_column(String(255))
    body: Mapped[str | None] = mapped_column(long_text())
    warning: Mapped[str] = mapped_column(String(500), default="")
    status_code: Mapped[int] = mapped_column(Integer, server_default="0")
    excerpt: Mapped[str] = mapped_column(Text, default="")
    error_code: Mapped[str] = mapped_column(ascii_key(64), default="")
    error_message: Mapped[str] = mapped_column(Text, default="")
    errors: Mapped[list[Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
    attempted_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class DeliveryArticle(Base):
    """An article is in one delivery per message task at most: the key says so."""

    __tablename__ = "delivery_articles"
    __table_args__ = (Index(None, "delivery_id"), Index(None, "article_id"), MYSQL)

    task_id: Mapped[str] = mapped_column(ID, primary_key=True)
    article_id: Mapped[str] = mapped_column(FEED_ID, primary_key=True)
    delivery_id: Mapped[str] = mapped_column(ID)
