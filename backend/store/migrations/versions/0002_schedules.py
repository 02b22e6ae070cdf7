"""Tables and columns of schedules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import Clock, UtcDateTime, ascii_key

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    overlap = sa.Column("overlap", ascii_key(16), server_default="queue", nullable=False)
    op.add_column("message_tasks", overlap)
    op.add_column(
        "message_tasks", sa.Column("paused", sa.Boolean(), server_default=sa.text("0"), nullable=False)
    )
    # Filled by the first beat that starts: migrations do not know the rules of schedules.
    op.add_column("message_tasks", sa.Column("next_fire_at", UtcDateTime(), nullable=True))
    op.create_index(op.f("ix_message_tasks_next_fire_at"), "message_tasks", ["next_fire_at"], unique=False)
    op.create_index(op.f("ix_runs_task_id_state"), "runs", ["task_id", "state"], unique=False)
    op.create_table(
        "ticks",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("task_id", ascii_key(36), nullable=False),
        sa.Column("planned_at", UtcDateTime(), nullable=False),
        sa.Column("last_planned_at", UtcDateTime(), nullable=False),
        sa.Column("count", sa.Integer(), server_default="1", nullable=False),
        sa.Column("state", ascii_key(16), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("run_id", ascii_key(36), nullable=True),
        sa.Column("decided_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("late_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticks")),
        sa.UniqueConstraint("task_id", "planned_at", name=op.f("uq_ticks_task_id_planned_at")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_ticks_decided_at"), "ticks", ["decided_at"], unique=False)
    op.create_table(
        "scheduler",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("running", sa.Boolean(), server_default=sa.text("1"), nullable=False),
        sa.Column("changed_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("changed_by", sa.String(length=100), nullable=False),
        sa.Column("reloaded_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scheduler")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    scheduler = sa.table("scheduler", sa.column("id", sa.Integer), sa.column("changed_by", sa.String))
    op.bulk_insert(scheduler, [{"id": 1, "changed_by": "installation"}])
