"""The children of a WeRSS parent as nodes of ours: pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from backend.domain.children import text
from backend.domain.errors import InvalidInput
from backend.domain.node_settings import DEFAULT_CAPACITY, MAX_API_URL, NodeSettings, check_settings
from backend.domain.node_settings import MAX_NAME as MAX_NODE_NAME
from backend.domain.werss_rows import MAX_ID, Left, Raw, flag, local_moment, number, row_id, usable, whys
from backend.domain.why import Why

# WeRSS: type 0 parent, 1 child; status 2 is switched off.
CHILD = 1
SWITCHED_OFF = 2
SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_KEY = 100


@dataclass(frozen=True, slots=True)
class MovedNode:
    """A child. Its key and the SHA-256 of its secret stay, so it logs in as before; both are empty without a usable pair."""

    id: str
    settings: NodeSettings
    api_key: str
    secret_hash: str
    callback_url: str
    created_at: datetime | None
    remarks: tuple[Why, ...]


def move_node(raw: Raw) -> MovedNode:
    """A row of `cascade_nodes`. Raises `Left` for what is no child, or can't be called by its name."""
    if number(raw.get("node_type"), otherwise=1) != CHILD:
        raise Left(Why("werss_not_a_child"))
    node_id, name = row_id(raw, MAX_ID), " ".join(text(raw.get("name")).split())[:MAX_NODE_NAME]
    remarks: list[Why] = []

    def keep(setting: str, wanted: NodeSettings) -> NodeSettings | None:
        try:
            return check_settings(wanted)
        except InvalidInput as error:
            remarks.append(Why("werss_setting_dropped", {"setting": setting, "detail": whys(error)}))
            return None

    base = usable(lambda: check_settings(NodeSettings(name=name or node_id)))
    address = keep("api_url", NodeSettings(api_url=text(raw.get("api_url"))))
    told = keep("description", NodeSettings(description=text(raw.get("description"))))
    config = _object(text(raw.get("sync_config")))
    capacity = keep(
        "max_capacity",
        NodeSettings(max_capacity=number(config.get("max_capacity"), otherwise=DEFAULT_CAPACITY)),
    )
    quota = keep("feed_quota", NodeSettings(feed_quota=_quota(config.get("feed_quota"))))
    key, secret_hash = _pair(raw)
    if not key:
        remarks.append(Why("werss_no_credentials", {"name": base.name}))
    settings = NodeSettings(
        name=base.name,
        description=(told.description if told else None) or "",
        api_url=(address.api_url if address else None) or "",
        is_active=flag(raw.get("is_active")) and number(raw.get("status")) != SWITCHED_OFF,
        max_capacity=(capacity.max_capacity if capacity else None) or DEFAULT_CAPACITY,
        feed_quota=(quota.feed_quota if quota else None) or {},
    )
    return MovedNode(
        id=node_id,
        settings=settings,
        api_key=key,
        secret_hash=secret_hash,
        callback_url=_web_address(text(raw.get("callback_url"))),
        # Unlike its other tables, WeRSS writes these in UTC.
        created_at=local_moment(raw.get("created_at"), UTC),
        remarks=tuple(remarks),
    )


def renamed(node: MovedNode, taken: Collection[str]) -> MovedNode:
    """The node under a name that nobody has: names are unique here, and its child must keep its credentials."""
    name = node.settings.name or ""
    if name not in taken:
        return node
    ending = f" {node.id[-8:]}"
    free = name[: MAX_NODE_NAME - len(ending)] + ending
    remark = Why("werss_renamed", {"name": name, "now": free})
    return replace(node, settings=replace(node.settings, name=free), remarks=(*node.remarks, remark))


def _pair(raw: Raw) -> tuple[str, str]:
    key, secret_hash = text(raw.get("api_key")).strip(), text(raw.get("api_secret_hash")).strip().casefold()
    usable = 1 <= len(key) <= MAX_KEY and key.isascii() and key.isprintable() and ":" not in key
    return (key, secret_hash) if usable and SHA256.fullmatch(secret_hash) else ("", "")


def _quota(value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    return {text(feed): number(weight) for feed, weight in value.items()}


def _object(written: str) -> dict[str, object]:
    try:
        found = json.loads(written)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _web_address(written: str) -> str:
    address = written.strip()
    return address if address.startswith(("http://", "https://")) and len(address) <= MAX_API_URL else ""
