"""Examples for the contract, by the name of a field: a name means the same wherever it stands.

A field that needs another one says so itself: `Field(examples=[…])`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

AN_ID = "0199a3c4-7d5e-7c1b-9d8e-2f4a6b8c0d1e"
A_TIME = "2026-11-25T08:00:00Z"
A_SECRET = "x" * 32
WEB = "https://example.com"
# Of several, the first that has the field's type is taken.
BY_NAME: dict[str, tuple[Any, ...]] = {
    "access_key": ("WK" + A_SECRET,),
    "access_token": ("eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",),
    "action": ("retry",),
    "actor": ("user admin",),
    "api_key": ("CN" + A_SECRET,),
    "api_secret": ("CS" + A_SECRET,),
    "api_url": ("https://child.example.com",),
    "articles": ([{"id": "a-1", "title": "Hello", "url": f"{WEB}/hello", "publish_time": 1764057600}],),
    "author": ("Ana",),
    "by_status": ({"failed": 3},),
    "callback_url": ("https://child.example.com/notify",),
    "changed_by": ("admin",),
    "cause": ("its worker process ended: signal 9",),
    "checkpoint": ({"draft_id": "17"},),
    "client_secret": ("",),
    "code": (0, "connection_refused"),
    "content": ("<p>Hello</p>",),
    "cookies": ("session=abc",),
    "counts": ({"fresh": 3, "recent": 1, "stale": 0, "outdated": 0},),
    "cover": (f"{WEB}/cover.png",),
    "cover_url": (f"{WEB}/cover.png",),
    "cron_exp": ("*/30 * * * *",),
    "description": ("Beijing, second floor",),
    "detail": ("",),
    "ended_as": ("completed",),
    "error": ("connection_refused",),
    "error_code": ("",),
    "error_message": ("",),
    "errors": ([{"attempt": 1, "code": "http_status", "message": "The server answered 500."}],),
    "execution": (AN_ID,),
    "extra_data": ({},),
    "faker_id": ("",),
    "feed_ids": ("all", [AN_ID]),
    "feed_name": ("Example",),
    "feed_quota": ({AN_ID: 5},),
    "from_state": ("pending",),
    "from_url": (f"{WEB}/old.xml",),
    "headers": ('{"X-Token": "abc"}',),
    "hint": ("Start the child, or correct its api_url.",),
    "holds": ([AN_ID],),
    "host": ("beijing-pc",),
    "http_status": (200,),
    "instance": (AN_ID,),
    "intro": ("News for examples",),
    "kind": ("update",),
    "kinds": (["update", "publish", "account"],),
    "message": ("success",),
    "message_template": ("{% for a in articles %}{{ a.title }}\n{% endfor %}",),
    "message_type": (0,),
    "mp_cover": (f"{WEB}/cover.png",),
    "mp_intro": ("News for examples",),
    "mp_name": ("Example",),
    "mps_id": (f'[{{"id": "{AN_ID}"}}]',),
    "name": ("Morning",),
    "next_cursor": (None,),
    "node_name": ("beijing-1",),
    "node_type": (1,),
    "noun": ("allocation",),
    "old_password": ("correct horse battery",),
    "operation": ("upload-articles",),
    "outcome": (
        "retried",
        {"allocation_id": AN_ID, "attempt": 1, "execution": AN_ID, "kind": "update", "items": []},
    ),
    "parent_response": (None,),
    "password": ("correct horse battery",),
    "paused_reason": ("",),
    "progress": ({AN_ID: "3 of 7"},),
    "publishers": (["zhihu"],),
    "queue": ("node:beijing-1",),
    "reason": ("",),
    "receiver_kind": ("robot",),
    "replaces": (AN_ID,),
    "reported_at": (A_TIME,),
    "results": ([{"mp_id": AN_ID, "status": "success", "article_count": 3}],),
    "role": ("operator",),
    "rule": ("node_offline",),
    "running": ([AN_ID],),
    "schedule_in_words": ("every 30 minutes",),
    "scope": ("",),
    "secret": ("SK" + A_SECRET,),
    "sha256": ("0" * 64,),
    "slug": ("beijing-1",),
    "sources": (["rss"],),
    "stale": ([],),
    "standings": ({AN_ID: "held"},),
    "state": ("waiting",),
    "status": (1, "pending"),
    "subject": ("node beijing-1",),
    "summary": ("Hello",),
    "taken_by": ("beijing-1",),
    "task_name": ("Morning",),
    "time_zone": ("Asia/Shanghai",),
    "title": ("Hello",),
    "to_state": ("executing",),
    "to_url": (f"{WEB}/feed.xml",),
    "token": ("CJ" + A_SECRET,),
    "total": (1,),
    "transport": ("remote",),
    "url": (f"{WEB}/feed.xml",),
    "user_name": ("admin",),
    "version": ("0.1.0",),
    "waits_for": ("no live node",),
    "web_hook_url": ("https://oapi.dingtalk.com/robot/send?access_token=abc",),
    "why": ("no live node",),
}
ANY_NUMBER = 3
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
    "null": type(None),
}


def add_examples(schema: Json) -> None:
    """Give the schema's properties examples where they have none of their own."""
    for name, field in schema.get("properties", {}).items():
        if speaks_for_itself(field):
            continue
        if examples := list(_examples(name, field))[:1]:
            field["examples"] = examples


def speaks_for_itself(field: Json) -> bool:
    """Whether the field has an example, a telling default, or so few values that they need none."""
    if any(word in field for word in ("examples", "example", "$ref", "enum", "const")):
        return True
    if field.get("default") not in (None, "") or field.get("type") == "boolean":
        return True
    kinds = list(_kinds(field))
    return not kinds or all("$ref" in kind or "$ref" in kind.get("items", {}) for kind in kinds)


def _examples(name: str, field: Json) -> Iterator[Any]:
    kinds = list(_kinds(field))
    yield from (one for one in BY_NAME.get(name, ()) if any(_fits(one, kind) for kind in kinds))
    for kind in kinds:
        if kind.get("format") == "date-time":
            yield A_TIME
        elif kind.get("type") == "string" and (name == "id" or name.endswith("_id")):
            yield AN_ID
        elif kind.get("type") in {"integer", "number"}:
            yield ANY_NUMBER
        elif kind.get("items", {}).get("format") == "date-time":
            yield [A_TIME]


def _kinds(field: Json) -> Iterator[Json]:
    for kind in field.get("anyOf") or field.get("oneOf") or [field]:
        if kind.get("type") != "null" and kind.get("type") != "boolean":
            yield kind


def _fits(example: Any, kind: Json) -> bool:
    return example is None or isinstance(example, TYPES.get(kind.get("type", ""), ()))
