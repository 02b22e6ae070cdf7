"""What a message task may hold: every field checked, whoever writes it (API, CLI, import)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from backend.domain.errors import CascadeError, InvalidInput
from backend.domain.overlap import Overlap, check_overlap
from backend.domain.receivers import Receiver, check_receiver, parse_cookies, parse_headers
from backend.domain.rendering import check_message_type, check_template
from backend.domain.schedules import check_cron, check_time_zone

T = TypeVar("T")

ALL_FEEDS: Literal["all"] = "all"
MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class TaskContent:
    """What a person says about a message task. `headers` is a JSON object as text; without `cron_exp` it runs by hand.

    `autonomous_node_id`: the remote node that runs it while it does not reach its parent; empty for none.
    """

    name: str
    feed_ids: tuple[str, ...] | Literal["all"]
    message_type: int = 0
    message_template: str = ""
    web_hook_url: str = ""
    headers: str = ""
    cookies: str = ""
    cron_exp: str = ""
    time_zone: str = "UTC"
    enabled: bool = True
    overlap: str = Overlap.QUEUE.value
    autonomous_node_id: str = ""


@dataclass(frozen=True, slots=True)
class CheckedTask:
    """Content in its normal form, with the receiver that its URL means (`None` without one)."""

    content: TaskContent
    receiver: Receiver | None


def check_task(content: TaskContent) -> CheckedTask:
    """The content, usable. Raises `InvalidInput` that names every field that is not."""
    troubles: dict[str, CascadeError] = {}

    def attempt(field: str, check: Callable[[], T], fallback: T) -> T:
        try:
            return check()
        except InvalidInput as error:
            troubles[field] = error
            return fallback

    receiver: Receiver | None = None
    url, message_type = content.web_hook_url.strip(), content.message_type
    attempt("message_type", lambda: check_message_type(message_type), None)
    if "message_type" not in troubles:
        attempt("message_template", lambda: check_template(content.message_template, message_type), None)
    if url and "message_type" not in troubles:
        receiver = attempt("web_hook_url", lambda: check_receiver(url, message_type), None)
    normal = dataclasses.replace(
        content,
        name=attempt("name", lambda: _check_name(content.name), ""),
        feed_ids=attempt("feed_ids", lambda: _check_feeds(content.feed_ids), ()),
        web_hook_url=url,
        headers=attempt("headers", lambda: normal_headers(content.headers), ""),
        cookies=attempt("cookies", lambda: parse_cookies(content.cookies), ""),
        cron_exp=attempt("cron_exp", lambda: check_cron(content.cron_exp), ""),
        time_zone=attempt("time_zone", lambda: check_time_zone(content.time_zone or "UTC"), ""),
        overlap=attempt("overlap", lambda: check_overlap(content.overlap), ""),
    )
    if troubles:
        raise InvalidInput(fields=troubles)
    return CheckedTask(normal, receiver)


def normal_headers(text: str) -> str:
    """Headers as the text of a JSON object; empty without any. Raises `InvalidInput`."""
    headers = parse_headers(text)
    return json.dumps(headers, ensure_ascii=False) if headers else ""


def _check_name(name: str) -> str:
    stripped = name.strip()
    if not 1 <= len(stripped) <= MAX_NAME or not stripped.isprintable():
        raise InvalidInput("bad_name", limit=MAX_NAME)
    return stripped


def _check_feeds(feed_ids: tuple[str, ...] | Literal["all"]) -> tuple[str, ...] | Literal["all"]:
    if feed_ids == ALL_FEEDS:
        return ALL_FEEDS
    if not feed_ids:
        raise InvalidInput("no_feeds")
    return tuple(sorted(set(feed_ids)))
