"""Checks of cron expressions and time zones."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from backend.domain.errors import InvalidInput

FIELDS = 5
# Any moment will do: only whether the schedule ever fires matters, and a check must not read the clock.
SOME_MOMENT = datetime(2024, 1, 1, tzinfo=UTC)


def check_cron(expression: str) -> str:
    """The expression with single spaces; empty stays empty (by hand). Raises `InvalidInput`."""
    normal = " ".join(expression.split())
    if not normal:
        return ""
    count = len(normal.split(" "))
    if count != FIELDS:
        raise InvalidInput("bad_cron", expression=expression, detail=f"it has {count} fields")
    try:
        next(CronSim(normal, SOME_MOMENT))
    except CronSimError as error:
        raise InvalidInput("bad_cron", expression=expression, detail=str(error)) from None
    except StopIteration:
        raise InvalidInput("bad_cron", expression=expression, detail="it never fires") from None
    return normal


def check_time_zone(name: str) -> str:
    """The name of a time zone that exists. Raises `InvalidInput`."""
    stripped = name.strip()
    try:
        ZoneInfo(stripped)
    except (ValueError, OSError):
        # Not found is a KeyError, a path a ValueError, a folder such as "Asia" an OSError.
        raise InvalidInput("bad_time_zone", name=name) from None
    except KeyError:
        raise InvalidInput("bad_time_zone", name=name) from None
    return stripped
