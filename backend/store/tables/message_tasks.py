"""Message tasks."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Boolean,
    Index,
    Integer,
    String,
    Text,
    false,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock, ascii_key
from backend.store.tables.base import ENCRYPTED, FEED_ID, ID, MYSQL, Base


class MessageTask(Base):
    """A saved job. The receiver's URL, headers and cookies are encrypted; `receiver` is '' without one.

    `baseline_at`: articles first stored before it are never due. `next_fire_at` is the tick to come, and `None`
    when there is none: by hand, disabled, or never again. `autonomous_node_id`: the remote node that runs it on its cron
    while it does not reach its parent.
    """

    __tablename__ = "message_tasks"
    __table_args__ = (
        Index(None, "all_feeds", "enabled"),
        Index(None, "created_at", "id"),
        Index(None, "next_fire_at"),
        Index(None, "autonomous_node_id"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    all_feeds: Mapped[bool] = mapped_column(Boolean, server_default=false())
    message_type: Mapped[int] = mapped_column(Integer, server_default="0")
    message_template: Mapped[str] = mapped_column(Text, default="")
    web_hook_url: Mapped[str] = mapped_column(Text, default="", info=ENCRYPTED)
    headers: Mapped[str] = mapped_column(Text, default="", info=ENCRYPTED)
    cookies: Mapped[str] = mapped_column(Text, default="", info=ENCRYPTED)
    receiver: Mapped[str] = mapped_column(ascii_key(64), default="")
    receiver_kind: Mapped[str] = mapped_column(ascii_key(16), default="")
    cron_exp: Mapped[str] = mapped_column(String(100), default="")
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")
    enabled: Mapped[bool] = mapped_column(Boolean, server_default=true())
    overlap: Mapped[str] = mapped_column(ascii_key(16), server_default="queue")
    paused: Mapped[bool] = mapped_column(Boolean, server_default=false())
    next_fire_at: Mapped[datetime | None]
    autonomous_node_id: Mapped[str | None] = mapped_column(ID)
    baseline_at: Mapped[datetime] = mapped_column(server_default=Clock())
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())


class MessageTaskFeed(Base):
    """One feed of one message task, with the moment from which its articles are due."""

    __tablename__ = "message_task_feeds"
    __table_args__ = (Index(None, "feed_id"), MYSQL)

    task_id: Mapped[str] = mapped_column(ID, primary_key=True)
    feed_id: Mapped[str] = mapped_column(FEED_ID, primary_key=True)
    baseline_at: Mapped[datetime] = mapped_column(server_default=Clock())
