"""What alarms and the proof of flowing work need."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from backend.store.columns import Clock, UtcDateTime, ascii_key

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

MYSQL: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_ci",
    "mysql_engine": "InnoDB",
}


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    for column in (
        sa.Column("severity", ascii_key(16), server_default="warning", nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=True),
        sa.Column("seen_count", sa.Integer(), server_default="1", nullable=False),
        sa.Column("close_reason", sa.String(length=255), server_default="", nullable=False),
        sa.Column("acknowledged_at", UtcDateTime(), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=100), server_default="", nullable=False),
        sa.Column("note", sa.String(length=500), server_default="", nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=True),
        sa.Column("told_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("told_closed", sa.Boolean(), server_default=sa.false(), nullable=False),
    ):
        op.add_column("alerts", column)
    for column in (
        sa.Column("machine", sa.String(length=100), server_default="", nullable=False),
        sa.Column("disk_free", sa.BigInteger(), nullable=True),
        sa.Column("disk_total", sa.BigInteger(), nullable=True),
    ):
        op.add_column("nodes", column)
    op.add_column("pulse", sa.Column("swept_at", UtcDateTime(), nullable=True))
    _make_notices()
    _make_queue_health()


def _make_notices() -> None:
    op.create_table(
        "alert_notices",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("alert_id", ascii_key(36), nullable=False),
        sa.Column("kind", ascii_key(16), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("receiver", ascii_key(64), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=True),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("error_code", ascii_key(64), server_default="", nullable=False),
        sa.Column("error_message", sa.String(length=500), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_notices")),
        sa.UniqueConstraint(
            "alert_id", "round", "receiver", name=op.f("uq_alert_notices_alert_id_round_receiver")
        ),
        **MYSQL,
    )
    op.create_index(op.f("ix_alert_notices_not_before"), "alert_notices", ["not_before"])


def _make_queue_health() -> None:
    op.create_table(
        "queue_health",
        sa.Column("queue", ascii_key(96), nullable=False),
        sa.Column("served_at", UtcDateTime(), nullable=True),
        sa.Column("served_since", UtcDateTime(), nullable=True),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
        sa.Column("canary", ascii_key(36), nullable=True),
        sa.Column("canary_since", UtcDateTime(), nullable=True),
        sa.Column("canary_sent_at", UtcDateTime(), nullable=True),
        sa.Column("canary_begun_at", UtcDateTime(), nullable=True),
        sa.Column("canary_settled_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("queue", name=op.f("pk_queue_health")),
        **MYSQL,
    )
    op.create_table(
        "watch",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("turn_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("since", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watch")),
        **MYSQL,
    )
    op.create_table(
        "vitals",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("process", sa.String(length=100), nullable=False),
        sa.Column("machine", sa.String(length=100), nullable=False),
        sa.Column("pool_used", sa.Integer(), nullable=False),
        sa.Column("pool_size", sa.Integer(), nullable=False),
        sa.Column("disk_free", sa.BigInteger(), nullable=False),
        sa.Column("disk_total", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vitals")),
        **MYSQL,
    )
