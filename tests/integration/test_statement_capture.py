"""What `./cascade bench explain` looks with: a statement that reads or sorts a large table is found, a good one is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text

from benchmarks.explain import report_of
from benchmarks.harness.capture import Access, Recorder, Statement, findings, normal, table_sizes
from tests.servers import MariaDb

ROWS, LARGE = 2000, 500

pytestmark = pytest.mark.mariadb


@pytest.fixture
def filled(mariadb: MariaDb) -> Iterator[Engine]:
    """A table with an index on `state`, of whose rows hardly any is open."""
    name = mariadb.create_database()
    engine = create_engine(mariadb.url(name))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE works (id INT PRIMARY KEY, state VARCHAR(8) NOT NULL, place INT NOT NULL, KEY states (state, id))"
        )
        connection.exec_driver_sql(
            "INSERT INTO works SELECT seq, IF(seq %% 200 = 0, 'open', 'done'), seq %% 97 FROM seq_1_to_2000"
        )
        connection.exec_driver_sql("ANALYZE TABLE works")
    yield engine
    engine.dispose()
    mariadb.drop_database(name)


def captured(engine: Engine, *statements: str) -> list[Statement]:
    """What the recorder saw of the statements."""
    recorder = Recorder(engine)
    with recorder.loop("test"), engine.begin() as connection:
        for one in statements:
            connection.execute(text(one), {"state": "open", "place": 5})
    return list(recorder.statements.values())


def verdict(engine: Engine, statement: str) -> list[str]:
    """What is wrong with the statement."""
    (seen,) = captured(engine, statement)
    return findings(seen, table_sizes(engine), LARGE)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT id FROM works WHERE place = :place", "reads all of works"),
        ("UPDATE works SET place = place + 1 WHERE place = :place", "reads all of works"),
        ("SELECT count(*) FROM works WHERE state <> :state", "rows"),
        ("SELECT id FROM works ORDER BY place, id LIMIT 700", "sorts 700 rows"),
    ],
)
def test_what_reads_or_sorts_a_large_table_is_found(filled: Engine, statement: str, expected: str) -> None:
    assert expected in " and ".join(verdict(filled, statement))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id FROM works WHERE state = :state ORDER BY id LIMIT 5",
        "SELECT place FROM works WHERE id = 7 FOR UPDATE",
        "UPDATE works SET place = :place WHERE state = :state",
        "SELECT id FROM works ORDER BY id LIMIT 10",
    ],
)
def test_what_an_index_serves_is_not_found(filled: Engine, statement: str) -> None:
    assert verdict(filled, statement) == []


def test_a_bad_statement_breaks_the_run_unless_a_reason_exempts_it(filled: Engine) -> None:
    bad = "SELECT id FROM works WHERE place = :place"
    statements, sizes = captured(filled, bad), table_sizes(filled)
    assert any("reads all of works" in one for one in report_of(statements, sizes, LARGE, {}).broken)
    exempt = {"SELECT id FROM works": "it is a test"}
    assert report_of(statements, sizes, LARGE, exempt).broken == []
    assert report_of([], sizes, LARGE, exempt).broken == []


def test_looking_at_a_statement_changes_neither_its_result_nor_what_it_reads(filled: Engine) -> None:
    recorder = Recorder(filled)
    with recorder.loop("test"), filled.begin() as connection:
        found = (
            connection.execute(text("SELECT id FROM works WHERE state = 'open' ORDER BY id")).scalars().all()
        )
    assert found == list(range(200, ROWS + 1, 200))
    (seen,) = recorder.statements.values()
    assert len(found) <= seen.read <= len(found) + 2
    assert [(access.how, access.key) for access in seen.plan] == [("ref", "states")]


def test_the_same_statement_with_longer_lists_is_one_statement() -> None:
    short = "SELECT a FROM b WHERE a IN (%(a_1_1)s) AND c = %(c_1)s"
    long = "SELECT a FROM b\nWHERE a IN (%(a_1_1)s, %(a_1_2)s, %(a_1_3)s) AND c = %(c_2)s"
    assert normal(short) == normal(long)


def test_a_small_table_may_be_read_whole() -> None:
    seen = Statement("x", {"test": 1}, (Access("nodes", "ALL", "", 10),), read=10)
    assert findings(seen, {"nodes": 10}, LARGE) == []
    assert findings(seen, {"nodes": LARGE}, LARGE) == ["reads all of nodes"]
