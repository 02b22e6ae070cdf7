"""Accounts on platforms and what is published through them."""

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
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock, ascii_key, long_text
from backend.store.tables.base import ENCRYPTED, ID, MYSQL, STATE, Base


class PublishAccount(Base):
    """An account on a platform. A verdict applies only if its `credential_version` is still current.

    `credentials` and `login_prompt` are encrypted. `node_id` is the only node that may use it; empty: any capable one.
    `errand_wanted` is what a person asked for (`check`, `login`); `check_due_at` is when the schedule wants a check.
    `min_gap_seconds` and `daily_limit` are this account's own; empty: the settings'.
    """

    __tablename__ = "publish_accounts"
    __table_args__ = (
        Index(None, "user_id", "platform", "name", unique=True),
        Index(None, "check_due_at"),
        Index(None, "errand_wanted"),
        Index(None, "health", "cooling_until"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    platform: Mapped[str] = mapped_column(ascii_key(32))
    name: Mapped[str] = mapped_column(String(100))
    user_id: Mapped[str] = mapped_column(ID, server_default="")
    node_id: Mapped[str | None] = mapped_column(ID)
    credentials: Mapped[str] = mapped_column(long_text(), default="", info=ENCRYPTED)
    credential_version: Mapped[int] = mapped_column(Integer, server_default="1")
    health: Mapped[str] = mapped_column(STATE, server_default="unknown")
    health_code: Mapped[str] = mapped_column(ascii_key(64), server_default="")
    health_reason: Mapped[str] = mapped_column(String(500), server_default="")
    cooling_until: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    checked_at: Mapped[datetime | None]
    check_due_at: Mapped[datetime | None]
    errand_wanted: Mapped[str | None] = mapped_column(ascii_key(8))
    last_used_at: Mapped[datetime | None]
    min_gap_seconds: Mapped[int | None] = mapped_column(Integer)
    daily_limit: Mapped[int | None] = mapped_column(Integer)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
    profile: Mapped[str] = mapped_column(String(255), server_default="")
    login_prompt: Mapped[str | None] = mapped_column(Text, info=ENCRYPTED)
    login_prompt_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
    updated_at: Mapped[datetime | None]


class LoginScreenshot(Base):
    """What the page of an account's last login showed when only a person could go on: a JPEG in base64, encrypted."""

    __tablename__ = "login_screenshots"
    __table_args__ = (MYSQL,)

    account_id: Mapped[str] = mapped_column(ID, primary_key=True)
    image: Mapped[str] = mapped_column(long_text(), info=ENCRYPTED)
    taken_at: Mapped[datetime] = mapped_column(server_default=Clock())


class PublishTask(Base):
    """An article that a user wants on a platform.

    `active_account_id` is no longer read: the account's one slot is `Allocation.active_account_id`, which checks and logins share.
    `submitted_at` is the mark of the point of no return; `known_ids` are the account's articles noted before it. `key` stays the
    same for one article over all attempts. `attempts` counts executions since the last
    `retry`, `confirmations` those of them that only asked the platform. `not_before` is when it may go on, `scheduled_at`
    what its user asked for. `reason_code` says in one word why it waits; `reason` says it in words.
    """

    __tablename__ = "publish_tasks"
    __table_args__ = (
        UniqueConstraint("active_account_id"),
        Index(None, "state", "id"),
        Index(None, "state", "not_before", "id"),
        # Whose turn it is, is read from this index alone, however much waits; its own name would be too long for MySQL.
        Index(
            "ix_publish_tasks_admission",
            *("state", "account_id", "user_id", "not_before", "submitted_at", "priority", "id"),
        ),
        Index(None, "state", "user_id", "id"),
        Index(None, "allocation_id"),
        Index(None, "user_id", "id"),
        Index(None, "user_id", "admitted_at"),
        Index(None, "account_id", "fingerprint", "id"),
        Index(None, "account_id", "submitted_at"),
        Index(None, "group_id"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ID)
    account_id: Mapped[str] = mapped_column(ID)
    platform: Mapped[str] = mapped_column(ascii_key(32), server_default="")
    group_id: Mapped[str | None] = mapped_column(ID)
    title: Mapped[str] = mapped_column(String(500), server_default="")
    content: Mapped[str | None] = mapped_column(long_text())
    content_format: Mapped[str] = mapped_column(ascii_key(16), server_default="markdown")
    cover: Mapped[str] = mapped_column(String(2048), server_default="")
    tags: Mapped[list[str] | None] = mapped_column(JSON)
    draft: Mapped[bool] = mapped_column(Boolean, server_default=false())
    priority: Mapped[int] = mapped_column(Integer, server_default="0")
    scheduled_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    fingerprint: Mapped[str] = mapped_column(ascii_key(64), server_default="")
    active_account_id: Mapped[str | None] = mapped_column(ID)
    allocation_id: Mapped[str | None] = mapped_column(ID)
    state: Mapped[str] = mapped_column(STATE)
    reason: Mapped[str] = mapped_column(String(500), default="")
    reason_code: Mapped[str] = mapped_column(ascii_key(64), server_default="")
    error_code: Mapped[str] = mapped_column(ascii_key(64), server_default="")
    error_message: Mapped[str | None] = mapped_column(Text)
    warnings: Mapped[list[str] | None] = mapped_column(JSON)
    draft_id: Mapped[str | None] = mapped_column(String(255))
    submitted_at: Mapped[datetime | None]
    known_ids: Mapped[list[str] | None] = mapped_column(JSON)
    key: Mapped[str] = mapped_column(ascii_key(64), server_default="")
    platform_id: Mapped[str] = mapped_column(String(255), server_default="")
    result_url: Mapped[str] = mapped_column(String(2048), server_default="")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    confirmations: Mapped[int] = mapped_column(Integer, server_default="0")
    errors: Mapped[list[Any] | None] = mapped_column(JSON)
    cancel_requested: Mapped[bool] = mapped_column(Boolean, server_default=false())
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
    admitted_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
