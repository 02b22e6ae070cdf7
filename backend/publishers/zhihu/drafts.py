"""Drafts at Zhihu (wire 2.2): made, saved, given topics and read back. The draft's id is the article's later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from backend.domain.errors import WorkError
from backend.publishers.conversation import object_of
from backend.publishers.evidence import State, normal
from backend.publishers.zhihu.wire import ZHUANLAN, Conversation, Hidden, needed

MAX_TOPICS = 3


def create(title: str, talk: Conversation) -> str:
    """Make an empty draft; its id. One whose answer got lost stays behind, which harms nobody. Raises `WorkError`."""
    content = {"title": title, "delta_time": 0, "table_of_contents": False, "can_reward": False}
    return needed(object_of(talk.call("POST", f"{ZHUANLAN}/api/articles/drafts", content=content)), "id")


def save(draft_id: str, title: str, html: str, cover: str, talk: Conversation) -> bool:
    """Save the whole content; `False` when the draft is not there any more. Raises `WorkError`."""
    content: dict[str, Any] = {
        "title": title,
        "content": html,
        "table_of_contents": False,
        "delta_time": 30,
        "can_reward": False,
    }
    if cover:
        content |= {"titleImage": cover, "isTitleImageFullScreen": False}
    response = talk.call(
        "PATCH",
        f"{ZHUANLAN}/api/articles/{quote(draft_id, safe='')}/draft",
        content=content,
        referer=edit_url(draft_id),
        expected={404, 410},
    )
    return response.status < 300


def add_topics(draft_id: str, tags: Sequence[str], talk: Conversation) -> tuple[str, ...]:
    """Give the draft Zhihu's topics for the tags, three at most; sentences about those that it has none for."""
    warnings = [f"Zhihu takes {MAX_TOPICS} topics: {', '.join(tags[MAX_TOPICS:])} left out"] * (
        len(tags) > MAX_TOPICS
    )
    for tag in tags[:MAX_TOPICS]:
        topic = _topic(tag, talk)
        if topic is None:
            warnings.append(f"Zhihu has no topic for the tag {tag}")
            continue
        talk.call(
            "POST",
            f"{ZHUANLAN}/api/articles/{quote(draft_id, safe='')}/topics",
            content=topic,
            referer=edit_url(draft_id),
            expected={400, 409},
        )
    return tuple(warnings)


def _topic(tag: str, talk: Conversation) -> dict[str, Any] | None:
    query = f"token={quote(tag, safe='')}&max_matches=5&use_similar=0&topic_filter=1"
    found = _list_of(talk.call("GET", f"{ZHUANLAN}/api/autocomplete/topics?{query}").body)
    exact = [one for one in found if normal(str(one.get("name") or "")) == normal(tag)]
    return next(iter([*exact, *found]), None)


def _list_of(body: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def state(draft_id: str, talk: Conversation) -> State:
    """Ask for the draft by its id. Raises `WorkError` where that says nothing about the draft."""
    try:
        response = talk.call(
            "GET",
            f"{ZHUANLAN}/api/articles/{quote(draft_id, safe='')}/draft",
            referer=edit_url(draft_id),
            expected={404, 410},
        )
    except Hidden:
        return State.HIDDEN
    except WorkError as error:
        if error.code == "rejected":
            return State.HIDDEN
        raise
    if response.status >= 300:
        return State.GONE
    told = object_of(response).get("state")
    return State(told) if told in {State.DRAFT, State.PUBLISHED} else State.HIDDEN


def edit_url(draft_id: str) -> str:
    """Where the draft's author can see it."""
    return f"{ZHUANLAN}/p/{draft_id}/edit"


def article_url(article_id: str) -> str:
    """Where everybody can read the article."""
    return f"{ZHUANLAN}/p/{article_id}"
