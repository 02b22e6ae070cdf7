"""Values of a WeRSS database, read leniently: databases and versions write them differently."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import TypeVar

from backend.domain.children import moment, text, usable_id
from backend.domain.errors import CascadeError, InvalidInput
from backend.domain.why import Why

Raw = Mapping[str, object]
T = TypeVar("T")

MAX_ID = 36


class Left(Exception):
    """A row that is not taken, with the reason for people."""

    def __init__(self, why: Why) -> None:
        self.why = why
        super().__init__(why.sentence())


def local_moment(value: object, zone: tzinfo) -> datetime | None:
    """A moment that a database column holds: without a zone of its own it is meant in `zone`."""
    if isinstance(value, datetime):
        found: datetime | None = value
    else:
        try:
            found = datetime.fromisoformat(text(value).strip())
        except ValueError:
            found = None
    if found is None:
        return moment(value)
    try:
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def row_id(raw: Raw, limit: int) -> str:
    """The row's id as it is. Raises `Left` for one that can't be kept."""
    found = usable_id(raw.get("id"))
    if not found or len(found) > limit:
        raise Left(Why("werss_bad_id", {"limit": limit}))
    return found


def number(value: object, *, otherwise: int = 0) -> int:
    """A whole number as a database or JSON writes it; a bool counts as one."""
    try:
        return int(value) if isinstance(value, int | float) else int(text(value))
    except (ValueError, OverflowError):
        return otherwise


def flag(value: object) -> bool:
    """Whether something is on; WeRSS leaves it empty for on."""
    return value is None or number(value, otherwise=int(text(value).casefold() != "false")) != 0


def usable(check: Callable[[], T]) -> T:
    """What the check makes of it. Raises `Left` with what the check found wrong."""
    try:
        return check()
    except InvalidInput as error:
        raise Left(Why("werss_unusable", {"detail": whys(error)})) from error


def whys(error: InvalidInput) -> tuple[Why, ...]:
    """What is wrong, field by field."""
    troubles = [one for one in error.troubles.values() if isinstance(one, CascadeError)]
    return tuple(Why(one.code, one.params) for one in troubles or [error])
