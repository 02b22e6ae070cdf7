"""A database with much that has ended and a little that is stuck, made in the server itself."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, select, text, update

from backend.domain.identifiers import first_id_of
from backend.store import nodes, recovery
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import Base, Node

EXPIRED, STRANDED, LOST, DUE = 200, 200, 500, 100
STUCK = EXPIRED + STRANDED + LOST + DUE
PAST, AGO = "(UTC_TIMESTAMP(6) - INTERVAL 1 HOUR)", "(UTC_TIMESTAMP(6) - INTERVAL 2 HOUR)"
ROWS_AT_ONCE = 50_000


def make_nodes(engine: Engine) -> tuple[str, str]:
    """A node that is served and one that is gone; their ids."""
    served, gone = (
        transact(engine, lambda session, name=name: nodes.ensure_attached(session, name, 1000).id)  # type: ignore[misc]
        for name in ("served", "gone")
    )
    refresh(engine)
    return served, gone


def refresh(engine: Engine) -> None:
    """As if beats had come all the time: what is expired may be recovered, and one node is there."""
    transact(engine, lambda session: recovery.stamp_pulse(session, "bench", 45.0))
    with engine.begin() as connection:
        connection.execute(text("UPDATE pulse SET recover_after = UTC_TIMESTAMP(6) - INTERVAL 1 HOUR"))
    alive = update(Node).where(Node.slug == "served").values(presence_at=now(), workers_alive=2)
    transact(engine, lambda session: session.execute(alive))


def fill_finished(engine: Engine, count: int, node_id: str) -> None:
    """So many ended allocations with an item and a line of history each, a run for a hundred, a delivery for ten."""
    with engine.connect() as connection:
        one = _identifier(connection, 1)
        run = one.replace("seq", "(seq DIV 100)")
        _insert(connection, "runs", count // 100 + 1, {
            "id": run.replace("(seq DIV 100)", "(seq - 1)"), "task_id": "'t'", "task_name": "'T'", "`trigger`": "'manual'", "actor": "''",
            "state": "'completed'", "`cursor`": "''", "reason": "''", "created_at": AGO, "ended_at": PAST,
        })  # fmt: skip
        _insert(connection, "allocations", count, _allocation(one, node_id) | {
            "state": "'completed'", "run_id": run, "ended_at": PAST, "execution": one, "settled_by": one,
        })  # fmt: skip
        _insert(connection, "work_items", count, _item(one) | {
            "state": "'done'", "run_id": run, "allocation_id": one, "ended_at": PAST,
        })  # fmt: skip
        _insert(connection, "history", count, {
            "noun": "'allocation'", "subject_id": one, "at": PAST, "actor": "'worker'",
            "from_state": "'executing'", "to_state": "'completed'", "reason": "''",
        })  # fmt: skip
        _insert(connection, "deliveries", count // 10, {
            "id": one, "task_id": "'t'", "feed_id": one, "run_id": run, "receiver": "'r'", "receiver_kind": "'webhook'",
            "state": "'delivered'", "reason": "''", "excerpt": "''", "error_code": "''", "error_message": "''",
            "warning": "''", "ended_at": PAST, "attempted_at": PAST,
        })  # fmt: skip
    with engine.connect() as connection:
        for table in Base.metadata.sorted_tables:
            connection.exec_driver_sql(f"ANALYZE TABLE {table.name}").all()


def make_stuck(engine: Engine, number: int, served: str, gone: str) -> None:
    """A thousand stuck ones: lost with their workers, in a gone node's queue, lost by Redis, and waiting too long."""
    with engine.connect() as connection:
        for part, (node_id, state, count) in enumerate(
            ((served, "executing", EXPIRED), (gone, "pending", STRANDED), (served, "pending", LOST))
        ):
            one = _identifier(connection, 100 * (number + 1) + part)
            held = {"execution": one, "lease_until": PAST} if state == "executing" else {}
            _insert(
                connection, "allocations", count, _allocation(one, node_id) | {"state": f"'{state}'"} | held
            )
            _insert(connection, "work_items", count, _item(one) | {
                "state": "'assigned'", "run_id": one, "allocation_id": one, "node_id": f"'{node_id}'",
            })  # fmt: skip
        one = _identifier(connection, 100 * (number + 1) + 3)
        _insert(
            connection,
            "work_items",
            DUE,
            _item(one) | {"state": "'waiting'", "run_id": one, "not_before": PAST},
        )


def clear_stuck(engine: Engine) -> None:
    """Take away what the last round left open."""
    with engine.begin() as connection:
        for table in ("allocations", "work_items"):
            connection.exec_driver_sql(
                f"DELETE FROM {table} WHERE state IN ('pending', 'executing', 'assigned', 'waiting')"  # noqa: S608
            )


def _identifier(connection: Connection, series: int) -> str:
    """SQL of an id made an hour ago: what was made now must not look old."""
    moment = connection.execute(select(now(-3600))).scalar_one()
    beginning = first_id_of(moment)[:24].replace("-8000-", f"-8{series % 4096:03x}-")
    return f"CONCAT('{beginning}', LPAD(HEX(seq), 12, '0'))"


def _allocation(one: str, node_id: str) -> dict[str, str]:
    return {
        "id": one, "kind": "'update'", "queue": "'node:served'", "node_id": f"'{node_id}'", "task_id": "'t'",
        "reason": "''", "error_code": "''", "error_message": "''", "feed_ids": "'[]'", "item_count": "1",
        "created_at": AGO, "updated_at": PAST,
    }  # fmt: skip


def _item(one: str) -> dict[str, str]:
    return {
        "id": one, "task_id": "'t'", "feed_id": one, "feed_kind": "'rss'", "host": "'h'", "reason": "''",
        "errors": "'[]'", "error_code": "''", "error_message": "''", "created_at": AGO,
    }  # fmt: skip


def _insert(connection: Connection, table: str, count: int, values: dict[str, str]) -> None:
    names, chosen = ", ".join(values), ", ".join(values.values())
    for start in range(1, count + 1, ROWS_AT_ONCE):
        rows = f"seq_{start}_to_{min(count, start + ROWS_AT_ONCE - 1)}"
        connection.exec_driver_sql(f"INSERT INTO {table} ({names}) SELECT {chosen} FROM {rows}")  # noqa: S608
        # A million rows in one transaction would outlast every time-out.
        connection.commit()
