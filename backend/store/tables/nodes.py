"""The places where work runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    false,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock, ascii_key
from backend.store.tables.base import ID, MYSQL, Base


class Node(Base):
    """A place where work runs. `presence_at` is the last beat of any kind; `instance` the start that sent it.

    `instance` is empty as long as no beat carried one; `sources` holds the kinds of feeds that it said it collects,
    `None` when it said nothing; `synced_at` is when it last read feeds or tasks; `reported_capacity` is what
    its beats say that it has room for. `outbox_entries` and `outbox_dead` are what waits and what could not be used in
    its outbox, by its last beat; `outbox_size` is what an older release wrote.
    `protocol` is the version that it speaks, `None` when it never said; `kinds` and `publishers` are the kinds of work and the
    platforms that it says it can do.
    `offline_at` is when the sweeper saw it offline; `workerless_at` since when it beats without a worker that lives.
    """

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
    reported_capacity: Mapped[int | None] = mapped_column(Integer)
    workers_alive: Mapped[int] = mapped_column(Integer, server_default="0")
    outbox_size: Mapped[int] = mapped_column(Integer, server_default="0")
    outbox_entries: Mapped[int] = mapped_column(Integer, server_default="0")
    outbox_oldest_at: Mapped[datetime | None]
    outbox_dead: Mapped[int] = mapped_column(Integer, server_default="0")
    offline_at: Mapped[datetime | None]
    workerless_at: Mapped[datetime | None]
    presence_at: Mapped[datetime | None]
    beat_count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    empty_claims: Mapped[int] = mapped_column(BigInteger, server_default="0")
    sources: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    callback_url: Mapped[str] = mapped_column(String(512), server_default="")
    synced_at: Mapped[datetime | None]
    machine: Mapped[str] = mapped_column(String(100), server_default="")
    disk_free: Mapped[int | None] = mapped_column(BigInteger)
    disk_total: Mapped[int | None] = mapped_column(BigInteger)
    protocol: Mapped[int | None] = mapped_column(Integer)
    publishers: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
    updated_at: Mapped[datetime | None]


class NodeCredential(Base):
    """An AK/SK pair of a remote node: of the secret only its SHA-256 stays. Without `expires_at` it is the current one."""

    __tablename__ = "node_credentials"
    __table_args__ = (UniqueConstraint("api_key"), Index(None, "node_id", "expires_at"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    node_id: Mapped[str] = mapped_column(ID)
    api_key: Mapped[str] = mapped_column(ascii_key(100))
    secret_hash: Mapped[str] = mapped_column(ascii_key(64))
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
    expires_at: Mapped[datetime | None]
