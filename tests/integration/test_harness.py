"""The harness keeps its own promises: real servers, clean databases, nothing leaves loopback."""

from __future__ import annotations

import socket

import pymysql
import pytest
from redis import Redis
from sqlalchemy import Engine, inspect, text

from backend.store.schema import schema_state
from backend.store.session import create_engine_for
from tests import loopback
from tests.databases import MariaDbTemplate
from tests.loopback import LeftLoopback
from tests.servers import MariaDb, RedisServer, wait_until


def test_an_empty_database_has_no_tables(database_url: str) -> None:
    engine = create_engine_for(database_url, pooled=False)
    assert inspect(engine).get_table_names() == []
    engine.dispose()


@pytest.mark.parametrize("turn", [1, 2])
def test_a_migrated_database_is_clean_whatever_the_test_before_did(engine: Engine, turn: int) -> None:
    with engine.begin() as connection:
        assert connection.scalars(text("SELECT name FROM locks")).all() == ["pump"]
        connection.execute(text("DELETE FROM locks"))
        connection.execute(text("INSERT INTO locks (name) VALUES ('left behind')"))
    assert schema_state(engine) == "current"


def test_an_abandoned_transaction_does_not_block_the_next_test(mariadb_template: MariaDbTemplate) -> None:
    with mariadb_template.server.connect(mariadb_template.name) as abandoned, abandoned.cursor() as cursor:
        abandoned.begin()
        assert cursor.execute("SELECT name FROM locks FOR UPDATE") == 1
        assert mariadb_template.fresh().endswith(mariadb_template.name)
        with pytest.raises(pymysql.err.OperationalError):
            cursor.execute("SELECT 1")


@pytest.mark.parametrize("turn", [1, 2])
def test_a_server_variable_lasts_until_the_end_of_the_test(mariadb: MariaDb, turn: int) -> None:
    query = "SELECT @@GLOBAL.wait_timeout AS seconds"
    assert mariadb.execute(query) == [{"seconds": 28800}]
    mariadb.set_global("wait_timeout", 2)
    assert mariadb.execute(query) == [{"seconds": 2}]


def test_committed_rows_survive_a_killed_mariadb(mariadb: MariaDb) -> None:
    name = mariadb.create_database()
    with mariadb.connect(name) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept (id INT PRIMARY KEY)")
        cursor.execute("INSERT INTO kept VALUES (7)")
    mariadb.kill()
    with pytest.raises(pymysql.err.OperationalError):
        mariadb.connect()
    mariadb.start()
    with mariadb.connect(name) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM kept")
        assert list(cursor.fetchall()) == [{"id": 7}]
    mariadb.drop_database(name)


def test_the_process_list_shows_the_connections_of_others(mariadb: MariaDb) -> None:
    name = mariadb.create_database()
    with mariadb.connect(name):
        assert [row["COMMAND"] for row in mariadb.process_list() if row["DB"] == name] == ["Sleep"]
    wait_until(
        lambda: all(row["DB"] != name for row in mariadb.process_list()), 5, "the end of the connection"
    )
    mariadb.drop_database(name)


def test_redis_keeps_its_data_over_a_restart(redis_server: RedisServer) -> None:
    with redis_server.client() as before:
        before.set("kept", "yes")
    redis_server.restart()
    with redis_server.client() as after:
        assert after.get("kept") == b"yes"


@pytest.mark.parametrize("turn", [1, 2])
def test_redis_is_empty_at_the_start_of_a_test(redis_client: Redis, turn: int) -> None:
    assert redis_client.dbsize() == 0
    redis_client.set("left behind", "yes")


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("10.0.0.1", 3306), ("169.254.169.254", 80)])
def test_a_connection_to_another_machine_is_refused_and_remembered(address: tuple[str, int]) -> None:
    with socket.socket() as client, pytest.raises(LeftLoopback):
        client.connect(address)
    assert loopback.violations == [f"{address[0]}:{address[1]}"]
    loopback.violations.clear()


def test_names_of_other_machines_are_not_looked_up() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("feeds.example.com", 443)
    assert socket.getaddrinfo("localhost", 80)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "localhost", "0.0.0.0"]
)
def test_loopback_has_many_names(host: str) -> None:
    assert loopback.is_local(host)


@pytest.mark.parametrize("host", ["128.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "localhost.example.com"])
def test_names_that_look_like_loopback_are_not(host: str) -> None:
    assert not loopback.is_local(host)
