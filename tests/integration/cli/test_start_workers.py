"""start_workers.sh as people start it: what it refuses, what it serves, and how it stops."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine

from backend.cli.parts import session_members
from backend.store.nodes import ensure_attached, list_nodes
from backend.store.session import read, transact
from config import ROOT
from tests.databases import SqliteTemplate
from tests.servers import MariaDb, RedisServer, free_port, wait_until

SCRIPT = ROOT / "start_workers.sh"
SECRET = "the-secret"


class Script:
    """The script with an environment that points to real servers."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "CASCADE_DATA_DIR": str(folder / "var"),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "CASCADE_SECRET_KEY": "a key of this test",
        }

    def refusal(self, *words: str, script: Path = SCRIPT) -> str:
        """Start it; it must end by itself with code 2, one sentence, and no worker."""
        done = subprocess.run(
            ["/bin/sh", "-u", str(script), *words],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert SECRET not in done.stderr
        return done.stderr

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start it in a session of its own; whatever is left of it at the end is killed."""
        with subprocess.Popen(
            [str(SCRIPT), *words], env=self.environment, cwd=self.folder, start_new_session=True
        ) as process:
            try:
                yield process
            finally:
                for pid in session_members(process.pid):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def database_url(sqlite_template: SqliteTemplate, tmp_path: Path) -> str:
    """A migrated SQLite file."""
    return sqlite_template.fresh(tmp_path)


@pytest.fixture
def migrated_url(database_url: str) -> str:
    """The same file for the fixture `engine`."""
    return database_url


@pytest.fixture
def script(tmp_path: Path, database_url: str, redis_server: RedisServer) -> Script:
    """The script on a migrated database and an empty Redis."""
    return Script(tmp_path, database_url, redis_server.url)


@pytest.mark.parametrize("name", ["*", "node:*", "node:beijing-?", "node:[ab]"])
def test_a_wildcard_is_refused_with_what_to_write_instead(script: Script, name: str) -> None:
    sentence = script.refusal(name)
    assert name in sentence
    assert "default node:NAME" in sentence


def test_a_wildcard_is_refused_even_when_nothing_answers(tmp_path: Path) -> None:
    assert "wildcards" in Script(tmp_path, "sqlite:////nowhere/x.db", "").refusal("*")


@pytest.mark.parametrize("name", ["user:1", "node:tokyo", "high"])
def test_a_queue_that_nothing_enqueues_to_is_refused_with_those_that_exist(
    script: Script, engine: Engine, name: str
) -> None:
    transact(engine, lambda session: ensure_attached(session, "Beijing 1"))
    sentence = script.refusal(name)
    assert repr(name) in sentence
    assert "default, node:beijing-1" in sentence


def test_another_node_s_queue_is_refused_under_a_node_s_name(script: Script, engine: Engine) -> None:
    transact(engine, lambda session: ensure_attached(session, "b"))
    assert "node:b" in script.refusal("--node", "a", "node:b")


def test_a_redis_that_does_not_answer_is_refused_without_its_password(
    tmp_path: Path, database_url: str
) -> None:
    port = free_port()
    url = f"redis://:{SECRET}@127.0.0.1:{port}/0"
    assert f"127.0.0.1:{port}" in Script(tmp_path, database_url, url).refusal()


def test_a_missing_redis_address_is_refused(tmp_path: Path, database_url: str) -> None:
    assert "REDIS_URL" in Script(tmp_path, database_url, "").refusal("--node", "a")


def test_a_database_that_does_not_answer_is_refused_without_its_password(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    url = f"mysql+pymysql://u:{SECRET}@127.0.0.1:{free_port()}/cascade"
    assert "127.0.0.1" in Script(tmp_path, url, redis_server.url).refusal()


def test_a_database_without_tables_is_refused(
    tmp_path: Path, redis_server: RedisServer, mariadb: MariaDb
) -> None:
    name = mariadb.create_database()
    assert "db upgrade" in Script(tmp_path, mariadb.url(name), redis_server.url).refusal()
    mariadb.drop_database(name)


def test_a_number_of_workers_that_makes_no_sense_is_refused(script: Script) -> None:
    done = subprocess.run(
        [str(SCRIPT), "--workers", "0"], env=script.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--workers" in done.stderr


def test_it_is_found_through_a_link_from_anywhere(script: Script, tmp_path: Path) -> None:
    link = tmp_path / "workers"
    link.symlink_to(SCRIPT)
    assert "wildcards" in script.refusal("*", script=link)


def served(engine: Engine) -> dict[str, int]:
    """By queue, how many workers are present."""
    return {view.queue: view.workers_alive for view in read(engine, list_nodes) if view.workers_alive}


def test_workers_serve_until_sigterm_and_leave_nobody_behind(script: Script, engine: Engine) -> None:
    with script.running("--node", "北京", "--workers", "2") as process:
        [queue] = read(engine, lambda session: [ensure_attached(session, "北京").slug])
        wait_until(lambda: served(engine) == {f"node:{queue}": 2}, 40, "presence of two workers")
        assert psutil.Process(process.pid).cmdline()[0].endswith("python"), "the script must be replaced"
        members = list(session_members(process.pid))
        assert len(members) >= 3
        process.terminate()
        assert process.wait(10) == 0
        assert not list(session_members(process.pid))


def test_without_a_node_the_deliveries_are_served(script: Script, engine: Engine) -> None:
    with script.running("--workers", "1") as process:
        wait_until(lambda: served(engine) == {"default": 1}, 40, "presence of a worker")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_queues_of_several_nodes_are_each_served_by_their_own_node(script: Script, engine: Engine) -> None:
    for name in ("a", "b"):
        transact(engine, lambda session, name=name: ensure_attached(session, name))  # type: ignore[misc]
    with script.running("--workers", "1", "node:a", "node:b", "default") as process:
        wanted = {"node:a": 1, "node:b": 1, "default": 1}
        wait_until(lambda: served(engine) == wanted, 60, "presence of all three")
        process.terminate()
        assert process.wait(12) == 0
    wait_until(lambda: not served(engine), 5, "their good-bye")
