"""Who may log in, with what, and which logins are alive."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Boolean,
    Index,
    Integer,
    String,
    UniqueConstraint,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock, ascii_key
from backend.store.tables.base import ID, MYSQL, Base


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


class Login(Base):
    """One login that was not ended: its tokens are good as long as this row is there."""

    __tablename__ = "logins"
    __table_args__ = (Index(None, "user_id"), Index(None, "expires_at"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ID)
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
    expires_at: Mapped[datetime]


class AccessKey(Base):
    """A script's key that acts as its user, with at most `role`; `secret_hash` is SHA-256 in hexadecimal digits."""

    __tablename__ = "access_keys"
    __table_args__ = (UniqueConstraint("access_key"), Index(None, "user_id"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ID)
    name: Mapped[str] = mapped_column(String(100))
    access_key: Mapped[str] = mapped_column(ascii_key(34))
    secret_hash: Mapped[str] = mapped_column(ascii_key(64))
    role: Mapped[str] = mapped_column(ascii_key(16))
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
