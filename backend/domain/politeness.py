"""How many requests one host gets at a time, and what a feed's host is: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from backend.domain.feeds import WECHAT

LONGEST_HOST = 255
# For a host that says "too many requests" without saying for how long.
HOLD_SECONDS = 60.0
# After the first failed run; doubles with each further one in a row.
FIRST_CHECK_SECONDS = 900.0
LAST_CHECK_SECONDS = 86400.0

Item = TypeVar("Item", bound="OnHost")


class OnHost(Protocol):
    """What admission needs to know of a work item."""

    @property
    def host(self) -> str:
        """Where its feed lives; empty when nobody limits it."""
        ...


@dataclass(frozen=True, slots=True)
class HostLimits:
    """How one host is treated: so many items at a time (0: any number), starts at least `gap_seconds` apart."""

    concurrency: int = 0
    gap_seconds: float = 0.0


NO_LIMITS = HostLimits()


def host_of_feed(kind: str, url: str) -> str:
    """The host and port that a feed is asked from, as a short ASCII key.

    Empty for WeChat accounts: all of them live on one host, and each child paces its own login.
    """
    if kind == WECHAT:
        return ""
    authority = urlsplit(url).netloc.rpartition("@")[2].casefold()
    return authority.encode("ascii", "xmlcharrefreplace").decode()[:LONGEST_HOST]


def admit(items: Iterable[Item], in_flight: Mapping[str, int], concurrency: int) -> list[Item]:
    """The items, oldest first, within each host's limit; `in_flight` counts what nodes have already."""
    if concurrency <= 0:
        return list(items)
    used = dict(in_flight)
    admitted: list[Item] = []
    for item in items:
        if not item.host:
            admitted.append(item)
        elif used.get(item.host, 0) < concurrency:
            used[item.host] = used.get(item.host, 0) + 1
            admitted.append(item)
    return admitted


def sane_wait(asked: float | None) -> float | None:
    """The wait that a plug-in asks for, at most a day; one that is no number of seconds is none."""
    return None if asked is None or not isfinite(asked) else min(max(asked, 0.0), LAST_CHECK_SECONDS)


def next_check_seconds(failures: int, asked: float | None = None) -> float:
    """How long schedules leave a feed out after `failures` failed runs in a row: 15 min, doubled each time, at most a day.

    Never shorter than what the other side `asked` for.
    """
    # The exponent is bounded first: a feed that fails for years must not overflow the power.
    wait = FIRST_CHECK_SECONDS * 2.0 ** min(max(0, failures - 1), 10)
    return max(min(wait, LAST_CHECK_SECONDS), asked or 0.0)
