"""When schedules should fire, found by looking at the clock's face all year: it shares nothing with the product."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai")


def _values(field: str, top: int) -> set[int]:
    return set(range(top)) if field == "*" else {int(one) for one in field.split(",")}


def expected(cron: str, zone: str, start: datetime, end: datetime, step: int = 15) -> list[datetime]:
    """The fire times in [start, end), for minute, hour and weekday (0: Sunday) as `*` or a list of numbers."""
    minute, hour, _, _, weekday = cron.split()
    minutes, hours, days = _values(minute, 60), _values(hour, 24), _values(weekday, 7)

    def matches(wall: datetime) -> bool:
        return wall.minute in minutes and wall.hour in hours and wall.isoweekday() % 7 in days

    between = timedelta(minutes=step)
    faces = _faces(zone, start, end, between)
    if "*" in (minute, hour):
        return [at for at, wall in faces if matches(wall)]
    found, highest = [], faces[0][1] - between
    for at, wall in faces:
        # What the face has come past for the first time, jumped over or not.
        usual = wall == highest + between
        if matches(wall) if usual else any(map(matches, _each(highest + between, wall + between, between))):
            found.append(at)
        highest = max(highest, wall)
    return found


@cache
def _faces(zone: str, start: datetime, end: datetime, step: timedelta) -> list[tuple[datetime, datetime]]:
    there = ZoneInfo(zone)
    return [(at, at.astimezone(there).replace(tzinfo=None)) for at in _each(start, end, step)]


def _each(start: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    while start < end:
        yield start
        start += step
