"""Rows of a WeRSS database as ours: pure. What can't be kept raises `Left` with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Literal

from backend.domain.children import DELETED_STATUS, moment, read_articles, text, usable_id, was_taken_back
from backend.domain.feeds import FeedDraft
from backend.domain.message_tasks import ALL_FEEDS, CheckedTask, TaskContent, check_task
from backend.domain.orders import ArticleDraft
from backend.domain.wechat_feeds import draft_account
from backend.domain.werss_rows import MAX_ID, Left, Raw, flag, local_moment, number, row_id, usable
from backend.domain.werss_schedules import from_werss
from backend.domain.werss_templates import compare_template
from backend.domain.why import Why

MAX_FEED_ID = 64
MAX_USER_NAME = 100
ROLE_OF = {"admin": "admin", "editor": "operator", "user": "viewer", "": "viewer"}
DEFAULT_USER_ID = "0"
DEFAULT_USER = "admin"


@dataclass(frozen=True, slots=True)
class MovedFeed:
    """A WeChat account; its id stays."""

    draft: FeedDraft
    is_active: bool
    collected_at: datetime | None
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class MovedArticle:
    """An article with the feed that it belongs to and the moments that WeRSS stored it at."""

    feed_id: str
    draft: ArticleDraft
    created_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class MovedTask:
    """A message task; its id stays. `remarks` say what is different now."""

    id: str
    task: CheckedTask
    remarks: tuple[Why, ...]


@dataclass(frozen=True, slots=True)
class MovedUser:
    """A user with the password's hash as it is."""

    id: str
    name: str
    password_hash: str
    role: str
    is_active: bool
    created_at: datetime | None
    remarks: tuple[Why, ...]


def move_feed(raw: Raw, zone: tzinfo) -> MovedFeed:
    """A row of `feeds`. Raises `Left` for one that is no account."""
    feed_id = row_id(raw, MAX_FEED_ID)
    draft = usable(
        lambda: draft_account(
            feed_id=feed_id,
            faker_id=text(raw.get("faker_id")).strip(),
            name=text(raw.get("mp_name")) or feed_id,
            cover=text(raw.get("mp_cover")),
            intro=text(raw.get("mp_intro")),
        )
    )
    return MovedFeed(
        draft=draft,
        is_active=text(raw.get("status")) in {"", "1"},
        collected_at=moment(raw.get("sync_time")),
        created_at=local_moment(raw.get("created_at"), zone),
    )


def move_article(raw: Raw, zone: tzinfo, feed_ids: Collection[str]) -> MovedArticle:
    """A row of `articles`. Raises `Left` for one that was deleted, or whose feed is not here."""
    if was_taken_back(raw):
        raise Left(
            Why("werss_deleted" if number(raw.get("status")) == DELETED_STATUS else "werss_content_deleted")
        )
    feed_id = usable_id(raw.get("mp_id"))
    if feed_id not in feed_ids:
        raise Left(Why("werss_no_feed", {"feed": text(raw.get("mp_id"))[:MAX_FEED_ID] or "-"}))
    found = read_articles([raw])
    if not found:
        raise Left(Why("werss_empty_article"))
    created_at = local_moment(raw.get("created_at"), zone)
    return MovedArticle(
        feed_id=feed_id,
        draft=found[0].draft,
        created_at=created_at or found[0].draft.published_at,
        updated_at=local_moment(raw.get("updated_at"), zone) or created_at,
    )


def move_task(raw: Raw, zone: str, feed_ids: Collection[str]) -> MovedTask:
    """A row of `message_tasks`; `zone` is what its cron is meant in.

    Raises `Left` for one whose feeds, schedule, template or receiver would mean something else here.
    """
    task_id = row_id(raw, MAX_ID)
    named, missing = _feeds(text(raw.get("mps_id")), feed_ids)
    template = text(raw.get("message_template"))
    compared = compare_template(template if template.strip() else "")
    if compared.differences:
        raise Left(Why("werss_template_differs", {"findings": compared.differences}))
    schedule = text(raw.get("cron_exp")).strip()
    cron, changes = _schedule(schedule)
    content = TaskContent(
        name=" ".join(text(raw.get("name")).split()) or task_id,
        feed_ids=named,
        message_type=number(raw.get("message_type")),
        message_template=template,
        web_hook_url=text(raw.get("web_hook_url")).strip(),
        headers=text(raw.get("headers")),
        cookies=text(raw.get("cookies")),
        cron_exp=cron,
        time_zone=zone,
        enabled=text(raw.get("status")) == "1",
    )
    return MovedTask(task_id, usable(lambda: check_task(content)), missing + changes + compared.remarks)


def _feeds(
    written: str, feed_ids: Collection[str]
) -> tuple[tuple[str, ...] | Literal["all"], tuple[Why, ...]]:
    try:
        listed = json.loads(written)
    except ValueError:
        listed = None
    if not isinstance(listed, list):
        raise Left(Why("werss_bad_feed_list"))
    if not listed:
        return ALL_FEEDS, ()
    named = [text(one.get("id")) if isinstance(one, dict) else text(one) for one in listed]
    here = tuple(one for one in named if one in feed_ids)
    missing = [one for one in named if one not in feed_ids]
    if not here:
        raise Left(Why("werss_no_feed_here", {"count": len(named)}))
    return here, (
        Why("werss_feeds_missing", {"count": len(missing), "first": missing[0][:64]}),
    ) if missing else ()


def _schedule(written: str) -> tuple[str, tuple[Why, ...]]:
    if not written:
        return "", ()
    converted = usable(lambda: from_werss(written))
    return converted.cron, tuple(Why(code, {"expression": written}) for code in converted.notes)


def move_user(raw: Raw, zone: tzinfo, is_usable_hash: Callable[[str], bool]) -> MovedUser:
    """A row of `users`. Raises `Left` for one whose password could not be checked here."""
    user_id, name = row_id(raw, MAX_ID), text(raw.get("username")).strip()
    password_hash = text(raw.get("password_hash")).strip()
    if not 1 <= len(name) <= MAX_USER_NAME or not name.isprintable():
        raise Left(Why("werss_unusable", {"detail": Why("bad_name", {"limit": MAX_USER_NAME})}))
    if not is_usable_hash(password_hash):
        raise Left(Why("werss_password_kind"))
    theirs = text(raw.get("role")).strip().casefold()
    role = ROLE_OF.get(theirs, "viewer")
    return MovedUser(
        id=user_id,
        name=name,
        password_hash=password_hash,
        role=role,
        is_active=flag(raw.get("is_active")),
        created_at=local_moment(raw.get("created_at"), zone),
        remarks=() if theirs in ROLE_OF else (Why("werss_role_unknown", {"role": theirs[:40]}),),
    )


def has_default_name(user: MovedUser) -> bool:
    """Whether it could be the user that WeRSS makes by itself, whose password everybody knows."""
    return user.id == DEFAULT_USER_ID or user.name.casefold() == DEFAULT_USER
