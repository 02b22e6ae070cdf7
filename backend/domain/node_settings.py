"""What may be set of a node: the rules for its name, address, capacity and quota."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from backend.domain.errors import CascadeError, InvalidInput
from backend.domain.feeds import check_url

MAX_NAME = 100
MAX_DESCRIPTION = 2000
MAX_API_URL = 512
LARGEST_CAPACITY = 10_000
DEFAULT_CAPACITY = 10
LARGEST_WEIGHT = 1_000_000
MAX_QUOTA_FEEDS = 20_000


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What people set of a node; `None` leaves a setting as it is. `feed_quota` replaces the whole quota."""

    name: str | None = None
    description: str | None = None
    api_url: str | None = None
    is_active: bool | None = None
    draining: bool | None = None
    max_capacity: int | None = None
    feed_quota: Mapping[str, int] | None = None


def check_settings(wanted: NodeSettings) -> NodeSettings:
    """The settings in their normal form. Raises `InvalidInput` naming every field that can't be used."""
    troubles: dict[str, str | CascadeError] = {}

    def checked(path: str, check: Callable[..., object], value: object) -> None:
        try:
            if value is not None:
                check(value)
        except InvalidInput as error:
            troubles[path] = error

    checked("name", check_name, wanted.name)
    checked("description", _check_description, wanted.description)
    checked("api_url", check_api_url, wanted.api_url)
    checked("sync_config.max_capacity", _check_capacity, wanted.max_capacity)
    checked("sync_config.feed_quota", _check_quota, wanted.feed_quota)
    if troubles:
        raise InvalidInput(fields=troubles)
    return NodeSettings(
        name=None if wanted.name is None else check_name(wanted.name),
        description=None if wanted.description is None else wanted.description.strip(),
        api_url=None if wanted.api_url is None else check_api_url(wanted.api_url),
        is_active=wanted.is_active,
        draining=wanted.draining,
        max_capacity=wanted.max_capacity,
        feed_quota=None if wanted.feed_quota is None else dict(wanted.feed_quota),
    )


def check_name(name: str) -> str:
    """The name without outer spaces. Raises `InvalidInput`."""
    cleaned = name.strip()
    if not 1 <= len(cleaned) <= MAX_NAME or not cleaned.isprintable():
        raise InvalidInput("bad_node_name", name=cleaned[:MAX_NAME])
    return cleaned


def check_api_url(url: str) -> str:
    """Where a node answers, without a slash at its end; empty for a node that can't be reached. Raises `InvalidInput`."""
    if not url.strip():
        return ""
    try:
        normal = check_url(url)
    except InvalidInput as error:
        if error.code == "secret_in_url":
            raise
        raise InvalidInput("bad_node_url", url=url[:200]) from None
    if "?" in normal or len(normal) > MAX_API_URL:
        raise InvalidInput("bad_node_url", url=url[:200])
    return normal.rstrip("/")


def _check_description(description: str) -> None:
    if len(description) > MAX_DESCRIPTION:
        raise InvalidInput("bad_node_description", limit=MAX_DESCRIPTION)


def _check_capacity(capacity: int) -> None:
    if not 1 <= capacity <= LARGEST_CAPACITY:
        raise InvalidInput("bad_capacity", capacity=capacity)


def _check_quota(quota: Mapping[str, int]) -> None:
    if len(quota) > MAX_QUOTA_FEEDS:
        raise InvalidInput("too_large_quota", limit=MAX_QUOTA_FEEDS)
    for feed_id, weight in quota.items():
        if not 1 <= len(feed_id) <= 64 or not feed_id.isascii():
            raise InvalidInput("bad_quota_feed", feed=feed_id[:64])
        if not 1 <= weight <= LARGEST_WEIGHT:
            raise InvalidInput("bad_quota", feed=feed_id, weight=weight, limit=LARGEST_WEIGHT)
