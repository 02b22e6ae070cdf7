"""How far running publish and account work is: words in Redis that vanish by themselves, never in the database."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import RedisError

from backend.dispatch.broker import note_fault

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

KEY = "cascade:progress:"
# Longer than any single step between two words; what a dead worker said last is gone soon after.
LIFE_SECONDS = 180
LONGEST_WORDS = 200


def tell(redis: Redis | None, said: Mapping[str, str]) -> None:
    """By the id of a publish task (or an account), how far it is. Without Redis nobody hears it, and nothing else happens."""
    if redis is None or not said:
        return
    try:
        pipeline = redis.pipeline(transaction=False)
        for one, words in said.items():
            pipeline.set(KEY + one, words[:LONGEST_WORDS], ex=LIFE_SECONDS)
        pipeline.execute()
    except RedisError as error:
        note_fault(log, error, "nobody sees the progress")


def read(redis: Redis | None, ids: Sequence[str]) -> dict[str, str]:
    """What was told last of each of these; those of which nothing is known, without Redis all of them, are left out."""
    if redis is None or not ids:
        return {}
    try:
        found = cast("list[Any]", redis.mget([KEY + one for one in ids]))
    except RedisError as error:
        note_fault(log, error, "the progress is not shown")
        return {}
    return {one: _text(words) for one, words in zip(ids, found, strict=True) if words is not None}


def forget(redis: Redis | None, one: str) -> None:
    """Its work has ended: what was told of it is no longer true."""
    try:
        if redis is not None:
            redis.delete(KEY + one)
    except RedisError as error:
        note_fault(log, error, "an old progress vanishes by itself")


def _text(words: Any) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
