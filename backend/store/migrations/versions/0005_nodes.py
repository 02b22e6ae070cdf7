"""Credentials of remote nodes, what nodes say of themselves, and WeChat's ids of feeds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import Clock, UtcDateTime, ascii_key

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    op.create_table(
        "node_credentials",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("node_id", ascii_key(36), nullable=False),
        sa.Column("api_key", ascii_key(100), nullable=False),
        sa.Column("secret_hash", ascii_key(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_node_credentials")),
        sa.UniqueConstraint("api_key", name=op.f("uq_node_credentials_api_key")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_node_credentials_node_id_expires_at"),
        "node_credentials",
        ["node_id", "expires_at"],
        unique=False,
    )
    op.add_column("nodes", sa.Column("sources", sa.JSON(), nullable=True))
    op.add_column(
        "nodes", sa.Column("callback_url", sa.String(length=512), server_default="", nullable=False)
    )
    op.add_column("nodes", sa.Column("synced_at", UtcDateTime(), nullable=True))
    op.add_column("nodes", sa.Column("updated_at", UtcDateTime(), nullable=True))
    op.add_column("feeds", sa.Column("faker_id", ascii_key(255), server_default="", nullable=False))
    op.add_column("work_items", sa.Column("feed_kind", ascii_key(32), server_default="rss", nullable=False))
    op.execute(
        "UPDATE work_items SET feed_kind = COALESCE("
        "(SELECT feeds.kind FROM feeds WHERE feeds.id = work_items.feed_id), feed_kind)"
    )
    op.create_index(
        op.f("ix_work_items_state_not_before_feed_kind_id"),
        "work_items",
        ["state", "not_before", "feed_kind", "id"],
        unique=False,
    )
    op.drop_index(op.f("ix_work_items_state_not_before_id"), table_name="work_items")
