"""Accounts on platforms and what is published through them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock, ascii_key
from backend.store.tables.base import ID, MYSQL, STATE, Base


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
    __table_args__ = (
        UniqueConstraint("active_account_id"),
        Index(None, "state", "id"),
        Index(None, "allocation_id"),
        MYSQL,
    )

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
