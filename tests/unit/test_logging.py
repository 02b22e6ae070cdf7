"""What the logs say of connections that die."""

from __future__ import annotations

import logging

import pytest
from pymysql.err import OperationalError

from backend.bootstrap import LostConnectionFilter


def told(caplog: pytest.LogCaptureFixture, error: Exception) -> logging.LogRecord:
    """What is logged of a failed reset, as the pool of SQLAlchemy does it."""
    log = logging.getLogger("sqlalchemy.pool.impl.NullPool")
    telling = LostConnectionFilter()
    log.addFilter(telling)
    try:
        raise error
    except type(error):
        log.exception("Exception during reset or similar")
    finally:
        log.removeFilter(telling)
    return caplog.records[-1]


def test_a_lost_connection_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    record = told(caplog, OperationalError(2013, "Lost connection to MySQL server during query"))
    assert (record.levelname, record.exc_info) == ("INFO", None)
    assert "Lost connection" in record.getMessage()


def test_a_bug_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    record = told(caplog, ZeroDivisionError("a bug"))
    assert record.levelname == "ERROR"
    assert record.exc_info
    assert record.exc_info[0] is ZeroDivisionError
