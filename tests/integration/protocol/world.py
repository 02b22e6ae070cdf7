"""What a random history starts from: nodes, feeds and tasks on one database, put back before each history; and its clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Float, Table, exists, literal, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from backend.domain.retry import RetryPolicy
from backend.store import nodes, recovery
from backend.store.allocations import Taker
from backend.store.columns import UtcDateTime, now
from backend.store.credentials import Pair
from backend.store.deliveries import DeliveryPolicy
from backend.store.phases import Terms
from backend.store.session import transact
from backend.store.tables import (
    Allocation,
    Base,
    Beat,
    Delivery,
    Feed,
    Host,
    Node,
    PublishAccount,
    PublishTask,
    Pulse,
    WorkItem,
)
from backend.workers.ledger import SqlLedger
from tests.building import CIPHER, ROBOT, SECONDS, WEB_HOOK, make_feeds, make_node, make_task
from tests.integration.api.playing import make_accounts, make_child

LEASE_SECONDS = 45.0
CHILD_LEASE_SECONDS = 1800.0
GAP_SECONDS = 20.0
# One lease and the outbox's drain time: so long after a gap no lease is recovered.
QUIET_SECONDS = 75.0
ITEM_ATTEMPTS = 3
DELIVERY_ATTEMPTS = 3
DELIVER_ATTEMPTS = 3
# Longer than a history takes on a slow machine: only the time that is made to pass counts.
ITEMS = RetryPolicy(ITEM_ATTEMPTS, base_seconds=120.0)
DELIVERIES = DeliveryPolicy(RetryPolicy(DELIVERY_ATTEMPTS, base_seconds=120.0))

# Every time that the protocol compares with the clock. `Pulse.alive_at` and a node's presence are apart: as long as
# the system runs, they follow the clock.
TIMES: dict[type[Base], tuple[str, ...]] = {
    Allocation: ("lease_until", "updated_at", "claimed_at", "started_at"),
    WorkItem: ("not_before",),
    Delivery: ("not_before", "attempted_at"),
    Pulse: ("recover_after",),
    Host: ("held_until",),
    Feed: ("next_check_at",),
    PublishTask: ("submitted_at", "not_before", "admitted_at"),
    PublishAccount: ("last_used_at", "cooling_until"),
}
OWN_TIMES: dict[type[Base], tuple[str, ...]] = {
    Pulse: ("alive_at",),
    Node: ("presence_at",),
    Beat: ("alive_at",),
}


class Earlier(FunctionElement[datetime]):
    """A column's time, so many seconds earlier."""

    inherit_cache = True
    type = UtcDateTime()
    name = "earlier"


@compiles(Earlier, "sqlite")
def _sqlite_earlier(element: Earlier, compiler: SQLCompiler, **options: Any) -> str:
    column, seconds = (compiler.process(clause, **options) for clause in element.clauses)
    return f"strftime('%Y-%m-%d %H:%M:%f000', {column}, printf('%+.3f seconds', -{seconds}))"


@compiles(Earlier, "mysql", "mariadb")
def _mysql_earlier(element: Earlier, compiler: SQLCompiler, **options: Any) -> str:
    column, seconds = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} - INTERVAL ({seconds} * 1000000) MICROSECOND)"


@dataclass(frozen=True)
class Task:
    """A message task of the world: its id, its feeds, and whether somebody hears of its articles."""

    task_id: str
    feed_ids: frozenset[str]
    heard: bool


@dataclass
class World:
    """The database with its nodes (`attached`, `children`: names to ids), feeds and tasks as they are at the start."""

    engine: Engine
    attached: dict[str, str] = field(default_factory=dict)
    children: dict[str, str] = field(default_factory=dict)
    pairs: dict[str, Pair] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    _rows: dict[Table, list[dict[str, Any]]] = field(default_factory=dict)
    _kept: Any = None

    def close(self) -> None:
        """Give the connection back that was kept."""
        self._kept.close()

    def build(self) -> World:
        """Make the rows of the start, and keep them."""
        engine = self.engine
        # On SQLite, whoever closes the last connection writes the whole log back: one stays open.
        self._kept = engine.raw_connection()
        self.attached = {
            "n1": make_node(engine, "n1", capacity=30),
            "n2": make_node(engine, "n2", capacity=10),
            "parent": transact(engine, lambda session: nodes.ensure_parent(session).id),
        }
        for name in ("w1", "w2"):
            self.children[name], self.pairs[name] = make_child(engine, name, capacity=20)
        feed_ids, accounts = make_feeds(engine, 3), make_accounts(engine, 2)
        self._add_task(feed_ids, WEB_HOOK, "allow")
        self._add_task([*feed_ids[:2], *accounts[:2]], ROBOT, "queue")
        self._add_task(accounts, "", "skip")
        transact(engine, lambda session: recovery.stamp_pulse(session, "beat", LEASE_SECONDS))
        with engine.begin() as connection:
            for table in _filled(connection):
                self._rows[table] = [dict(row) for row in connection.execute(table.select()).mappings()]
        return self

    def _add_task(self, feed_ids: Sequence[str], url: str, overlap: str) -> None:
        task_id = make_task(self.engine, feed_ids, url=url, overlap=overlap)
        self.tasks.append(Task(task_id, frozenset(feed_ids), heard=bool(url)))

    def reset(self) -> None:
        """Put the rows of the start back, and nothing else; every node has just beaten."""
        with self.engine.begin() as connection:
            for table in _filled(connection):
                connection.execute(table.delete())
            for table, rows in self._rows.items():
                connection.execute(table.insert(), rows)
            connection.execute(update(Node).values(presence_at=now()))
            connection.execute(update(Pulse).values(alive_at=now(), recover_after=now(-1)))

    def ledger(self, name: str) -> SqlLedger:
        """The ledger of an attached node's workers."""
        taker = Taker(self.attached[name], "instance", LEASE_SECONDS, worker=name)
        return SqlLedger(self.engine, taker, Terms(CIPHER, ITEMS, DELIVERIES, SECONDS))

    def pass_time(self, seconds: float, *, away: bool = False) -> None:
        """Let the database's clock run ahead; `away`: nobody stamps and no node beats meanwhile."""
        self._earlier(TIMES, seconds)
        if away:
            self._earlier(OWN_TIMES, seconds)

    def silence(self, node_id: str, seconds: float) -> None:
        """Let a node's last beat be so much longer ago."""
        self._earlier({Node: ("presence_at",)}, seconds, Node.id == node_id)

    def _earlier(self, times: Mapping[type[Base], tuple[str, ...]], seconds: float, *where: Any) -> None:
        shift = literal(float(seconds), Float)

        def write(session: Any) -> None:
            for table, names in times.items():
                columns = table.__table__.c
                values = {name: Earlier(columns[name], shift) for name in names}
                statement = update(table).where(*where).values(**values)
                session.execute(statement, execution_options={"synchronize_session": False})

        transact(self.engine, write)


def _filled(connection: Connection) -> list[Table]:
    tables = Base.metadata.sorted_tables
    row = connection.execute(select(*(exists(select(1).select_from(table)) for table in tables))).one()
    return [table for table, filled in zip(tables, row, strict=True) if filled]
