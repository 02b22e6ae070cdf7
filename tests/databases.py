"""Databases for tests: empty ones, and migrated ones that cost one migration per session."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, Table, exists, select

from backend.store.migrate import upgrade
from backend.store.session import create_engine_for
from tests.servers import MariaDb

BACKENDS = ("sqlite", "mariadb")


class SqliteTemplate:
    """A migrated file; each test gets a copy."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "template.db"
        engine = create_engine_for(f"sqlite:///{self.file}", pooled=False)
        upgrade(engine)
        with engine.connect() as connection:
            # The write-ahead log is not copied, so nothing may be left in it.
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("BEGIN")
        engine.dispose()

    def fresh(self, folder: Path) -> str:
        """The URL of a migrated database that holds what the migrations put in."""
        return f"sqlite:///{shutil.copyfile(self.file, folder / 'migrated.db')}"


class MariaDbTemplate:
    """One migrated database, emptied before each test: dropping and creating two dozen tables takes ten times longer."""

    def __init__(self, server: MariaDb) -> None:
        self.server = server
        self.name = server.create_database()
        self.engine = create_engine_for(server.url(self.name), pooled=False)
        upgrade(self.engine)
        self.tables = MetaData()
        with self.engine.connect() as connection:
            self.tables.reflect(connection)
            self.seeds = {table: self._rows(connection, table) for table in self.tables.sorted_tables}

    def fresh(self) -> str:
        """The URL, after removing what an earlier test left, its connections first."""
        self.server.disconnect_all(self.name)
        with self.engine.begin() as connection:
            for table in self._filled(connection):
                if self._rows(connection, table) != self.seeds[table]:
                    connection.execute(table.delete())
            for table, rows in self.seeds.items():
                if rows and not self._rows(connection, table):
                    connection.execute(table.insert(), [dict(row) for row in rows])
        return self.server.url(self.name)

    def _filled(self, connection: Connection) -> list[Table]:
        tables = self.tables.sorted_tables
        row = connection.execute(select(*(exists(select(1).select_from(table)) for table in tables))).one()
        return [table for table, filled in zip(tables, row, strict=True) if filled]

    @staticmethod
    def _rows(connection: Connection, table: Table) -> Sequence[Any]:
        return connection.execute(table.select()).mappings().all()
