"""The places where work runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
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
