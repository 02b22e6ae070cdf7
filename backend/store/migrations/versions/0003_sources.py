"""Broken and moved feeds, hosts that asked to be left alone, and alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import Clock, UtcDateTime, ascii_key
from backend.store.tables.base import SERIAL

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    op.add_column("feeds", sa.Column("failure_count", sa.Integer(), server_default="0", nullable=False))
    op.add_column("feeds", sa.Column("next_check_at", UtcDateTime(), nullable=True))
    op.add_column("feeds", sa.Column("paused_reason", ascii_key(64), server_default="", nullable=False))
    op.add_column("work_items", sa.Column("host", ascii_key(255), server_default="", nullable=False))
    op.create_index(op.f("ix_work_items_state_host"), "work_items", ["state", "host"])
    op.create_table(
        "feed_moves",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("feed_id", ascii_key(64), nullable=False),
        sa.Column("from_url", sa.String(length=2048), nullable=False),
        sa.Column("to_url", sa.String(length=2048), nullable=False),
        sa.Column("at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed_moves")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_feed_moves_feed_id_id"), "feed_moves", ["feed_id", "id"])
    op.create_table(
        "hosts",
        sa.Column("name", ascii_key(255), nullable=False),
        sa.Column("held_until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_hosts")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_hosts_held_until"), "hosts", ["held_until"])
    op.create_table(
        "alerts",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("rule", ascii_key(64), nullable=False),
        sa.Column("subject", ascii_key(64), nullable=False),
        sa.Column("open_key", ascii_key(160), nullable=True),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("open_key", name=op.f("uq_alerts_open_key")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_alerts_closed_at_id"), "alerts", ["closed_at", "id"])
