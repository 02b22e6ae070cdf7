"""What each error of a database means: exhaustively, and so that nothing unforeseen loses work."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql import err
from pymysql.constants import CR, ER
from sqlalchemy.exc import DBAPIError, OperationalError

from backend.domain.database_errors import (
    SERVER_CODES,
    SQLITE_CODES,
    Remedy,
    Trouble,
    judge,
)
from backend.domain.errors import Unavailable
from backend.domain.messages import CATALOGUE
from backend.store.verdicts import unavailable, verdict_on

REPEATED = {
    *(ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT, 1020, 1053, 1317, 1927, 4031),
    *(ER.CON_COUNT_ERROR, 1203, ER.USER_LIMIT_REACHED),
    *(CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, CR.CR_CONN_HOST_ERROR, CR.CR_CONNECTION_ERROR),
}
CONDITIONS = {
    ER.OPTION_PREVENTS_STATEMENT: "database_read_only",
    1792: "database_read_only",
    1836: "database_read_only",
    ER.DISK_FULL: "database_full",
    ER.RECORD_FILE_FULL: "database_full",
    1969: "database_slow",
    3024: "database_slow",
    ER.ACCESS_DENIED_ERROR: "database_refuses_us",
    ER.BAD_DB_ERROR: "database_missing",
    ER.CRASHED_ON_USAGE: "database_damaged",
}


def server(number: int, text: str = "", family: str = "OperationalError") -> Trouble:
    return Trouble(family, number, text)


@pytest.mark.parametrize("number", sorted(REPEATED))
def test_what_a_moment_mends_is_repeated(number: int) -> None:
    assert judge(server(number)).remedy is Remedy.REPEAT


@pytest.mark.parametrize("number", CONDITIONS)
def test_the_server_s_own_condition_is_named_and_not_hammered(number: int) -> None:
    verdict = judge(server(number))
    assert (verdict.remedy, verdict.why, verdict.tries) == (Remedy.LATER, CONDITIONS[number], 1)


@pytest.mark.parametrize("number", [1040, 1203, 1226, 1317])
def test_what_may_be_over_in_a_moment_is_tried_once_more_and_no_more(number: int) -> None:
    assert judge(server(number)).tries == 2


@pytest.mark.parametrize(
    "text", ["Got error 28 from storage engine", "Error writing file 'x' (Errcode: 28 \"No space left\")"]
)
@pytest.mark.parametrize("number", [3, 1026, 1030])
def test_a_storage_error_without_space_is_a_full_disk(number: int, text: str) -> None:
    assert judge(server(number, text)).why == "database_full"
    assert judge(server(number, "Errcode: 5")).why == "database_storage"


def test_a_server_that_takes_connections_and_answers_nothing_is_away() -> None:
    lost = server(CR.CR_SERVER_LOST, "(2013, 'Lost connection to MySQL server during query')")
    hung = replace(lost, text="(2013, 'Lost connection to MySQL server during query (timed out)')")
    assert (judge(lost).away, judge(hung).away, judge(server(2003)).away) == (False, True, True)


def test_each_condition_has_its_sentence() -> None:
    verdicts = [*SERVER_CODES.values(), *SQLITE_CODES.values()]
    assert {one.why for one in verdicts if one.remedy is not Remedy.REFUSED} <= set(CATALOGUE)
    assert all(one.tries >= 1 for one in verdicts)


@given(
    st.integers(0, 2**16),
    st.sampled_from(["OperationalError", "InternalError", "ProgrammingError", "InterfaceError"]),
    st.booleans(),
)
def test_what_nobody_foresaw_blames_nobody_s_data(number: int, family: str, is_sqlite: bool) -> None:
    codes = SQLITE_CODES if is_sqlite else SERVER_CODES
    verdict = judge(Trouble(family, number, "", is_sqlite))
    known = codes.get(number & 0xFF if is_sqlite else number)
    assert verdict.remedy is (known.remedy if known else Remedy.UNKNOWN)
    dead = judge(Trouble(family, number, "", is_sqlite, lost=True))
    assert known is not None or dead.remedy is Remedy.REPEAT


@pytest.mark.parametrize("family", ["DataError", "IntegrityError", "NotSupportedError"])
def test_data_that_can_never_be_taken_is_refused(family: str) -> None:
    assert judge(Trouble(family, 1406)).remedy is Remedy.REFUSED
    # A deadlock is one, whatever class a driver gives it.
    assert judge(Trouble(family, 1213)).remedy is Remedy.REPEAT


def caught(statement: str, file: str = ":memory:") -> DBAPIError:
    with pytest.raises(sqlite3.Error) as error, sqlite3.connect(file) as connection:
        connection.executescript(statement)
    return OperationalError(statement, None, error.value)


def test_real_errors_of_sqlite_are_told_by_their_codes() -> None:
    full = caught("PRAGMA max_page_count = 2; CREATE TABLE a (b); CREATE TABLE c (d); CREATE TABLE e (f);")
    assert verdict_on(full).why == "database_full"
    assert verdict_on(caught("SELECT * FROM nowhere")).remedy is Remedy.UNKNOWN
    assert verdict_on(caught("SELECT 1", "/nowhere/at/all.db")).why == "database_storage"
    readonly = caught("PRAGMA query_only = 1; CREATE TABLE a (b)")
    assert verdict_on(readonly).why == "database_read_only"
    assert verdict_on(caught("SELECT FROM")).remedy is Remedy.UNKNOWN


def test_real_errors_of_the_driver_become_what_callers_are_told() -> None:
    refused = unavailable(OperationalError("X", None, err.OperationalError(1290, "--read-only")))
    assert isinstance(refused, Unavailable)
    assert "read-only" in refused.sentence()
    assert "只读" in refused.sentence("zh")
    assert unavailable(OperationalError("X", None, err.OperationalError(1054, "Unknown column"))) is None
    closed = DBAPIError("X", None, err.InterfaceError(0, ""), connection_invalidated=True)
    assert isinstance(unavailable(closed), Unavailable)
