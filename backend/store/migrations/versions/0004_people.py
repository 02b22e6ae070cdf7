"""Logins that can be ended one by one, and access keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import Clock, UtcDateTime, ascii_key

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    op.create_table(
        "logins",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("user_id", ascii_key(36), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logins")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_logins_user_id"), "logins", ["user_id"])
    op.create_index(op.f("ix_logins_expires_at"), "logins", ["expires_at"])
    op.create_table(
        "access_keys",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("user_id", ascii_key(36), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("access_key", ascii_key(34), nullable=False),
        sa.Column("secret_hash", ascii_key(64), nullable=False),
        sa.Column("role", ascii_key(16), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_keys")),
        sa.UniqueConstraint("access_key", name=op.f("uq_access_keys_access_key")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_access_keys_user_id"), "access_keys", ["user_id"])
