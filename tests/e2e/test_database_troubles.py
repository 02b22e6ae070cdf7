"""The real system while its database can't do its part: work waits safely, callers hear why in time, nothing is restarted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pymysql
import pytest
import requests

from backend.domain.feeds import draft_feed
from backend.store import feeds
from backend.store.session import create_engine_for, transact
from backend.store.tables import Allocation, Article, WorkItem
from tests.building import KEY, counted, make_task, rows_of
from tests.e2e.system import System, Visitor
from tests.servers import PASSWORD, MariaDb, RedisServer, wait_until
from tests.standins.feeds import FeedServer
from tests.standins.receivers import ReceiverServer

# A request gives up after 10 s; the rest is what a busy machine adds.
BOUND_SECONDS = 20.0
LIVE_SECONDS = 8.0
CROWD = 12
# Longer than it takes for the trouble to begin, shorter than the patience of a source.
WORK_SECONDS = 25.0


@dataclass
class Place:
    """The system on a database whose user has no privilege to write while it is read-only."""

    system: System
    mariadb: MariaDb
    admin: Visitor
    receiver: ReceiverServer
    database: str
    number: int = 0

    def outbox(self) -> list[Path]:
        """What waits in the outboxes of the nodes."""
        return list((self.system.data_dir / "outbox").rglob("*.outcome"))

    def start_work(self, server: FeedServer) -> None:
        """Dispatch the server's feeds; until the first is being collected."""
        engine = create_engine_for(self.mariadb.url(self.database), pooled=False)
        drafts = [draft_feed(server.feed_url(one), kind="rss", known_kinds={"rss"}) for one in server.feeds]
        ids = transact(engine, lambda session: [feeds.create_feed(session, draft).id for draft in drafts])
        task_id = make_task(engine, ids, url=self.receiver.url())
        self.admin.ask("POST", f"/api/v1/cascade/dispatch-task?task_id={task_id}")
        wait_until(lambda: counted(engine, Allocation).get("executing", 0) > 0, 30, "the begin")

    def write(self) -> requests.Response:
        """A request that must write."""
        self.number += 1
        return self.admin.session.post(
            f"{self.admin.url}/api/v1/feeds",
            json={"url": f"https://example.com/{self.number}-{threading.get_ident()}", "name": "x"},
            timeout=60,
        )

    def check(self, name: str) -> str:
        """What `/readyz` says of a part; empty when that is well."""
        answer = requests.get(f"{self.admin.url}/readyz", timeout=60)
        found = [one for one in answer.json()["data"]["checks"] if one["name"] == name]
        return "" if found[0]["ok"] else str(found[0]["detail"])

    def is_ready(self) -> bool:
        """Whether `/readyz` is green."""
        return requests.get(f"{self.admin.url}/readyz", timeout=60).status_code == 200


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, mariadb_session: MariaDb, redis_session: RedisServer
) -> Iterator[Place]:
    """One start for all troubles: each must leave it as it was."""
    mariadb_session.restore()
    redis_session.restore()
    with redis_session.client() as redis:
        redis.flushall()
    name = mariadb_session.create_database()
    mariadb_session.execute(f"CREATE OR REPLACE USER plain@'%' IDENTIFIED BY '{PASSWORD}'")
    mariadb_session.execute(f"GRANT ALL ON {name}.* TO plain@'%'")
    url = mariadb_session.url(name).replace("cascade:", "plain:")
    folder = tmp_path_factory.mktemp("troubles") / "var"
    with (
        ReceiverServer() as receiver,
        System(folder, DATABASE_URL=url, REDIS_URL=redis_session.url, CASCADE_SECRET_KEY=KEY) as system,
        Visitor(system.url) as admin,
    ):
        admin.log_in()
        yield Place(system, mariadb_session, admin, receiver, name)
    mariadb_session.restore()
    mariadb_session.execute("DROP USER plain@'%'")
    mariadb_session.drop_database(name)


@contextmanager
def read_only(mariadb: MariaDb) -> Iterator[None]:
    """As a replica, or a server that a person has made read-only."""
    mariadb.execute("SET GLOBAL read_only = 1")
    try:
        yield
    finally:
        mariadb.execute("SET GLOBAL read_only = 0")


@contextmanager
def crowded(mariadb: MariaDb) -> Iterator[None]:
    """Somebody else holds all connections of the server."""
    before = mariadb.execute("SELECT @@GLOBAL.max_connections AS n")[0]["n"]
    with ExitStack() as held:
        first = held.enter_context(mariadb.connect())
        for _ in range(12):
            held.enter_context(mariadb.connect())
        with first.cursor() as cursor:
            cursor.execute("SET GLOBAL max_connections = 10")
            try:
                kill_others(cursor)
                yield
            finally:
                cursor.execute("SET GLOBAL max_connections = %s", (before,))


def kill_others(cursor: pymysql.cursors.Cursor) -> None:
    """Cut the system's connections."""
    cursor.execute("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'plain'")
    for row in cursor.fetchall():
        with suppress(pymysql.err.OperationalError):
            cursor.execute("KILL %s", (row["ID"],))  # type: ignore[call-overload]  # the cursor gives dictionaries


@contextmanager
def killed(mariadb: MariaDb) -> Iterator[None]:
    """The server dies, and is started again."""
    mariadb.kill()
    try:
        yield
    finally:
        mariadb.start()


@contextmanager
def hung(mariadb: MariaDb) -> Iterator[None]:
    """The server takes connections and answers nothing."""
    with mariadb.frozen():
        yield


TROUBLES: dict[str, tuple[Callable[[MariaDb], AbstractContextManager[None]], str]] = {
    "read only": (read_only, "database_read_only"),
    "no connection left": (crowded, "database_crowded"),
    "killed": (killed, "unavailable"),
    "hung": (hung, "unavailable"),
}


@dataclass
class Pulse:
    """Asks `/livez` all the time; what was answered, and how long the slowest took."""

    url: str
    statuses: set[int | str] = field(default_factory=set)
    slowest: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until told to stop."""
        while True:
            began = time.monotonic()
            try:
                self.statuses.add(requests.get(f"{self.url}/livez", timeout=30).status_code)
            except requests.RequestException as error:
                self.statuses.add(type(error).__name__)
            self.slowest = max(self.slowest, time.monotonic() - began)
            if self.stop.wait(0.2):
                return

    @contextmanager
    def felt(self) -> Iterator[None]:
        """Ask while inside."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            thread.join()


def ask_all_at_once(place: Place, code: str) -> None:
    """A crowd of callers is told why, each within the bound."""

    def ask() -> tuple[int, str, bool, bool]:
        began = time.monotonic()
        answer = place.write()
        told = str(answer.json()["data"]["error"])
        return (
            answer.status_code,
            code if told == "parent_stuck" else told,
            int(answer.headers["Retry-After"]) > 0,
            time.monotonic() - began < BOUND_SECONDS,
        )

    with ThreadPoolExecutor(CROWD) as pool:
        answers = [one.result() for one in [pool.submit(ask) for _ in range(CROWD)]]
    assert set(answers) == {(503, code, True, True)}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_work_waits_callers_are_told_and_all_goes_on_by_itself(place: Place, trouble: str) -> None:
    begin, code = TROUBLES[trouble]
    engine = create_engine_for(place.mariadb.url(place.database), pooled=False)
    before = len(rows_of(engine, Article))
    family, pulse = place.system.node_processes(), Pulse(place.admin.url)
    with FeedServer(2, broken=0, delay=WORK_SECONDS) as server:
        place.start_work(server)
        with pulse.felt(), begin(place.mariadb):
            server.end_delays()
            ask_all_at_once(place, code)
            assert place.check("database")
            if trouble != "hung":
                wait_until(lambda: len(place.outbox()) > 0, 60, "an outcome in the outbox")
        wait_until(lambda: place.write().status_code == 200, 30, "an answer as before")
        wait_until(place.is_ready, 60, "a green /readyz")
        wait_until(lambda: set(counted(engine, WorkItem)) == {"done"}, 60, "the end of the work")
        wait_until(lambda: place.outbox() == [], 30, "an empty outbox")
        assert len(rows_of(engine, Article)) - before == sum(server.expected_articles().values())
    assert pulse.statuses == {200}
    assert pulse.slowest < LIVE_SECONDS
    assert place.system.node_processes() == family
    assert "Traceback" not in place.system.log
