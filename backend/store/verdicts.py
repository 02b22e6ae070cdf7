"""What the errors that SQLAlchemy raises mean, read off the driver's own."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

from backend.domain.database_errors import Remedy, Trouble, Verdict, judge
from backend.domain.errors import Unavailable


def verdict_on(error: DBAPIError) -> Verdict:
    """What the error means; see `backend.domain.database_errors`."""
    driver = error.orig
    arguments = getattr(driver, "args", ())
    told = arguments[0] if arguments else 0
    return judge(
        Trouble(
            family=type(error).__name__,
            number=getattr(driver, "sqlite_errorcode", told if isinstance(told, int) else 0),
            text=str(driver),
            is_sqlite=isinstance(driver, sqlite3.Error),
            lost=error.connection_invalidated,
        )
    )


def is_transient(error: DBAPIError) -> bool:
    """Whether running the whole transaction again on a new connection makes sense."""
    return verdict_on(error).remedy is Remedy.REPEAT


def is_refused(error: DBAPIError) -> bool:
    """Whether what was sent is at fault, so that it would be refused again."""
    return verdict_on(error).remedy is Remedy.REFUSED


def unavailable(error: DBAPIError) -> Unavailable | None:
    """The error for callers when the database's own condition is the cause, else `None`: then it is a bug, or their data."""
    verdict = verdict_on(error)
    return (
        Unavailable(verdict.why, part="The database")
        if verdict.remedy in {Remedy.REPEAT, Remedy.LATER}
        else None
    )
