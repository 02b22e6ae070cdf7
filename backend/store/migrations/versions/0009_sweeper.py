"""What nodes report of their outboxes, and what the sweeper looks through."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    op.add_column("nodes", sa.Column("outbox_entries", sa.Integer(), server_default="0", nullable=False))
    op.add_column("nodes", sa.Column("outbox_oldest_at", UtcDateTime(), nullable=True))
    op.add_column("nodes", sa.Column("offline_at", UtcDateTime(), nullable=True))
    op.add_column("nodes", sa.Column("workerless_at", UtcDateTime(), nullable=True))
    op.create_index(
        op.f("ix_delivery_articles_article_id"), "delivery_articles", ["article_id"], unique=False
    )
    op.create_index(op.f("ix_publish_tasks_allocation_id"), "publish_tasks", ["allocation_id"], unique=False)
    op.add_column("nodes", sa.Column("outbox_dead", sa.Integer(), server_default="0", nullable=False))
