"""Requests that must take effect once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import Clock, UtcDateTime, ascii_key, long_text

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    op.create_table(
        "idempotent_requests",
        sa.Column("id", ascii_key(64), nullable=False),
        sa.Column("fingerprint", ascii_key(64), nullable=False),
        sa.Column("execution", ascii_key(36), nullable=False),
        sa.Column("taken_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("took_effect", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("answer", long_text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotent_requests")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_idempotent_requests_created_at"), "idempotent_requests", ["created_at"], unique=False
    )
