"""Accounts with their health, the articles of publish tasks, and the one slot of each account on allocations."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from backend.store.columns import UtcDateTime, ascii_key, long_text

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: what the previous release reads stays."""
    _accounts()
    _tasks()
    _add(
        "allocations",
        ("account_id", ascii_key(36)),
        ("active_account_id", ascii_key(36)),
        ("errand", ascii_key(8)),
        ("credential_version", sa.Integer()),
    )
    _index("allocations", "active_account_id", unique=True)
    _index("allocations", "account_id", "id")


def _add(table: str, *columns: tuple[Any, ...]) -> None:
    """Add columns: of a name and a type, and of a default where they must hold something."""
    for name, kind, *default in columns:
        if default:
            column = sa.Column(name, kind, server_default=default[0], nullable=False)
        else:
            column = sa.Column(name, kind, nullable=True)
        op.add_column(table, column)


def _index(table: str, *columns: str, unique: bool = False) -> None:
    op.create_index(op.f("_".join(("ix", table, *columns))), table, list(columns), unique=unique)


def _accounts() -> None:
    table = "publish_accounts"
    if op.get_context().dialect.name != "sqlite":
        # A browser's exported cookies, encrypted, can exceed 64 kB.
        op.alter_column(table, "credentials", type_=long_text(), existing_nullable=False)
    _add(
        table,
        ("user_id", ascii_key(36), ""),
        ("health", ascii_key(16), "unknown"),
        ("health_code", ascii_key(64), ""),
        ("health_reason", sa.String(length=500), ""),
        ("cooling_until", UtcDateTime()),
        ("expires_at", UtcDateTime()),
        ("checked_at", UtcDateTime()),
        ("check_due_at", UtcDateTime()),
        ("errand_wanted", ascii_key(8)),
        ("last_used_at", UtcDateTime()),
        ("min_gap_seconds", sa.Integer()),
        ("daily_limit", sa.Integer()),
        ("is_active", sa.Boolean(), sa.true()),
        ("profile", sa.String(length=255), ""),
        ("login_prompt", sa.Text()),
        ("login_prompt_until", UtcDateTime()),
        ("updated_at", UtcDateTime()),
    )
    _index(table, "user_id", "platform", "name", unique=True)
    _index(table, "check_due_at")
    _index(table, "errand_wanted")
    _index(table, "health", "cooling_until")


def _tasks() -> None:
    table = "publish_tasks"
    _add(
        table,
        ("platform", ascii_key(32), ""),
        ("group_id", ascii_key(36)),
        ("title", sa.String(length=500), ""),
        ("content", long_text()),
        ("content_format", ascii_key(16), "markdown"),
        ("cover", sa.String(length=2048), ""),
        ("tags", sa.JSON()),
        ("draft", sa.Boolean(), sa.false()),
        ("priority", sa.Integer(), "0"),
        ("scheduled_at", UtcDateTime()),
        ("not_before", UtcDateTime()),
        ("fingerprint", ascii_key(64), ""),
        ("reason_code", ascii_key(64), ""),
        ("error_code", ascii_key(64), ""),
        ("error_message", sa.Text()),
        ("warnings", sa.JSON()),
        ("known_ids", sa.JSON()),
        ("key", ascii_key(64), ""),
        ("platform_id", sa.String(length=255), ""),
        ("result_url", sa.String(length=2048), ""),
        ("attempts", sa.Integer(), "0"),
        ("confirmations", sa.Integer(), "0"),
        ("errors", sa.JSON()),
        ("cancel_requested", sa.Boolean(), sa.false()),
        ("admitted_at", UtcDateTime()),
        ("started_at", UtcDateTime()),
        ("completed_at", UtcDateTime()),
    )
    admission = ["state", "account_id", "user_id", "not_before", "submitted_at", "priority", "id"]
    op.create_index("ix_publish_tasks_admission", table, admission)
    for columns in (
        ("state", "not_before", "id"),
        ("state", "user_id", "id"),
        ("user_id", "id"),
        ("user_id", "admitted_at"),
        ("account_id", "fingerprint", "id"),
        ("account_id", "submitted_at"),
        ("group_id",),
    ):
        _index(table, *columns)
