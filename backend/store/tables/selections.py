"""What a person chose before changing many allocations at once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock, ascii_key
from backend.store.tables.base import ID, MYSQL, Base


class Selection(Base):
    """The allocations that one action shall change: exactly those that were counted. Forgotten after `expires_at`."""

    __tablename__ = "selections"
    __table_args__ = (Index(None, "expires_at"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    action: Mapped[str] = mapped_column(ascii_key(16))
    actor: Mapped[str] = mapped_column(String(100))
    filters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    row_count: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())
    expires_at: Mapped[datetime]


class SelectionPart(Base):
    """Some allocations of a selection, changed in one transaction; `outcomes` counts what became of them."""

    __tablename__ = "selection_parts"
    __table_args__ = (Index(None, "selection_id", "done_at", "position"), MYSQL)

    selection_id: Mapped[str] = mapped_column(ID, primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    allocation_ids: Mapped[list[str]] = mapped_column(default=list)
    done_at: Mapped[datetime | None]
    outcomes: Mapped[dict[str, Any]] = mapped_column(default=dict)
