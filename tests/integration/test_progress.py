"""Progress of running work: seen while it lasts, gone afterwards, and never a reason to fail."""

from __future__ import annotations

from redis import Redis

from backend.dispatch import progress
from backend.dispatch.broker import connect
from tests.servers import RedisServer


def test_the_last_word_is_read_by_its_id_and_vanishes_by_itself(redis_client: Redis) -> None:
    progress.tell(redis_client, {"t1": "login"})
    progress.tell(redis_client, {"t1": "uploading 3/7", "t2": "图片 1/2"})
    assert progress.read(redis_client, ["t1", "t2", "t3"]) == {"t1": "uploading 3/7", "t2": "图片 1/2"}
    assert 0 < redis_client.ttl(f"{progress.KEY}t1") <= progress.LIFE_SECONDS
    progress.forget(redis_client, "t1")
    assert progress.read(redis_client, ["t1"]) == {}


def test_without_redis_nobody_sees_it_and_nothing_breaks(redis_server: RedisServer) -> None:
    redis_server.kill()
    with connect(redis_server.url, retries=0, answer_seconds=0.5) as redis:
        progress.tell(redis, {"t1": "login"})
        progress.forget(redis, "t1")
        assert progress.read(redis, ["t1"]) == {}
    assert progress.read(None, ["t1"]) == {}
    progress.tell(None, {"t1": "login"})
