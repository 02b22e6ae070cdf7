"""What people are alarmed about, who was told, and whether work flows through the queues."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Index, Integer, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.columns import Clock, ascii_key
from backend.store.tables.base import FEED_ID, ID, MYSQL, Base


class Alert(Base):
    """Something that a person should look at. `open_key` (rule and subject) is unique while it is open, NULL afterwards.

    `seen_at` and `seen_count` tell when and how often its rule was found true; `told_at` is when notices of it were
    last made, `told_count` how often, `told_closed` whether one of its end was among them.
    """

    __tablename__ = "alerts"
    __table_args__ = (UniqueConstraint("open_key"), Index(None, "closed_at", "id"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    rule: Mapped[str] = mapped_column(ascii_key(64))
    subject: Mapped[str] = mapped_column(FEED_ID)
    severity: Mapped[str] = mapped_column(ascii_key(16), server_default="warning")
    open_key: Mapped[str | None] = mapped_column(ascii_key(160))
    params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    opened_at: Mapped[datetime] = mapped_column(server_default=Clock())
    seen_at: Mapped[datetime | None]
    seen_count: Mapped[int] = mapped_column(Integer, server_default="1")
    closed_at: Mapped[datetime | None]
    close_reason: Mapped[str] = mapped_column(String(255), server_default="")
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str] = mapped_column(String(100), server_default="")
    note: Mapped[str] = mapped_column(String(500), server_default="")
    told_at: Mapped[datetime | None]
    told_count: Mapped[int] = mapped_column(Integer, server_default="0")
    told_closed: Mapped[bool] = mapped_column(Boolean, server_default=false())


class AlertNotice(Base):
    """One message about an alert to one receiver, of which only a digest is known here.

    `not_before` is when it may be tried (again), NULL once nobody will; `attempts` fences who tries.
    """

    __tablename__ = "alert_notices"
    __table_args__ = (UniqueConstraint("alert_id", "round", "receiver"), Index(None, "not_before"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    alert_id: Mapped[str] = mapped_column(ID)
    kind: Mapped[str] = mapped_column(ascii_key(16))
    round: Mapped[int] = mapped_column(Integer)
    receiver: Mapped[str] = mapped_column(ascii_key(64))
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    not_before: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    error_code: Mapped[str] = mapped_column(ascii_key(64), server_default="")
    error_message: Mapped[str] = mapped_column(String(500), server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=Clock())


class QueueHealth(Base):
    """Whether work flows through one queue: its last real settle, and its canary, one row that is written again and again.

    `served_at` and `served_since` are when it had live workers last, and from when on without a break. `canary` is the
    token of the one on its way; `canary_since` from when on proof is awaited, however often the canary was sent anew.
    """

    __tablename__ = "queue_health"
    __table_args__ = (MYSQL,)

    queue: Mapped[str] = mapped_column(ascii_key(96), primary_key=True)
    served_at: Mapped[datetime | None]
    served_since: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    canary: Mapped[str | None] = mapped_column(ID)
    canary_since: Mapped[datetime | None]
    canary_sent_at: Mapped[datetime | None]
    canary_begun_at: Mapped[datetime | None]
    canary_settled_at: Mapped[datetime | None]


class Watch(Base):
    """The one row that says when somebody last looked whether alarms are due, and since when without a gap."""

    __tablename__ = "watch"
    __table_args__ = (MYSQL,)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    turn_at: Mapped[datetime] = mapped_column(server_default=Clock())
    since: Mapped[datetime] = mapped_column(server_default=Clock())


class Vitals(Base):
    """What a process of the parent last said of itself: its pool of database connections, and its machine's disk."""

    __tablename__ = "vitals"
    __table_args__ = (MYSQL,)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    process: Mapped[str] = mapped_column(String(100))
    machine: Mapped[str] = mapped_column(String(100))
    pool_used: Mapped[int] = mapped_column(Integer)
    pool_size: Mapped[int] = mapped_column(Integer)
    disk_free: Mapped[int] = mapped_column(BigInteger)
    disk_total: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[datetime] = mapped_column(server_default=Clock())
