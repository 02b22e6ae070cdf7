"""Feeds and their articles."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Boolean,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock, ascii_key, long_text
from backend.store.tables.base import FEED_ID, MYSQL, SERIAL, Base


class Feed(Base):
    """A source to collect. `url_hash` keeps one feed from being added twice; `faker_id` is WeChat's id of an account.

    `failure_count` counts the runs in a row that it failed in; schedules leave it out until `next_check_at`.
    `paused_reason` is the error code for which Cascade itself switched it off.
    """

    __tablename__ = "feeds"
    __table_args__ = (UniqueConstraint("url_hash"), Index(None, "created_at", "id"), MYSQL)

    id: Mapped[str] = mapped_column(FEED_ID, primary_key=True)
    kind: Mapped[str] = mapped_column(ascii_key(32))
    name: Mapped[str] = mapped_column(String(255))
    url: Mapped[str] = mapped_column(String(2048))
    url_hash: Mapped[str] = mapped_column(ascii_key(64))
    faker_id: Mapped[str] = mapped_column(ascii_key(255), server_default="")
    cover: Mapped[str] = mapped_column(String(2048), default="")
    intro: Mapped[str] = mapped_column(Text, default="")
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
    etag: Mapped[str] = mapped_column(String(512), default="")
    last_modified: Mapped[str] = mapped_column(String(128), default="")
    collected_at: Mapped[datetime | None]
    failure_count: Mapped[int] = mapped_column(Integer, server_default="0")
    next_check_at: Mapped[datetime | None]
    paused_reason: Mapped[str] = mapped_column(ascii_key(64), default="", server_default="")
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


class FeedMove(Base):
    """One permanent redirect that a feed's address followed."""

    __tablename__ = "feed_moves"
    __table_args__ = (Index(None, "feed_id", "id"), MYSQL)

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    feed_id: Mapped[str] = mapped_column(FEED_ID)
    from_url: Mapped[str] = mapped_column(String(2048))
    to_url: Mapped[str] = mapped_column(String(2048))
    at: Mapped[datetime] = mapped_column(server_default=Clock())


class Host(Base):
    """A host that asked to be left alone until a moment."""

    __tablename__ = "hosts"
    __table_args__ = (Index(None, "held_until"), MYSQL)

    name: Mapped[str] = mapped_column(ascii_key(255), primary_key=True)
    held_until: Mapped[datetime]
