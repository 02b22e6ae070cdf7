"""What the recovery of dead workers needs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import ascii_key

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    op.add_column("allocations", sa.Column("worker", ascii_key(36), nullable=True))
    op.add_column("allocations", sa.Column("alone", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("deliveries", sa.Column("errors", sa.JSON(), nullable=True))
