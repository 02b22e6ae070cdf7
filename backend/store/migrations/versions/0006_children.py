"""What children report, the log of what moved, and how allocations were claimed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import Clock, UtcDateTime, ascii_key

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    op.create_table(
        "results",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("digest", ascii_key(64), nullable=False),
        sa.Column("node_id", ascii_key(36), nullable=False),
        sa.Column("task_id", ascii_key(64), nullable=False),
        sa.Column("allocation_id", ascii_key(36), nullable=True),
        sa.Column("feed_id", ascii_key(64), nullable=False),
        sa.Column("feed_name", sa.String(length=255), nullable=False),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.Column("article_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("success_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("reported_at", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_results")),
        sa.UniqueConstraint("digest", name=op.f("uq_results_digest")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_results_task_id_id"), "results", ["task_id", "id"], unique=False)
    op.create_index(op.f("ix_results_node_id_id"), "results", ["node_id", "id"], unique=False)
    op.create_index(op.f("ix_results_created_at"), "results", ["created_at"], unique=False)
    op.create_table(
        "sync_logs",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("node_id", ascii_key(36), nullable=False),
        sa.Column("operation", ascii_key(32), nullable=False),
        sa.Column("direction", ascii_key(8), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("data_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("duration_ms", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("extra_data", sa.JSON(), nullable=False),
        sa.Column("completed_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_logs")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_sync_logs_node_id_id"), "sync_logs", ["node_id", "id"], unique=False)
    op.create_index(op.f("ix_sync_logs_operation_id"), "sync_logs", ["operation", "id"], unique=False)
    op.create_index(op.f("ix_sync_logs_completed_at"), "sync_logs", ["completed_at"], unique=False)
    op.add_column("nodes", sa.Column("reported_capacity", sa.Integer(), nullable=True))
    op.add_column("nodes", sa.Column("empty_claims", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column(
        "allocations", sa.Column("polled", sa.Boolean(), server_default=sa.text("0"), nullable=False)
    )
