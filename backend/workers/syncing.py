"""A child's pulls of feeds and message tasks: one small request each while nothing changed."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from backend.domain.errors import CascadeError, ParentFailed, Unavailable
from backend.domain.reconnecting import staggered
from backend.workers.copied_lists import FEEDS, TASKS, LocalCopy
from backend.workers.parent import Call, Parent

log = logging.getLogger(__name__)

# What a list of another shape raises.
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)
OPERATIONS = {FEEDS: "sync_feeds", TASKS: "sync_tasks"}


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one pull of a list brought."""

    count: int
    unchanged: bool


@dataclass(slots=True)
class Syncer:
    """Pulls every so many seconds into the copy; each pull is logged on both sides."""

    parent: Parent
    copy: LocalCopy
    seconds: float
    stop: threading.Event = field(default_factory=threading.Event)
    roll: Callable[[], float] = random.random

    def serve(self) -> None:
        """Until `stop` is set: soon after the start, then regularly."""
        wait = min(self.seconds, 5.0) * self.roll()
        while not self.stop.wait(wait):
            wait = staggered(self.seconds, self.roll())
            try:
                self.sync()
            except CascadeError as error:
                log.info("feeds and message tasks could not be pulled: %s", error)

    def sync(self) -> dict[str, Pulled]:
        """Pull both lists; by name, what came. Raises `CascadeError`."""
        return {FEEDS: self._pull(FEEDS, _feeds), TASKS: self._pull(TASKS, _tasks)}

    def _pull(self, name: str, read: Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]) -> Pulled:
        etag = self.copy.etag(name)
        try:
            said = self.parent.call(Call("GET", f"/{name}", headers={"If-None-Match": etag} if etag else {}))
        except CascadeError as error:
            self._log(name, 0, str(error))
            raise
        if said.unchanged:
            return Pulled(0, unchanged=True)
        try:
            rows = read(said.data)
        except UNREADABLE as error:
            trouble = ParentFailed("parent_unreadable", detail=f"{name}: {type(error).__name__}")
            self._log(name, 0, str(trouble))
            raise trouble from error
        self.copy.keep(name, said.etag, rows)
        self._log(name, len(said.data), "")
        return Pulled(len(said.data), unchanged=False)

    def _log(self, name: str, count: int, error: str) -> None:
        try:
            self.copy.log(OPERATIONS[name], count, error, datetime.now(UTC))
        except Unavailable as trouble:
            log.warning("%s", trouble)


def _feeds(said: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "id": one["id"],
            "name": one.get("mp_name", ""),
            # An older parent tells neither: such a feed can't be collected without it.
            "kind": one.get("kind", ""),
            "url": one.get("url", ""),
            "is_active": bool(one.get("status", 1)) and bool(one.get("kind")),
        }
        for one in said
    ]


def _tasks(said: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Without where they are delivered: only the parent delivers, and none of that belongs on this disk."""
    return [
        {
            "id": one["id"],
            "name": one.get("name", ""),
            "feed_ids": [feed["id"] for feed in json.loads(one.get("mps_id") or "[]")] or None,
            "cron_exp": one.get("cron_exp", ""),
            "time_zone": one.get("time_zone", "UTC"),
            "autonomous": bool(one.get("autonomous", False)),
            "paused": bool(one.get("paused", False)),
        }
        for one in said
    ]
