"""What every test can ask for: real servers, empty and migrated databases; and what holds for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis
from sqlalchemy import Engine

from backend.store.session import create_engine_for
from tests import loopback
from tests.databases import BACKENDS, MariaDbTemplate, SqliteTemplate
from tests.servers import MariaDb, RedisServer

CHAOS_REPORT = "chaos report"

loopback.guard()
# Time per example says more about the machine's load than about the code.
settings.register_profile(
    "house", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--soak` also runs the tests that take long; `--real-wordpress` runs those on a real one; the others repeat a chaos run (docs/chaos.md)."""
    parser.addoption("--soak", action="store_true", help="also run the long tests marked `soak`")
    parser.addoption(
        "--real-wordpress",
        action="store_true",
        help="only the tests on a real WordPress, which is downloaded",
    )
    parser.addoption("--chaos-seed", type=int, help="the seed of the chaos run's faults and load")
    parser.addoption("--chaos-seconds", type=float, help="how long the chaos run breaks things")
    parser.addoption(
        "--chaos-leases",
        choices=("auto", "short", "real"),
        default="auto",
        help="leases of the chaos run: 15 s, or production's 45 s (auto: from 5 minutes on)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out unless they are asked for; say so as deselected, not as skipped.

    The chaos run comes first: it takes minutes, and the others go on beside it.
    """
    items.sort(key=lambda item: "chaos_seconds" not in getattr(item, "fixturenames", ()))
    real = bool(config.getoption("--real-wordpress"))
    left_out = [
        item
        for item in items
        if bool(item.get_closest_marker("real_wordpress")) is not real
        or ((item.get_closest_marker("soak") or _proved_elsewhere(item)) and not config.getoption("--soak"))
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _proved_elsewhere(item: pytest.Item) -> bool:
    """A remote node's ledger on the embedded database: what its parent does there, the ledger of attached nodes proves."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    return (params.get("make_ledger"), params.get("backend")) == ("http", "sqlite")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What a chaos run counted, and the seed of this order; quiet mode would hide it."""
    for reports in terminalreporter.stats.values():
        for text in [value for one in reports for name, value in _properties(one) if name == CHAOS_REPORT]:
            terminalreporter.write_line(f"{text}\n")
    seed = config.getoption("randomly_seed", None)
    if seed is not None:
        terminalreporter.write_line(f"random seed: {seed} (the same order again: --randomly-seed={seed})")


def _properties(report: object) -> list[tuple[str, object]]:
    return getattr(report, "user_properties", []) if getattr(report, "when", "") == "call" else []


@pytest.fixture(autouse=True)
def _loopback_only() -> Iterator[None]:
    loopback.violations.clear()
    yield
    if loopback.violations:
        pytest.fail(f"the test left loopback: {', '.join(loopback.violations)}")


@pytest.fixture(scope="session")
def mariadb_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    """The session's MariaDB; tests ask for `mariadb`, which puts right what they change."""
    server = MariaDb(tmp_path_factory.mktemp("mariadb"))
    server.install()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def mariadb(mariadb_session: MariaDb) -> Iterator[MariaDb]:
    """A real MariaDB server. A test may stop, kill, freeze and configure it; afterwards it is as before."""
    mariadb_session.restore()
    yield mariadb_session
    mariadb_session.restore()


@pytest.fixture(scope="session")
def redis_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The session's Redis; tests ask for `redis_server`."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis_server(redis_session: RedisServer) -> Iterator[RedisServer]:
    """A real Redis or Valkey server, empty. A test may stop, kill and freeze it."""
    redis_session.restore()
    with redis_session.client() as client:
        client.flushall()
    yield redis_session
    redis_session.restore()


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator[Redis]:
    """A plain client of the empty server."""
    with redis_server.client() as client:
        yield client


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Which database a test runs on: all that ask for one run on each."""
    return str(request.param)


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new database without any table."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    name = server.create_database()
    yield server.url(name)
    server.restore()
    server.drop_database(name)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> SqliteTemplate:
    """Migrated once per session."""
    return SqliteTemplate(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def mariadb_template(mariadb_session: MariaDb) -> MariaDbTemplate:
    """Migrated once per session."""
    return MariaDbTemplate(mariadb_session)


@pytest.fixture
def migrated_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated database that holds nothing else."""
    if backend == "sqlite":
        sqlite: SqliteTemplate = request.getfixturevalue("sqlite_template")
        return sqlite.fresh(tmp_path)
    request.getfixturevalue("mariadb")
    template: MariaDbTemplate = request.getfixturevalue("mariadb_template")
    return template.fresh()


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    """A pooled engine on a migrated database."""
    engine = create_engine_for(migrated_url, pooled=True)
    yield engine
    engine.dispose()
