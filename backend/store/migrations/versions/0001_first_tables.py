"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import Clock, UtcDateTime, ascii_key, long_text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table and index."""
    op.create_table(
        "allocations",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("kind", ascii_key(16), nullable=False),
        sa.Column("queue", ascii_key(96), nullable=False),
        sa.Column("node_id", ascii_key(36), nullable=False),
        sa.Column("run_id", ascii_key(36), nullable=True),
        sa.Column("task_id", ascii_key(36), nullable=True),
        sa.Column("state", ascii_key(16), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="1", nullable=False),
        sa.Column("execution", ascii_key(36), nullable=True),
        sa.Column("settled_by", ascii_key(36), nullable=True),
        sa.Column("instance", ascii_key(36), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("claim_id", ascii_key(64), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("error_code", ascii_key(64), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("feed_ids", sa.JSON(), nullable=False),
        sa.Column("item_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("article_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("new_article_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("claimed_at", UtcDateTime(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("updated_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_allocations")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_allocations_kind_id"), "allocations", ["kind", "id"], unique=False)
    op.create_index(
        op.f("ix_allocations_node_id_claim_id"), "allocations", ["node_id", "claim_id"], unique=False
    )
    op.create_index(op.f("ix_allocations_node_id_state"), "allocations", ["node_id", "state"], unique=False)
    op.create_index(
        op.f("ix_allocations_queue_state_id"), "allocations", ["queue", "state", "id"], unique=False
    )
    op.create_index(op.f("ix_allocations_run_id_id"), "allocations", ["run_id", "id"], unique=False)
    op.create_index(
        op.f("ix_allocations_state_lease_until"), "allocations", ["state", "lease_until"], unique=False
    )
    op.create_index(op.f("ix_allocations_task_id_id"), "allocations", ["task_id", "id"], unique=False)
    op.create_table(
        "articles",
        sa.Column("id", ascii_key(64), nullable=False),
        sa.Column("feed_id", ascii_key(64), nullable=False),
        sa.Column("key_hash", ascii_key(64), nullable=False),
        sa.Column("content_hash", ascii_key(64), nullable=False),
        sa.Column("title", sa.String(length=1000), nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("summary", long_text(), nullable=False),
        sa.Column("content", long_text(), nullable=False),
        sa.Column("author", sa.String(length=255), nullable=False),
        sa.Column("cover_url", sa.String(length=2048), nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=True),
        sa.Column("first_stored_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_articles")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_articles_key_hash")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_articles_feed_id_first_stored_at_id"),
        "articles",
        ["feed_id", "first_stored_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_articles_first_stored_at_id"), "articles", ["first_stored_at", "id"], unique=False
    )
    op.create_table(
        "beats",
        sa.Column("instance", ascii_key(36), nullable=False),
        sa.Column("alive_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("instance", name=op.f("pk_beats")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "deliveries",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("task_id", ascii_key(36), nullable=False),
        sa.Column("feed_id", ascii_key(64), nullable=False),
        sa.Column("run_id", ascii_key(36), nullable=True),
        sa.Column("allocation_id", ascii_key(36), nullable=True),
        sa.Column("receiver", ascii_key(64), nullable=False),
        sa.Column("receiver_kind", ascii_key(16), nullable=False),
        sa.Column("state", ascii_key(16), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("in_flight", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=True),
        sa.Column("body", long_text(), nullable=True),
        sa.Column("warning", sa.String(length=500), nullable=False),
        sa.Column("status_code", sa.Integer(), server_default="0", nullable=False),
        sa.Column("excerpt", sa.Text(), nullable=False),
        sa.Column("error_code", ascii_key(64), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("attempted_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_deliveries_allocation_id_id"), "deliveries", ["allocation_id", "id"], unique=False
    )
    op.create_index(
        op.f("ix_deliveries_receiver_attempted_at"), "deliveries", ["receiver", "attempted_at"], unique=False
    )
    op.create_index(op.f("ix_deliveries_run_id_state"), "deliveries", ["run_id", "state"], unique=False)
    op.create_index(
        op.f("ix_deliveries_state_not_before_id"), "deliveries", ["state", "not_before", "id"], unique=False
    )
    op.create_index(op.f("ix_deliveries_task_id_id"), "deliveries", ["task_id", "id"], unique=False)
    op.create_table(
        "delivery_articles",
        sa.Column("task_id", ascii_key(36), nullable=False),
        sa.Column("article_id", ascii_key(64), nullable=False),
        sa.Column("delivery_id", ascii_key(36), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "article_id", name=op.f("pk_delivery_articles")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_delivery_articles_delivery_id"), "delivery_articles", ["delivery_id"], unique=False
    )
    op.create_table(
        "feeds",
        sa.Column("id", ascii_key(64), nullable=False),
        sa.Column("kind", ascii_key(32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("url_hash", ascii_key(64), nullable=False),
        sa.Column("cover", sa.String(length=2048), nullable=False),
        sa.Column("intro", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("1"), nullable=False),
        sa.Column("etag", sa.String(length=512), nullable=False),
        sa.Column("last_modified", sa.String(length=128), nullable=False),
        sa.Column("collected_at", UtcDateTime(), nullable=True),
        sa.Column("error_code", ascii_key(64), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feeds")),
        sa.UniqueConstraint("url_hash", name=op.f("uq_feeds_url_hash")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_feeds_created_at_id"), "feeds", ["created_at", "id"], unique=False)
    op.create_table(
        "history",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("noun", ascii_key(16), nullable=False),
        sa.Column("subject_id", ascii_key(36), nullable=False),
        sa.Column("at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("from_state", ascii_key(16), nullable=False),
        sa.Column("to_state", ascii_key(16), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_history_at"), "history", ["at"], unique=False)
    op.create_index(
        op.f("ix_history_noun_subject_id_id"), "history", ["noun", "subject_id", "id"], unique=False
    )
    op.create_table(
        "locks",
        sa.Column("name", ascii_key(32), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_locks")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "message_task_feeds",
        sa.Column("task_id", ascii_key(36), nullable=False),
        sa.Column("feed_id", ascii_key(64), nullable=False),
        sa.Column("baseline_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "feed_id", name=op.f("pk_message_task_feeds")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_message_task_feeds_feed_id"), "message_task_feeds", ["feed_id"], unique=False)
    op.create_table(
        "message_tasks",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("all_feeds", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("message_type", sa.Integer(), server_default="0", nullable=False),
        sa.Column("message_template", sa.Text(), nullable=False),
        sa.Column("web_hook_url", sa.Text(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("cookies", sa.Text(), nullable=False),
        sa.Column("receiver", ascii_key(64), nullable=False),
        sa.Column("receiver_kind", ascii_key(16), nullable=False),
        sa.Column("cron_exp", sa.String(length=100), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("1"), nullable=False),
        sa.Column("baseline_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message_tasks")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_message_tasks_all_feeds_enabled"), "message_tasks", ["all_feeds", "enabled"], unique=False
    )
    op.create_index(
        op.f("ix_message_tasks_created_at_id"), "message_tasks", ["created_at", "id"], unique=False
    )
    op.create_table(
        "nodes",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("slug", ascii_key(64), nullable=False),
        sa.Column("node_type", sa.Integer(), server_default="1", nullable=False),
        sa.Column("transport", ascii_key(16), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("api_url", sa.String(length=512), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("1"), nullable=False),
        sa.Column("draining", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_capacity", sa.Integer(), server_default="10", nullable=False),
        sa.Column("feed_quota", sa.JSON(), nullable=False),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("instance", ascii_key(36), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("workers_alive", sa.Integer(), server_default="0", nullable=False),
        sa.Column("outbox_size", sa.Integer(), server_default="0", nullable=False),
        sa.Column("presence_at", UtcDateTime(), nullable=True),
        sa.Column("beat_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
        sa.UniqueConstraint("name", name=op.f("uq_nodes_name")),
        sa.UniqueConstraint("slug", name=op.f("uq_nodes_slug")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "publish_accounts",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("platform", ascii_key(32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("node_id", ascii_key(36), nullable=True),
        sa.Column("credentials", sa.Text(), nullable=False),
        sa.Column("credential_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publish_accounts")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "publish_tasks",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("user_id", ascii_key(36), nullable=False),
        sa.Column("account_id", ascii_key(36), nullable=False),
        sa.Column("active_account_id", ascii_key(36), nullable=True),
        sa.Column("allocation_id", ascii_key(36), nullable=True),
        sa.Column("state", ascii_key(16), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("draft_id", sa.String(length=255), nullable=True),
        sa.Column("submitted_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publish_tasks")),
        sa.UniqueConstraint("active_account_id", name=op.f("uq_publish_tasks_active_account_id")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_publish_tasks_state_id"), "publish_tasks", ["state", "id"], unique=False)
    op.create_table(
        "pulse",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("alive_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("recover_after", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pulse")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "runs",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("task_id", ascii_key(36), nullable=False),
        sa.Column("task_name", sa.String(length=100), nullable=False),
        sa.Column("trigger", ascii_key(16), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("state", ascii_key(16), nullable=False),
        sa.Column("cursor", ascii_key(64), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_runs_state_id"), "runs", ["state", "id"], unique=False)
    op.create_index(op.f("ix_runs_task_id_id"), "runs", ["task_id", "id"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("role", ascii_key(16), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("1"), nullable=False),
        sa.Column("token_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "work_items",
        sa.Column("id", ascii_key(36), nullable=False),
        sa.Column("run_id", ascii_key(36), nullable=False),
        sa.Column("task_id", ascii_key(36), nullable=False),
        sa.Column("feed_id", ascii_key(64), nullable=False),
        sa.Column("state", ascii_key(16), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=True),
        sa.Column("node_id", ascii_key(36), nullable=True),
        sa.Column("allocation_id", ascii_key(36), nullable=True),
        sa.Column("execution", ascii_key(36), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("deaths", sa.Integer(), server_default="0", nullable=False),
        sa.Column("batch_limit", sa.Integer(), nullable=True),
        sa.Column("errors", sa.JSON(), nullable=False),
        sa.Column("error_code", ascii_key(64), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("article_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("new_article_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=Clock(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_items")),
        sa.UniqueConstraint("run_id", "feed_id", name=op.f("uq_work_items_run_id_feed_id")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_work_items_allocation_id_id"), "work_items", ["allocation_id", "id"], unique=False
    )
    op.create_index(op.f("ix_work_items_run_id_state"), "work_items", ["run_id", "state"], unique=False)
    op.create_index(op.f("ix_work_items_state_node_id"), "work_items", ["state", "node_id"], unique=False)
    op.create_index(
        op.f("ix_work_items_state_not_before_id"), "work_items", ["state", "not_before", "id"], unique=False
    )
    op.bulk_insert(sa.table("locks", sa.column("name", sa.String)), [{"name": "pump"}])


def downgrade() -> None:
    """Migrations go forward only; restore a backup instead."""
    raise NotImplementedError
