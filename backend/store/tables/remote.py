"""What the parent keeps of our own remote nodes: how they join, and outcomes that arrive in chunks."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock, ascii_key, chunk
from backend.store.tables.base import ID, MYSQL, Base


class JoinToken(Base):
    """A token that a node joins with, once; of it only its SHA-256 stays. `used_by` is the start of the node that used it."""

    __tablename__ = "join_tokens"
    __table_args__ = (
        UniqueConstraint("secret_hash"),
        Index(None, "node_id"),
        Index(None, "expires_at"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    node_id: Mapped[str] = mapped_column(ID)
    secret_hash: Mapped[str] = mapped_column(ascii_key(64))
    actor: Mapped[str] = mapped_column(String(100), default="")
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    used_by: Mapped[str] = mapped_column(ID, server_default="")


class StagedChunk(Base):
    """A part of an outcome that is too large for one request: gzip, as it arrived. Its id is `<execution>.<number>`."""

    __tablename__ = "staged_chunks"
    __table_args__ = (Index(None, "execution"), Index(None, "node_id"), Index(None, "created_at"), MYSQL)

    id: Mapped[str] = mapped_column(ascii_key(48), primary_key=True)
    node_id: Mapped[str] = mapped_column(ID)
    allocation_id: Mapped[str] = mapped_column(ID)
    execution: Mapped[str] = mapped_column(ID)
    number: Mapped[int] = mapped_column(Integer)
    size: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes] = mapped_column(chunk())
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
