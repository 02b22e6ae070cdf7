"""The history, and what keeps the parent's processes in step."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Index,
    Integer,
    String,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock, ascii_key
from backend.store.tables.base import ID, MYSQL, SERIAL, STATE, Base


class History(Base):
    """One transition of a run, an allocation or a publish task: who, when, from, to, why."""

    __tablename__ = "history"
    __table_args__ = (Index(None, "noun", "subject_id", "id"), Index(None, "at"), MYSQL)

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    noun: Mapped[str] = mapped_column(ascii_key(16))
    subject_id: Mapped[str] = mapped_column(ID)
    at: Mapped[datetime] = mapped_column(server_default=Clock())
    actor: Mapped[str] = mapped_column(String(100))
    from_state: Mapped[str] = mapped_column(STATE)
    to_state: Mapped[str] = mapped_column(STATE)
    reason: Mapped[str] = mapped_column(String(500))


class Lock(Base):
    """A row to lock: the pump's."""

    __tablename__ = "locks"
    __table_args__ = (MYSQL,)

    name: Mapped[str] = mapped_column(ascii_key(32), primary_key=True)


class Beat(Base):
    """One beat process, seen alive."""

    __tablename__ = "beats"
    __table_args__ = (MYSQL,)

    instance: Mapped[str] = mapped_column(ID, primary_key=True)
    alive_at: Mapped[datetime] = mapped_column(server_default=Clock())


class Pulse(Base):
    """The one row that says when renewals could last arrive, from when leases may be recovered again, and when somebody last swept."""

    __tablename__ = "pulse"
    __table_args__ = (MYSQL,)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    alive_at: Mapped[datetime] = mapped_column(server_default=Clock())
    recover_after: Mapped[datetime] = mapped_column(server_default=Clock())
    swept_at: Mapped[datetime | None]
