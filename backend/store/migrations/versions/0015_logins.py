"""What the page of a login showed when only a person could go on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import Clock, UtcDateTime, ascii_key, long_text

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    op.create_table(
        "login_screenshots",
        sa.Column("account_id", ascii_key(36), nullable=False),
        sa.Column("image", long_text(), nullable=False),
        sa.Column("taken_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_login_screenshots")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
