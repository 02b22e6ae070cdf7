"""What commands work on: the data directory's settings, database and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from backend.bootstrap import build_cipher, build_engine, ensure_secret_key, load_settings
from backend.cli.language import say
from backend.cli.output import note
from backend.dispatch.broker import connect, redis_address
from backend.domain.errors import ConfigurationError
from backend.store.cipher import Cipher
from backend.store.schema import require_current, schema_state
from backend.store.verdicts import is_transient
from config import Settings

DRIVERS = ("mysql+pymysql", "mariadb+pymysql", "sqlite", "sqlite+pysqlite")


@dataclass(frozen=True, slots=True)
class Place:
    """A data directory, open. `redis` is `None` when no Redis answers."""

    settings: Settings
    engine: Engine
    redis: Redis | None

    @property
    def cipher(self) -> Cipher:
        """The cipher of secrets at rest."""
        return build_cipher(self.settings)


@contextmanager
def opened(data_dir: Path | None) -> Iterator[Place]:
    """The place with a current schema; on a new data directory the database is made, and that is said.

    Raises `ConfigurationError` for a database that can't be reached or has another version's schema.
    """
    settings = load_settings(data_dir=data_dir)
    make_directory(settings.data_dir)
    settings = ensure_secret_key(settings)
    engine = reachable_engine(settings)
    try:
        if schema_state(engine) == "empty":
            # Here, because Alembic would keep 11 MB in every node process for one statement of its first start.
            from backend.store.migrate import upgrade  # noqa: PLC0415

            upgrade(engine)
            note(say("database_made", address=address_of(settings.database_url)))
        require_current(engine)
        with open_redis(settings) as redis:
            yield Place(settings, engine, redis)
    finally:
        engine.dispose()


@contextmanager
def open_redis(settings: Settings) -> Iterator[Redis | None]:
    """The Redis of the settings when it answers, else nothing."""
    with named_redis(settings) as client:
        yield client if client is not None and _answers(client) else None


def _answers(client: Redis) -> bool:
    try:
        client.ping()
    except RedisError:
        return False
    return True


@contextmanager
def named_redis(settings: Settings) -> Iterator[Redis | None]:
    """The Redis of the settings, whether or not it answers; nothing without an address."""
    if not settings.redis_url:
        yield None
        return
    with connect(settings.redis_url, retries=1) as client:
        yield client


def make_directory(path: Path) -> None:
    """Make the data directory, for its owner only, when it is missing. Raises `ConfigurationError` when it can't be written."""
    probe = path / ".writable"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        detail = error.strerror or str(error)
        raise ConfigurationError("directory_unwritable", path=path, detail=detail) from error


def reachable_engine(settings: Settings, *, pooled: bool = False) -> Engine:
    """An engine whose database answered just now.

    Raises `ConfigurationError`, without the password, when it does not or when its URL can't be used.
    """
    check_database_url(settings.database_url)
    engine = build_engine(settings, pooled=pooled)
    try:
        engine.execution_options(reading=True).connect().close()
    except DBAPIError as error:
        engine.dispose()
        address = address_of(settings.database_url)
        raise ConfigurationError("database_silent", address=address, detail=reason_of(error)) from error
    return engine


def check_database_url(url: str) -> None:
    """Raise `ConfigurationError` unless the URL names a driver that is here."""
    detail = f"must start with one of {', '.join(f'{driver}://' for driver in DRIVERS[:3])}"
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise ConfigurationError("bad_setting", name="DATABASE_URL", detail=detail) from None
    if parsed.drivername not in DRIVERS:
        raise ConfigurationError("bad_setting", name="DATABASE_URL", detail=detail)


def address_of(url: str) -> str:
    """Host, port and database of a database URL, or the file of an SQLite one: never its password."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return parsed.database or ":memory:"
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.host or 'localhost'}{port}/{parsed.database or ''}"


def reason_of(error: DBAPIError) -> str:
    """The driver's own words, without the statement that SQLAlchemy adds."""
    arguments = getattr(error.orig, "args", ())
    words = arguments[-1] if arguments else error.orig
    return f"{words}" if not is_transient(error) else f"no connection: {words}"


def check_redis(url: str) -> None:
    """Raise `ConfigurationError`, without the password, when somebody else's Redis does not serve us."""
    try:
        address = redis_address(url)
    except ValueError as error:
        raise ConfigurationError("bad_setting", name="REDIS_URL", detail=str(error)) from None
    try:
        with connect(url, retries=1) as client:
            client.ping()
    except RedisError as error:
        raise ConfigurationError("redis_silent", address=address, detail=str(error)) from error
