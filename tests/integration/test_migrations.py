"""Rows from before a migration survive it, and mean the same afterwards."""

from __future__ import annotations

from alembic import command
from sqlalchemy import Engine, text

from backend.store import migrate, nodes, schema
from backend.store.planning import waiting_items, waiting_kinds
from backend.store.session import create_engine_for, read
from backend.store.tables import Allocation, Node
from tests.building import row_of

NODE = (
    "INSERT INTO nodes (id, name, slug, transport, description, api_url, feed_quota, kinds, instance, version)"
    " VALUES ('n', 'old', 'old', 'remote', '', '', '{}', '[\"update\"]', '', '')"
)
FEED = (
    "INSERT INTO feeds (id, kind, name, url, url_hash, cover, intro, etag, last_modified, error_code, error_message)"
    " VALUES ('f', 'podcast', 'F', 'https://a.example/', 'h', '', '', '', '', '', '')"
)
ITEM = (
    "INSERT INTO work_items (id, run_id, task_id, feed_id, state, reason, errors, error_code, error_message)"
    " VALUES ('{0}', 'r', 't', '{1}', 'waiting', '', '[]', '', '')"
)
ALLOCATION = (
    "INSERT INTO allocations (id, kind, queue, node_id, state, reason, error_code, error_message, feed_ids)"
    " VALUES ('a', 'update', 'node:old', 'n', 'claimed', '', '', '', '[]')"
)


def upgrade_to(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        command.upgrade(migrate._alembic(connection), revision)


def test_a_claimed_allocation_and_its_node_from_before_0006_are_there_afterwards(database_url: str) -> None:
    engine = create_engine_for(database_url, pooled=False)
    upgrade_to(engine, "0005")
    with engine.begin() as connection:
        for statement in (NODE, ALLOCATION):
            connection.execute(text(statement))
    migrate.upgrade(engine)
    node, allocation = row_of(engine, Node), row_of(engine, Allocation)
    assert (node.empty_claims, node.reported_capacity) == (0, None)
    assert (allocation.state, allocation.polled) == ("claimed", False)
    engine.dispose()


def test_nodes_and_waiting_items_from_before_0005_are_there_afterwards(database_url: str) -> None:
    engine = create_engine_for(database_url, pooled=False)
    upgrade_to(engine, "0004")
    with engine.begin() as connection:
        for statement in (NODE, FEED, ITEM.format("i1", "f"), ITEM.format("i2", "gone")):
            connection.execute(text(statement))
    assert schema.schema_state(engine) == "behind"
    migrate.upgrade(engine)
    [view] = read(engine, nodes.list_nodes)
    assert (view.name, view.api_key, view.callback_url, view.sources) == ("old", "", "", None)
    assert view.updated_at == view.created_at
    assert read(engine, waiting_kinds) == ["podcast", "rss"]
    found = read(engine, lambda session: waiting_items(session, {"podcast": 5, "rss": 5}))
    assert [(item.item_id, item.kind) for item in found] == [("i1", "podcast"), ("i2", "rss")]
    engine.dispose()
