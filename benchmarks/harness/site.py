"""The servers that benchmarks run on: a real MariaDB and a real Redis, ours and gone at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pymysql
from sqlalchemy import Engine

from backend.store.migrate import upgrade
from backend.store.session import create_engine_for
from tests.servers import MariaDb, RedisServer

BUFFER_POOL = 512 * 1024 * 1024
REDO_LOG = 256 * 1024 * 1024


@dataclass(frozen=True)
class Site:
    """A scratch folder, and the servers in it. With SQLite `mariadb` is None."""

    folder: Path
    redis: RedisServer
    mariadb: MariaDb | None

    def new_database(self) -> str:
        """The URL of a new empty database."""
        if self.mariadb is None:
            number = len(list(self.folder.glob("*.db")))
            return f"sqlite:///{self.folder / f'bench-{number}.db'}"
        return self.mariadb.url(self.mariadb.create_database())

    def migrated_engine(self) -> Engine:
        """A pooled engine on a new database with all tables."""
        engine = create_engine_for(self.new_database(), pooled=True)
        upgrade(engine)
        return engine

    def database_pids(self) -> list[int]:
        """The database server's process, if it is one."""
        return _pids(self.mariadb)

    def redis_pids(self) -> list[int]:
        """The Redis server's process."""
        return _pids(self.redis)


def _pids(server: MariaDb | RedisServer | None) -> list[int]:
    return [server.process.pid] if server is not None and server.process is not None else []


@contextmanager
def site(database: str = "mariadb") -> Iterator[Site]:
    """Servers that live as long as the context."""
    with TemporaryDirectory(prefix="cascade-bench-") as name:
        folder = Path(name)
        redis = RedisServer(_made(folder / "redis"))
        mariadb = MariaDb(_made(folder / "mariadb")) if database == "mariadb" else None
        try:
            redis.start()
            if mariadb is not None:
                mariadb.install()
                mariadb.start()
                # The tests' server is small on purpose; a benchmark's rows must fit.
                mariadb.execute("SET GLOBAL innodb_buffer_pool_size = %s", BUFFER_POOL)
                mariadb.execute("SET GLOBAL max_connections = 2000")
                # Before 10.9 the server can't change it while it runs.
                with suppress(pymysql.err.OperationalError):
                    mariadb.execute("SET GLOBAL innodb_log_file_size = %s", REDO_LOG)
            yield Site(folder, redis, mariadb)
        finally:
            if mariadb is not None:
                mariadb.stop()
            redis.stop()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
