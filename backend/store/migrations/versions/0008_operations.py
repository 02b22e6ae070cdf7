"""Selections for changing many allocations at once, and indexes for people's lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import Clock, UtcDateTime, ascii_key

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    op.create_table(
        "selections",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("action", ascii_key(16), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("filters", sa.JSON(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_selections")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_selections_expires_at"), "selections", ["expires_at"])
    op.create_table(
        "selection_parts",
        sa.Column("selection_id", ascii_key(36), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("allocation_ids", sa.JSON(), nullable=False),
        sa.Column("done_at", UtcDateTime(), nullable=True),
        sa.Column("outcomes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("selection_id", "position", name=op.f("pk_selection_parts")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_selection_parts_selection_id_done_at_position"),
        "selection_parts",
        ["selection_id", "done_at", "position"],
    )
    op.create_index(op.f("ix_allocations_node_id_id"), "allocations", ["node_id", "id"])
    op.create_index(op.f("ix_work_items_feed_id_id"), "work_items", ["feed_id", "id"])
