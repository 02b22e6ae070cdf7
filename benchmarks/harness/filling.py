"""Fills every table with as many rows as asked, in the server itself: what has ended, what waits, what runs.

A table that nobody described here gets rows of its column types, so that a new table is filled from its first day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Connection, DateTime, Engine, Integer, Table, UniqueConstraint

from backend.store.tables import Base

BIG_NODE, REMOTE_NODE = 1, 72
"""An attached node with a third of all work, and a remote one of whose work the most is pending."""
NODES, TASKS, RECEIVERS = 1000, 100, 50
SMALL = {
    "locks": 0,
    "pulse": 0,
    "beats": 2,
    "users": 0,
    "nodes": NODES,
    "message_tasks": TASKS,
    "scheduler": 0,
    "watch": 0,
    "node_credentials": NODES,
}
"""Tables that stay small however long a system runs, or that the system fills itself."""


def identifier(number: str) -> str:
    """SQL of an id older than any that is drawn today."""
    return f"CONCAT('01000000-0000-7000-8000-', LPAD({number}, 12, '0'))"


def identifier_of(number: int) -> str:
    """The id that `identifier` makes of the number."""
    return f"01000000-0000-7000-8000-{number:012d}"


def _by_hundredth(cases: Mapping[int, str]) -> str:
    """SQL of a value by seq modulo 100: each key is the end of its range."""
    whens = " ".join(f"WHEN seq % 100 < {end} THEN {value}" for end, value in sorted(cases.items()))
    return f"CASE {whens} END"


PAST, FUTURE = "(UTC_TIMESTAMP(6) - INTERVAL 1 HOUR)", "(UTC_TIMESTAMP(6) + INTERVAL 1 HOUR)"
NODE_OF = identifier(f"IF(seq % 3 = 0, {BIG_NODE}, 1 + seq % {NODES})")
# Numbers that end in 99: runs that are running.
RUN_OF = identifier("100 * (1 + seq DIV 1000) - 1")

ROWS: dict[str, dict[str, str]] = {
    "nodes": {
        "name": "CONCAT('filled-', seq)",
        "slug": "CONCAT('filled-', seq)",
        "transport": "IF(seq % 2 = 1, 'attached', 'remote')",
        "kinds": "'[\"update\"]'",
        "feed_quota": "'{}'",
        "node_type": "1",
        "max_capacity": "200",
        "instance": "'filled'",
        # A few are gone, so that their work must be planned again; the rest is online.
        "presence_at": f"IF(seq % 100 = 7, {PAST}, UTC_TIMESTAMP(6))",
    },
    "feeds": {
        "kind": "'rss'",
        "name": "CONCAT('Feed ', seq)",
        "url": "CONCAT('https://feeds.example/', seq)",
        "is_active": "1",
    },
    "articles": {"feed_id": identifier("1 + seq % 1000"), "first_stored_at": "UTC_TIMESTAMP(6)"},
    "message_tasks": {
        "name": "CONCAT('Task ', seq)",
        "enabled": "1",
        "receiver": f"CONCAT('receiver-', seq % {RECEIVERS})",
        "cron_exp": "'0 * * * *'",
        "time_zone": "'UTC'",
        "overlap": "'allow'",
        # Some are due; some have no time yet, as after an update from before schedules.
        "next_fire_at": f"CASE WHEN seq % 20 = 0 THEN {PAST} WHEN seq % 20 = 1 THEN NULL ELSE {FUTURE} END",
    },
    "ticks": {
        "task_id": identifier(f"1 + seq % {TASKS}"),
        "planned_at": "UTC_TIMESTAMP(6) - INTERVAL seq MINUTE",
        "last_planned_at": "UTC_TIMESTAMP(6) - INTERVAL seq MINUTE",
        "state": "'fired'",
        "decided_at": "UTC_TIMESTAMP(6) - INTERVAL seq MINUTE",
    },
    "message_task_feeds": {"task_id": identifier(f"1 + seq % {TASKS}"), "feed_id": identifier("seq")},
    "runs": {
        "task_id": identifier(f"1 + seq % {TASKS}"),
        "state": _by_hundredth({97: "'completed'", 98: "'queued'", 100: "'running'"}),
    },
    "work_items": {
        "run_id": RUN_OF,
        "task_id": identifier(f"1 + seq % {TASKS}"),
        "feed_id": identifier("seq"),
        "feed_kind": "'rss'",
        "host": "CONCAT('host-', seq % 20000)",
        "state": _by_hundredth({55: "'done'", 95: "'waiting'", 100: "'assigned'"}),
        "not_before": _by_hundredth({93: "NULL", 94: PAST, 95: FUTURE, 100: "NULL"}),
        "node_id": f"IF(seq % 100 >= 95, {NODE_OF}, NULL)",
        "allocation_id": f"IF(seq % 100 >= 95, {identifier('seq')}, NULL)",
        "execution": f"IF(seq % 100 >= 95, {identifier('seq')}, NULL)",
    },
    "allocations": {
        "kind": "'update'",
        "queue": f"CONCAT('node:filled-', IF(seq % 3 = 0, {BIG_NODE}, 1 + seq % {NODES}))",
        "node_id": NODE_OF,
        "run_id": RUN_OF,
        "task_id": identifier(f"1 + seq % {TASKS}"),
        "state": _by_hundredth({60: "'completed'", 95: "'pending'", 99: "'executing'", 100: "'claimed'"}),
        "execution": f"IF(seq % 100 >= 95, {identifier('seq')}, NULL)",
        "instance": "IF(seq % 100 >= 95, 'filled', NULL)",
        "lease_until": _by_hundredth({95: "NULL", 98: FUTURE, 99: PAST, 100: FUTURE}),
        "item_count": "10",
        "updated_at": PAST,
    },
    "deliveries": {
        "task_id": identifier(f"1 + seq % {TASKS}"),
        "feed_id": identifier("seq"),
        "receiver": f"CONCAT('receiver-', seq % {RECEIVERS})",
        "receiver_kind": "'webhook'",
        "state": _by_hundredth({60: "'delivered'", 65: "'failed'", 100: "'waiting'"}),
        "not_before": _by_hundredth({98: "NULL", 99: PAST, 100: FUTURE}),
        "attempted_at": f"IF(seq % 100 < 60, {PAST}, NULL)",
    },
    "delivery_articles": {
        "task_id": identifier(f"1 + seq % {TASKS}"),
        "article_id": identifier("seq"),
        "delivery_id": identifier("seq"),
    },
    "history": {
        "noun": "'allocation'",
        "subject_id": identifier("seq"),
        "from_state": "'pending'",
        "to_state": "'executing'",
    },
}


def fill(engine: Engine, count: int) -> None:
    """Insert the rows, and have the server look at them: plans depend on its statistics."""
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            _fill(connection, table, SMALL.get(table.name, count))
    with engine.connect() as connection:
        for table in Base.metadata.sorted_tables:
            connection.exec_driver_sql(f"ANALYZE TABLE {table.name}").all()


def _fill(connection: Connection, table: Table, count: int) -> None:
    holds_something = connection.exec_driver_sql(f"SELECT 1 FROM {table.name} LIMIT 1").first() is not None  # noqa: S608
    # What a migration put in stays as it is: one row, mostly.
    if not count or holds_something:
        return
    described = ROWS.get(table.name, {})
    values = {column.name: described.get(column.name) or _value(column) for column in table.columns}
    given = {name: value for name, value in values.items() if value}
    names = ", ".join(f"`{name}`" for name in given)
    chosen = ", ".join(given.values())
    statement = f"INSERT IGNORE INTO {table.name} ({names}) SELECT {chosen} FROM seq_1_to_{count}"  # noqa: S608
    connection.exec_driver_sql(statement.replace("%", "%%"))


def _value(column: Column[Any]) -> str:
    """SQL of a value by the column's type; nothing where the server fills in."""
    if _is_unique(column):
        return "" if column.autoincrement is True else _unique(column)
    if column.nullable or column.server_default is not None:
        return ""
    if isinstance(column.type, JSON):
        return "'[]'"
    if isinstance(column.type, Integer | Boolean):
        return "0"
    return PAST if isinstance(column.type, DateTime) or "DateTime" in type(column.type).__name__ else "''"


def _unique(column: Column[Any]) -> str:
    return "seq" if isinstance(column.type, Integer) else identifier("seq")


def _is_unique(column: Column[Any]) -> bool:
    table = column.table
    assert isinstance(table, Table)
    constrained = [one for one in table.constraints if isinstance(one, UniqueConstraint)]
    return column.primary_key or any(column.name in one.columns for one in constrained)
