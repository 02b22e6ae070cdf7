"""Requests that must take effect once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock, ascii_key, long_text
from backend.store.tables.base import ENCRYPTED, ID, MYSQL, Base


class IdempotentRequest(Base):
    """A request that came with an `Idempotency-Key`; `id` is a hash of who asked, the route and the key.

    `execution` has it in hand since `taken_at`. `took_effect` is set in the transaction that creates. `answer` is
    encrypted: some answers show a secret once.
    """

    __tablename__ = "idempotent_requests"
    __table_args__ = (Index(None, "created_at"), MYSQL)

    id: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(ascii_key(64))
    execution: Mapped[str] = mapped_column(ID)
    taken_at: Mapped[datetime] = mapped_column(server_default=Clock())
    took_effect: Mapped[bool] = mapped_column(Boolean, server_default=text("0"))
    answer: Mapped[str | None] = mapped_column(long_text(), info=ENCRYPTED)
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
