"""What the schedules of message tasks did, and whether they may do anything."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Index,
    Integer,
    String,
    UniqueConstraint,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock
from backend.store.tables.base import ID, MYSQL, STATE, Base


class Tick(Base):
    """One tick of one message task, or `count` missed ones in a row, from `planned_at` to `last_planned_at`.

    `run_id` is the run that it made, or the one because of which it was skipped. `late_ms` is counted from `planned_at`.
    """

    __tablename__ = "ticks"
    __table_args__ = (UniqueConstraint("task_id", "planned_at"), Index(None, "decided_at"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    task_id: Mapped[str] = mapped_column(ID)
    planned_at: Mapped[datetime]
    last_planned_at: Mapped[datetime]
    count: Mapped[int] = mapped_column(Integer, server_default="1")
    state: Mapped[str] = mapped_column(STATE)
    reason: Mapped[str] = mapped_column(String(500), default="")
    run_id: Mapped[str | None] = mapped_column(ID)
    decided_at: Mapped[datetime] = mapped_column(server_default=Clock())
    late_ms: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Scheduler(Base):
    """The one row that every beat obeys: whether ticks fire, who said so, and when all schedules were planned anew."""

    __tablename__ = "scheduler"
    __table_args__ = (MYSQL,)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    running: Mapped[bool] = mapped_column(Boolean, server_default=true())
    changed_at: Mapped[datetime] = mapped_column(server_default=Clock())
    changed_by: Mapped[str] = mapped_column(String(100), default="")
    reloaded_at: Mapped[datetime | None]
