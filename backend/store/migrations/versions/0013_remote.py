"""What the parent keeps of our own remote nodes: join tokens, capabilities, and outcomes that arrive in chunks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import Clock, UtcDateTime, ascii_key, chunk

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    op.add_column("nodes", sa.Column("protocol", sa.Integer(), nullable=True))
    op.add_column("nodes", sa.Column("publishers", sa.JSON(), nullable=True))
    _make_join_tokens()
    _make_staged_chunks()


def _make_join_tokens() -> None:
    op.create_table(
        "join_tokens",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("node_id", ascii_key(36), nullable=False),
        sa.Column("secret_hash", ascii_key(64), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.Column("used_by", ascii_key(36), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_join_tokens")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_join_tokens_secret_hash")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_join_tokens_node_id"), "join_tokens", ["node_id"], unique=False)
    op.create_index(op.f("ix_join_tokens_expires_at"), "join_tokens", ["expires_at"], unique=False)


def _make_staged_chunks() -> None:
    op.create_table(
        "staged_chunks",
        sa.Column("id", ascii_key(48), nullable=False),
        sa.Column("node_id", ascii_key(36), nullable=False),
        sa.Column("allocation_id", ascii_key(36), nullable=False),
        sa.Column("execution", ascii_key(36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("content", chunk(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staged_chunks")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_staged_chunks_execution"), "staged_chunks", ["execution"], unique=False)
    op.create_index(op.f("ix_staged_chunks_node_id"), "staged_chunks", ["node_id"], unique=False)
    op.create_index(op.f("ix_staged_chunks_created_at"), "staged_chunks", ["created_at"], unique=False)
