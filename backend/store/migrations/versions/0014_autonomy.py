"""Message tasks that a child runs by itself while its parent is away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import ascii_key

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    op.add_column("message_tasks", sa.Column("autonomous_node_id", ascii_key(36), nullable=True))
    op.create_index(op.f("ix_message_tasks_autonomous_node_id"), "message_tasks", ["autonomous_node_id"])
