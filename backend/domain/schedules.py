"""When schedules fire: cron expressions of five fields, each in a time zone.

The rules where clocks change (also in docs/schedules.md):

- A schedule with exact times (neither its minute nor its hour starts with `*`) fires once for each time that its
  expression names. A time that does not exist that day fires at the first minute that exists after it; several
  such times, and that minute's own, are one tick. A time that occurs twice fires the first time only.
- Any other schedule follows the face of the clock: what does not exist does not fire, what occurs twice fires twice.

The library matches wall times only, and the zone is applied here: its own zone handling loses ticks where clocks
change by half an hour and can answer a time before the one it was asked from.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from backend.domain.errors import InvalidInput

FIELDS = 5
# Any moment will do: only whether the schedule ever fires matters, and a check must not read the clock.
SOME_MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
# A week of a tick each minute: counting on would keep everything else waiting.
MOST_COUNTED = 10_000


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


@dataclass(frozen=True, slots=True)
class Schedule:
    """A checked cron expression and the time zone that it is meant in."""

    cron: str
    time_zone: str = "UTC"

    @property
    def exact(self) -> bool:
        """Whether it names exact times of day, rather than following the clock's face."""
        minute, hour = self.cron.split()[:2]
        return not (minute.startswith("*") or hour.startswith("*"))

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Every moment after this one at which it fires, in order, in UTC; ends when it never fires again."""
        zone = ZoneInfo(self.time_zone)
        walls = _wall_times(self.cron, _first_wall(moment, zone))
        moments = _exact_moments(walls, zone) if self.exact else _face_moments(walls, zone)
        last = moment
        for one in moments:
            if one > last:
                yield one
                last = one

    def next_after(self, moment: datetime) -> datetime | None:
        """The next moment at which it fires, in UTC."""
        return next(self.after(moment), None)

    def upcoming(self, first: datetime | None, count: int) -> list[datetime]:
        """The fire times from `first`, which is one, at most `count`."""
        return [] if first is None else [first, *islice(self.after(first), count - 1)]


@dataclass(frozen=True, slots=True)
class Due:
    """The ticks that are due: the oldest, the newest, how many they are, and when the next one is.

    `count` stops at `MOST_COUNTED`, and `last` with it.
    """

    first: datetime
    last: datetime
    count: int
    next_at: datetime | None


def due_ticks(schedule: Schedule, first: datetime, now: datetime) -> Due:
    """What is due at `now`, when `first`, which is due, was the tick to come."""
    last, count = first, 1
    for moment in schedule.after(first):
        if moment > now:
            return Due(first, last, count, moment)
        if count == MOST_COUNTED:
            return Due(first, last, count, schedule.next_after(now))
        last, count = moment, count + 1
    return Due(first, last, count, None)


def _wall_times(cron: str, start: datetime) -> Iterator[datetime]:
    try:
        yield from CronSim(cron, start)
    except OverflowError:
        # Beyond the year 9999.
        return


def _first_wall(moment: datetime, zone: ZoneInfo) -> datetime:
    """A wall time from which no tick after the moment is missed: around a change, earlier by what clocks change."""
    change = _offset(moment - DAY, zone) - _offset(moment + DAY, zone)
    return moment.astimezone(zone).replace(tzinfo=None, microsecond=0) - abs(change)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _exact_moments(walls: Iterable[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    for wall in walls:
        there = wall
        while not _exists(there, zone):
            there = there.replace(second=0) + MINUTE
        yield _at(there, zone, 0)


def _face_moments(walls: Iterable[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    waiting: list[datetime] = []
    for wall in walls:
        if not _exists(wall, zone):
            continue
        first, second = _at(wall, zone, 0), _at(wall, zone, 1)
        # A repeated hour's second pass comes after all of its first, so it waits for its turn.
        while waiting and waiting[0] <= first:
            yield heapq.heappop(waiting)
        yield first
        if second != first:
            heapq.heappush(waiting, second)
    while waiting:
        yield heapq.heappop(waiting)


def _at(wall: datetime, zone: ZoneInfo, fold: int) -> datetime:
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _exists(wall: datetime, zone: ZoneInfo) -> bool:
    return _at(wall, zone, 0).astimezone(zone).replace(tzinfo=None, fold=0) == wall
