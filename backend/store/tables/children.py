"""What children report, and the log of what moved between them and the parent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock, ascii_key
from backend.store.tables.base import FEED_ID, ID, MYSQL, Base


class Result(Base):
    """How one feed went, as a child reported it. `digest` keeps a repeated report from counting twice."""

    __tablename__ = "results"
    __table_args__ = (
        UniqueConstraint("digest"),
        Index(None, "task_id", "id"),
        Index(None, "node_id", "id"),
        Index(None, "created_at"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    digest: Mapped[str] = mapped_column(ascii_key(64))
    node_id: Mapped[str] = mapped_column(ID)
    task_id: Mapped[str] = mapped_column(FEED_ID)
    allocation_id: Mapped[str | None] = mapped_column(ID)
    feed_id: Mapped[str] = mapped_column(FEED_ID)
    feed_name: Mapped[str] = mapped_column(String(255), default="")
    success: Mapped[bool] = mapped_column(Boolean)
    article_count: Mapped[int] = mapped_column(Integer, server_default="0")
    success_count: Mapped[int] = mapped_column(Integer, server_default="0")
    error_message: Mapped[str] = mapped_column(Text, default="")
    reported_at: Mapped[str] = mapped_column(String(64), default="")
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())


class SyncLog(Base):
    """One exchange with a child that moved data or failed. `direction` is seen from the child: pull or push."""

    __tablename__ = "sync_logs"
    __table_args__ = (
        Index(None, "node_id", "id"),
        Index(None, "operation", "id"),
        Index(None, "completed_at"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    node_id: Mapped[str] = mapped_column(ID)
    operation: Mapped[str] = mapped_column(ascii_key(32))
    direction: Mapped[str] = mapped_column(ascii_key(8))
    status: Mapped[int] = mapped_column(Integer)
    data_count: Mapped[int] = mapped_column(Integer, server_default="0")
    duration_ms: Mapped[int] = mapped_column(Integer, server_default="0")
    error_message: Mapped[str] = mapped_column(Text, default="")
    extra_data: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    completed_at: Mapped[datetime] = mapped_column(server_default=Clock())
