"""Sentinel: the address of a client leads to whoever is the master now, without a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from backend.dispatch import queues
from backend.dispatch.broker import connect, redis_address
from tests.servers import PASSWORD, RedisServer, redis_program, wait_until


class SentinelServer(RedisServer):
    """A Sentinel that watches a master, alone: one vote is enough."""

    name = "Sentinel"

    def watch(self, master: RedisServer) -> None:
        """Write what it is told; before its start."""
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"sentinel monitor main 127.0.0.1 {master.port} 1",
            f"sentinel auth-pass main {PASSWORD}",
            "sentinel down-after-milliseconds main 500",
            "sentinel failover-timeout main 2000",
        ]
        (self.folder / "sentinel.conf").write_text("\n".join(lines) + "\n")

    @property
    def url(self) -> str:
        """Without a password."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """See `Server`."""
        return [redis_program(), str(self.folder / "sentinel.conf"), "--sentinel"]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[SentinelServer, RedisServer, RedisServer]]:
    """A Sentinel, the master, its replica."""
    for name in ("sentinel", "one", "two"):
        (tmp_path / name).mkdir()
    sentinel = SentinelServer(tmp_path / "sentinel")
    one, two = RedisServer(tmp_path / "one"), RedisServer(tmp_path / "two")
    try:
        for server in (one, two):
            server.start()
            with server.client() as client:
                client.config_set("masterauth", PASSWORD)
                client.config_set("repl-diskless-sync-delay", 0)
        with two.client() as client:
            client.replicaof("127.0.0.1", one.port)
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", 15, "the replica")
        sentinel.watch(one)
        sentinel.start()
        yield sentinel, one, two
    finally:
        for server in (sentinel, one, two):
            server.stop()


def test_a_client_follows_the_sentinels_to_the_new_master(
    watched: tuple[SentinelServer, RedisServer, RedisServer],
) -> None:
    sentinel, one, two = watched
    url = f"redis+sentinel://:{PASSWORD}@127.0.0.1:1,127.0.0.1:{sentinel.port}/main/0"
    client = connect(url, answer_seconds=1.0)
    queues.wake(client)
    with one.client() as first:
        assert first.llen(queues.WAKE_KEY) == 1
    with sentinel.client() as asked:
        wait_until(lambda: asked.sentinel_slaves("main") != [], 20, "the Sentinel's knowledge of the replica")
    one.kill()

    def wakes() -> bool:
        try:
            queues.wake(client)
        except RedisError:
            return False
        return True

    wait_until(wakes, 40, "a write to the new master")
    with two.client() as second:
        assert second.info("replication")["role"] == "master"
        assert second.llen(queues.WAKE_KEY) == 1
    client.close()


def test_an_address_of_sentinels_is_shown_without_its_password_and_refused_without_a_host() -> None:
    url = "rediss+sentinel://user:secret@a:1,b/service/2?sentinel_password=hidden"
    assert redis_address(url) == "service of a:1,b:26379"
    options = connect(url).connection_pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("user", "secret", 2)
    with pytest.raises(ValueError, match="no Sentinel"):
        connect("redis+sentinel:///main")
