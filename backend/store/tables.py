"""The tables and their indexes, nothing else.

There are no foreign keys: InnoDB locks the parent row for each child that is written, which would tie
heartbeats, the pump and settling workers to each other. Deletions name what they take along instead.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from backend.store.columns import Clock, UtcDateTime, ascii_key, long_text

MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_unicode_ci"}
ID = ascii_key(36)
FEED_ID = ascii_key(64)
STATE = ascii_key(16)
SERIAL = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """Declarative base: constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), str: String(255), dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012


class User(Base):
    """Somebody who may log in. `token_version` ends older tokens when it moves."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("name"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(ascii_key(16))
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
    token_version: Mapped[int] = mapped_column(Integer, server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())


class Node(Base):
    """A place where work runs. `presence_at` is the last beat of any kind; `instance` the start that sent it."""

    __tablename__ = "nodes"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("slug"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    slug: Mapped[str] = mapped_column(ascii_key(64))
    node_type: Mapped[int] = mapped_column(Integer, server_default="1")
    transport: Mapped[str] = mapped_column(ascii_key(16))
    description: Mapped[str] = mapped_column(Text, default="")
    api_url: Mapped[str] = mapped_column(String(512), default="")
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
    draining: Mapped[bool] = mapped_column(Boolean, server_default=false())
    max_capacity: Mapped[int] = mapped_column(Integer, server_default="10")
    feed_quota: Mapped[dict[str, Any]] = mapped_column(default=dict)
    kinds: Mapped[list[str]] = mapped_column(default=list)
    instance: Mapped[str] = mapped_column(ascii_key(36), default="")
    version: Mapped[str] = mapped_column(String(32), default="")
    workers_alive: Mapped[int] = mapped_column(Integer, server_default="0")
    outbox_size: Mapped[int] = mapped_column(Integer, server_default="0")
    presence_at: Mapped[datetime | None]
    beat_count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())


class Feed(Base):
    """A source to collect. `url_hash` keeps one feed from being added twice."""

    __tablename__ = "feeds"
    __table_args__ = (UniqueConstraint("url_hash"), Index(None, "created_at", "id"), MYSQL)

    id: Mapped[str] = mapped_column(FEED_ID, primary_key=True)
    kind: Mapped[str] = mapped_column(ascii_key(32))
    name: Mapped[str] = mapped_column(String(255))
    url: Mapped[str] = mapped_column(String(2048))
    url_hash: Mapped[str] = mapped_column(ascii_key(64))
    cover: Mapped[str] = mapped_column(String(2048), default="")
    intro: Mapped[str] = mapped_column(Text, default="")
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
    etag: Mapped[str] = mapped_column(String(512), default="")
    last_modified: Mapped[str] = mapped_column(String(128), default="")
    collected_at: Mapped[datetime | None]
    error_code: Mapped[str] = mapped_column(ascii_key(64), default="")
    error_message: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())


class Article(Base):
    """One article of one feed. `key_hash` is the digest of the feed and its key within the feed."""

    __tablename__ = "articles"
    __table_args__ = (
        UniqueConstraint("key_hash"),
        Index(None, "first_stored_at", "id"),
        Index(None, "feed_id", "first_stored_at", "id"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(FEED_ID, primary_key=True)
    feed_id: Mapped[str] = mapped_column(FEED_ID)
    key_hash: Mapped[str] = mapped_column(ascii_key(64))
    content_hash: Mapped[str] = mapped_column(ascii_key(64))
    title: Mapped[str] = mapped_column(String(1000))
    url: Mapped[str] = mapped_column(String(2048))
    summary: Mapped[str] = mapped_column(long_text())
    content: Mapped[str] = mapped_column(long_text())
    author: Mapped[str] = mapped_column(String(255), default="")
    cover_url: Mapped[str] = mapped_column(String(2048), default="")
    published_at: Mapped[datetime | None]
    first_stored_at: Mapped[datetime] = mapped_column(server_default=Clock())
    updated_at: Mapped[datetime] = mapped_column(server_default=Clock())


class MessageTask(Base):
    """A saved job. The receiver's URL, headers and cookies are encrypted; `receiver` is '' without one.

    `baseline_at`: articles first stored before it are never due.
    """

    __tablename__ = "message_tasks"
    __table_args__ = (Index(None, "all_feeds", "enabled"), Index(None, "created_at", "id"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    all_feeds: Mapped[bool] = mapped_column(Boolean, server_default=false())
    message_type: Mapped[int] = mapped_column(Integer, server_default="0")
    message_template: Mapped[str] = mapped_column(Text, default="")
    web_hook_url: Mapped[str] = mapped_column(Text, default="")
    headers: Mapped[str] = mapped_column(Text, default="")
    cookies: Mapped[str] = mapped_column(Text, default="")
    receiver: Mapped[str] = mapped_column(ascii_key(64), default="")
    receiver_kind: Mapped[str] = mapped_column(ascii_key(16), default="")
    cron_exp: Mapped[str] = mapped_column(String(100), default="")
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")
    enabled: Mapped[bool] = mapped_column(Boolean, server_default=true())
    baseline_at: Mapped[datetime] = mapped_column(server_default=Clock())
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())


class MessageTaskFeed(Base):
    """One feed of one message task, with the moment from which its articles are due."""

    __tablename__ = "message_task_feeds"
    __table_args__ = (Index(None, "feed_id"), MYSQL)

    task_id: Mapped[str] = mapped_column(ID, primary_key=True)
    feed_id: Mapped[str] = mapped_column(FEED_ID, primary_key=True)
    baseline_at: Mapped[datetime] = mapped_column(server_default=Clock())


class Run(Base):
    """One dispatch of one message task. `cursor` is the last feed that became a work item."""

    __tablename__ = "runs"
    __table_args__ = (Index(None, "state", "id"), Index(None, "task_id", "id"), MYSQL)

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
    """

    __tablename__ = "work_items"
    __table_args__ = (
        UniqueConstraint("run_id", "feed_id"),
        Index(None, "state", "not_before", "id"),
        Index(None, "state", "node_id"),
        Index(None, "allocation_id", "id"),
        Index(None, "run_id", "state"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    run_id: Mapped[str] = mapped_column(ID)
    task_id: Mapped[str] = mapped_column(ID)
    feed_id: Mapped[str] = mapped_column(FEED_ID)
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
    """One unit of work given to one node; the fencing columns are execution, attempt and settled_by."""

    __tablename__ = "allocations"
    __table_args__ = (
        Index(None, "queue", "state", "id"),
        Index(None, "state", "lease_until"),
        Index(None, "node_id", "state"),
        Index(None, "node_id", "claim_id"),
        Index(None, "run_id", "id"),
        Index(None, "task_id", "id"),
        Index(None, "kind", "id"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    kind: Mapped[str] = mapped_column(ascii_key(16))
    queue: Mapped[str] = mapped_column(ascii_key(96))
    node_id: Mapped[str] = mapped_column(ID)
    run_id: Mapped[str | None] = mapped_column(ID)
    task_id: Mapped[str | None] = mapped_column(ID)
    state: Mapped[str] = mapped_column(STATE)
    attempt: Mapped[int] = mapped_column(Integer, server_default="1")
    execution: Mapped[str | None] = mapped_column(ID)
    settled_by: Mapped[str | None] = mapped_column(ID)
    instance: Mapped[str | None] = mapped_column(ID)
    lease_until: Mapped[datetime | None]
    claim_id: Mapped[str | None] = mapped_column(ascii_key(64))
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

    `in_flight` is set before an attempt is sent and cleared by its receipt.
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
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
    attempted_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class DeliveryArticle(Base):
    """An article is in one delivery per message task at most: the key says so."""

    __tablename__ = "delivery_articles"
    __table_args__ = (Index(None, "delivery_id"), MYSQL)

    task_id: Mapped[str] = mapped_column(ID, primary_key=True)
    article_id: Mapped[str] = mapped_column(FEED_ID, primary_key=True)
    delivery_id: Mapped[str] = mapped_column(ID)


class PublishAccount(Base):
    """An account on a platform. A verdict applies only if its `credential_version` is still current."""

    __tablename__ = "publish_accounts"
    __table_args__ = (MYSQL,)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    platform: Mapped[str] = mapped_column(ascii_key(32))
    name: Mapped[str] = mapped_column(String(100))
    node_id: Mapped[str | None] = mapped_column(ID)
    credentials: Mapped[str] = mapped_column(Text, default="")
    credential_version: Mapped[int] = mapped_column(Integer, server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())


class PublishTask(Base):
    """An article that a user wants on a platform. `active_account_id` is set while it has the account's one slot."""

    __tablename__ = "publish_tasks"
    __table_args__ = (UniqueConstraint("active_account_id"), Index(None, "state", "id"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ID)
    account_id: Mapped[str] = mapped_column(ID)
    active_account_id: Mapped[str | None] = mapped_column(ID)
    allocation_id: Mapped[str | None] = mapped_column(ID)
    state: Mapped[str] = mapped_column(STATE)
    reason: Mapped[str] = mapped_column(String(500), default="")
    draft_id: Mapped[str | None] = mapped_column(String(255))
    submitted_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())


class History(Base):
    """One transition of a run, an allocation or a publish task: who, when, from, to, why."""

    __tablename__ = "history"
    __table_args__ = (Index(None, "noun", "subject_id", "id"), Index(None, "at"), MYSQL)

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    noun: Mapped[str] = mapped_column(ascii_key(16))
    subject_id: Mapped[str] = mapped_column(ID)
    at: Mapped[datetime] = mapped_column(server_default=Clock())
    actor: Mapped[str] = mapped_column(String(100))
    from_state: Mapped[str] = mapped_column(STATE)
    to_state: Mapped[str] = mapped_column(STATE)
    reason: Mapped[str] = mapped_column(String(500))


class Lock(Base):
    """A row to lock: the pump's."""

    __tablename__ = "locks"
    __table_args__ = (MYSQL,)

    name: Mapped[str] = mapped_column(ascii_key(32), primary_key=True)


class Beat(Base):
    """One beat process, seen alive."""

    __tablename__ = "beats"
    __table_args__ = (MYSQL,)

    instance: Mapped[str] = mapped_column(ID, primary_key=True)
    alive_at: Mapped[datetime] = mapped_column(server_default=Clock())


class Pulse(Base):
    """The one row that says when renewals could last arrive, and from when leases may be recovered again."""

    __tablename__ = "pulse"
    __table_args__ = (MYSQL,)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    alive_at: Mapped[datetime] = mapped_column(server_default=Clock())
    recover_after: Mapped[datetime] = mapped_column(server_default=Clock())
