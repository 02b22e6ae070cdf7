"""Failures that are the same but for numbers, ids and hosts, as one group: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

EXAMPLES = 3
PATTERN_LENGTH = 300
TEXT_LENGTH = 2000

# In this order: what is folded first must not be taken apart by what follows.
FOLDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>，。；）)]+", "<url>"),
        (r"\b[\w.+-]+@[\w-]+(\.[\w-]+)+\b", "<mail>"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", "<time>"),
        (r"\b\d{1,3}(\.\d{1,3}){3}(/\d+|:\d+)?\b", "<address>"),
        (r"(?<![\w:])(?=[0-9a-f]*:[0-9a-f]*:)[0-9a-f:]{3,39}(?![\w:])", "<address>"),
        (r"\b([a-z0-9_]([a-z0-9_-]*[a-z0-9])?\.)+(xn--[a-z0-9-]+|[a-z]{2,24})\b(:\d+)?", "<host>"),
        (r"\blocalhost(:\d+)?\b", "<host>"),
        (r"\b(?=[0-9a-f]*\d)[0-9a-f]{12,}\b", "<id>"),
    )
)
# 404 and 503 are different troubles, 12 s and 13 s are not: the status of an answer keeps its number.
STATUS = re.compile(r"(HTTP(?: status| 状态)?|status(?: code)?|answered)([ :=]+)([1-5]\d\d)\b", re.IGNORECASE)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def pattern_of(message: str) -> str:
    """The message on one line, with addresses, hosts, ids, times and numbers folded; folding again changes nothing."""
    text = " ".join(message[:TEXT_LENGTH].split())
    for expression, name in FOLDS:
        text = expression.sub(name, text)
    kept = STATUS.split(text)
    # Every fourth part is between statuses; the three after it are one status as it stands.
    parts = [NUMBER.sub("<n>", part) if place % 4 == 0 else part for place, part in enumerate(kept)]
    return "".join(parts)[:PATTERN_LENGTH]


@dataclass(frozen=True, slots=True)
class FailedWork:
    """One thing that ended badly. `noun` is item, delivery or allocation."""

    noun: str
    id: str
    error_code: str
    message: str
    at: datetime
    task_id: str | None = None
    run_id: str | None = None
    feed_id: str | None = None
    state: str = "failed"


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures of one noun, code and pattern; `examples` are the newest."""

    noun: str
    error_code: str
    pattern: str
    count: int
    first_seen: datetime
    last_seen: datetime
    feeds: int
    examples: tuple[FailedWork, ...]


@dataclass(slots=True)
class _Growing:
    members: list[FailedWork] = field(default_factory=list)

    def group(self, pattern: str) -> FailureGroup:
        newest = sorted(self.members, key=lambda one: (one.at, one.id), reverse=True)
        return FailureGroup(
            noun=newest[0].noun,
            error_code=newest[0].error_code,
            pattern=pattern,
            count=len(newest),
            first_seen=newest[-1].at,
            last_seen=newest[0].at,
            feeds=len({one.feed_id for one in newest if one.feed_id}),
            examples=tuple(newest[:EXAMPLES]),
        )


def grouped(failures: Iterable[FailedWork]) -> list[FailureGroup]:
    """The failures by noun, code and pattern; the most frequent group first, of equal ones the latest."""
    found: dict[tuple[str, str, str], _Growing] = {}
    for one in failures:
        key = (one.noun, one.error_code, pattern_of(one.message))
        found.setdefault(key, _Growing()).members.append(one)
    groups = [growing.group(key[2]) for key, growing in found.items()]
    return sorted(groups, key=lambda one: (-one.count, -one.last_seen.timestamp(), one.noun, one.pattern))
