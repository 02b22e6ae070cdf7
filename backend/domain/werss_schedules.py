"""Schedules of WeRSS, turned into ours as far as they mean the same."""

from __future__ import annotations

import re
from dataclasses import dataclass

from backend.domain.errors import InvalidInput
from backend.domain.schedules import FIELDS, check_cron

RANDOM = re.compile(r"(\d+)~(\d+)")
ONE_SECOND = re.compile(r"[0-5]?\d")


@dataclass(frozen=True, slots=True)
class Converted:
    """A schedule of ours, and the codes of the sentences that say what it does differently."""

    cron: str
    notes: tuple[str, ...] = ()


def from_werss(expression: str) -> Converted:
    """A WeRSS schedule (five fields, or six with seconds first; `a~b` is a random number) as ours.

    A random number becomes the middle of its range, and a second the start of its minute. Raises `InvalidInput`
    that says why a schedule can't be kept: it fires within the minute, its fields are none, or it wants day and
    weekday both to match (the scheduler of WeRSS), where ours takes either.
    """
    fields, notes = expression.split(), []
    if any(RANDOM.search(field) for field in fields):
        fields = [RANDOM.sub(_middle, field) for field in fields]
        notes.append("werss_random_fixed")
    if len(fields) == FIELDS + 1:
        second = fields.pop(0)
        if not ONE_SECOND.fullmatch(second):
            raise InvalidInput("werss_seconds", expression=expression)
        if int(second):
            notes.append("werss_second_dropped")
    fields = ["*" if field == "?" else field for field in fields]
    if len(fields) == FIELDS and not _starred(fields[2]) and not _starred(fields[4]):
        raise InvalidInput("werss_both_days", expression=expression)
    return Converted(check_cron(" ".join(fields)), tuple(notes))


def _middle(found: re.Match[str]) -> str:
    return str((int(found[1]) + int(found[2])) // 2)


def _starred(field: str) -> bool:
    return field.startswith("*")
