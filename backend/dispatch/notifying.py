"""Tells our own remote nodes about new work, in the background of a beat. They poll anyway: nothing depends on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from backend.dispatch.node_calls import notify_url, signed
from backend.domain.errors import WorkError
from backend.domain.ports import HttpClient, HttpRequest
from backend.store import credentials
from backend.store.allocations import Unclaimed, unclaimed
from backend.store.session import read

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine

log = logging.getLogger(__name__)

SECONDS = 3.0
THREADS = 4
# A node that could not be told is left alone for a while: it polls.
PAUSE_SECONDS = 30.0
TOLD_SECONDS = 600
TOLD_KEY = "cascade:told:{allocation_id}"
ANSWER_BYTES = 16 * 1024


@dataclass(slots=True)
class Notifying:
    """One beat's notifications: at most one for a node at a time, about each allocation once as far as Redis knows."""

    engine: Engine
    redis: Redis
    http: HttpClient
    clock: Callable[[], float] = time.monotonic
    pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="notify")
    )
    told: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    paused_until: dict[str, float] = field(default_factory=dict)

    def tell(self) -> int:
        """Start telling nodes about what waits for them; how many are being told. Raises `Unavailable`."""
        waiting = read(self.engine, unclaimed)
        self.told &= {one.allocation_id for one in waiting}
        by_node: dict[str, list[Unclaimed]] = {}
        for one in waiting:
            if one.allocation_id not in self.told:
                by_node.setdefault(one.node_id, []).append(one)
        started = [self._start(node_id, found) for node_id, found in by_node.items() if self._may(node_id)]
        return sum(started)

    def _may(self, node_id: str) -> bool:
        return node_id not in self.busy and self.clock() >= self.paused_until.get(node_id, 0.0)

    def _start(self, node_id: str, found: Sequence[Unclaimed]) -> bool:
        self.told.update(one.allocation_id for one in found)
        hashes = read(self.engine, lambda session: credentials.valid_hashes(session, node_id))
        if not hashes:
            return False
        self.busy.add(node_id)
        self.pool.submit(self._tell_one, found, hashes).add_done_callback(_log_bug)
        return True

    def _tell_one(self, found: Sequence[Unclaimed], hashes: Sequence[str]) -> None:
        """One request for all of it: the node claims until nothing is left."""
        try:
            fresh = self._untold_elsewhere(found)
            if fresh:
                self._note(fresh[0], self._send(fresh, hashes))
        finally:
            self.busy.discard(found[0].node_id)

    def _untold_elsewhere(self, found: Sequence[Unclaimed]) -> list[Unclaimed]:
        """What no other beat has told; without Redis all of it: twice is harmless."""
        pipeline = self.redis.pipeline(transaction=False)
        for one in found:
            pipeline.set(TOLD_KEY.format(allocation_id=one.allocation_id), "1", nx=True, ex=TOLD_SECONDS)
        try:
            answers = pipeline.execute()
        except RedisError:
            return list(found)
        return [one for one, is_fresh in zip(found, answers, strict=True) if is_fresh]

    def _send(self, found: Sequence[Unclaimed], hashes: Sequence[str]) -> str:
        """What went wrong, or nothing."""
        content = {
            "type": "new_task",
            "allocation_id": found[0].allocation_id,
            "feed_count": sum(one.feed_count for one in found),
        }
        headers, body = signed(content, hashes)
        request = HttpRequest(
            "POST",
            notify_url(found[0].callback_url),
            headers,
            body,
            seconds=SECONDS,
            max_bytes=ANSWER_BYTES,
            follow_redirects=False,
        )
        try:
            status = self.http.send(request).status
        except WorkError as error:
            return str(error)
        return "" if status < 300 else f"HTTP {status}"

    def _note(self, first: Unclaimed, trouble: str) -> None:
        if not trouble:
            self.paused_until.pop(first.node_id, None)
            return
        level = logging.DEBUG if first.node_id in self.paused_until else logging.WARNING
        self.paused_until[first.node_id] = self.clock() + PAUSE_SECONDS
        log.log(level, "node %s could not be told about new work, it will poll: %s", first.node_name, trouble)

    def close(self) -> None:
        """Start nothing more; what is being sent ends by itself."""
        self.pool.shutdown(wait=False, cancel_futures=True)


def _log_bug(done: Future[None]) -> None:
    if not done.cancelled() and done.exception() is not None:
        log.error("a notification ended by a bug", exc_info=done.exception())
