"""Who may log in."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Boolean,
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
