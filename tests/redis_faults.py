"""What a Redis can do to us, as contexts over a real server and a proxy in front of it; at their end all is well again."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from tests.servers import PASSWORD, RedisServer, wait_until
from tests.standins.tcp_proxy import Proxies, TcpProxy

FAR_SECONDS = 600.0
MANY_CLIENTS = 4000
LOAD_MICROSECONDS = 5_000_000


class FaultyRedis:
    """A Redis of its own, a second one that can become its master, and the proxy that everybody goes through."""

    def __init__(self, folder: Path) -> None:
        (folder / "one").mkdir(parents=True)
        (folder / "two").mkdir()
        self.server, self.second = LoadingServer(folder / "one"), RedisServer(folder / "two")
        self.proxies = Proxies()

    def __enter__(self) -> Self:
        self.server.start()
        self.proxies.__enter__()
        self.proxy: TcpProxy = self.proxies.before(self.server.port)
        # A client that is connected already is let in by a full server, and may give the password back.
        self.admin = Redis.from_url(self.server.url)
        self.admin.ping()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.admin.close()
        self.proxies.__exit__(kind, error, trace)
        self.server.stop()
        self.second.stop()

    @property
    def url(self) -> str:
        """The address through the proxy."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.proxy.port}/0"

    def lead_back(self) -> None:
        """The first server is the master again, and everybody is led to it."""
        self.admin.replicaof("NO", "ONE")
        self.proxy.target = ("127.0.0.1", self.server.port)
        self.proxy.cut()

    def disconnect_clients(self) -> None:
        """Cut everybody but the admin."""
        self.admin.client_kill_filter(_type="normal", skipme=True)


class LoadingServer(RedisServer):
    """A Redis that can take its time to load."""

    load_microseconds = 0

    def command(self) -> list[str]:
        """See `Server`."""
        slowly = ("--key-load-delay", str(self.load_microseconds)) if self.load_microseconds else ()
        return [*super().command(), *slowly, "--loading-process-events-interval-bytes", "1024"]


@contextmanager
def restarted_empty(redis: FaultyRedis) -> Iterator[None]:
    """Killed, its file removed, started again."""
    redis.server.kill()
    shutil.rmtree(redis.server.folder / "appendonlydir", ignore_errors=True)
    redis.server.start()
    yield


@contextmanager
def full(redis: FaultyRedis) -> Iterator[None]:
    """Out of memory; it evicts nothing."""
    redis.admin.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.admin.config_set("maxmemory", 0)


@contextmanager
def evicting(redis: FaultyRedis) -> Iterator[None]:
    """It throws our keys away."""
    redis.admin.config_set("maxmemory-policy", "allkeys-lru")
    redis.admin.config_set("maxmemory", 1)
    # With nothing left to throw away it refuses writes as a full one does.
    wait_until(lambda: redis.admin.dbsize() == 0, 10, "the eviction of everything")
    try:
        yield
    finally:
        redis.admin.config_set("maxmemory", 0)
        redis.admin.config_set("maxmemory-policy", "noeviction")


@contextmanager
def stopped(redis: FaultyRedis) -> Iterator[None]:
    """Nobody listens."""
    redis.server.stop()
    try:
        yield
    finally:
        redis.server.start()


@contextmanager
def frozen(redis: FaultyRedis) -> Iterator[None]:
    """It neither answers nor refuses."""
    with redis.server.frozen():
        yield


@contextmanager
def silent(redis: FaultyRedis) -> Iterator[None]:
    """The network swallows everything."""
    redis.proxy.fall_silent(FAR_SECONDS)
    try:
        yield
    finally:
        redis.proxy.behave()
        redis.proxy.cut()


@contextmanager
def slow(redis: FaultyRedis) -> Iterator[None]:
    """Each packet takes its time, there and back."""
    redis.proxy.slow_down(0.7)
    try:
        yield
    finally:
        redis.proxy.behave()


@contextmanager
def half_closed(redis: FaultyRedis) -> Iterator[None]:
    """Every connection is half closed, and new ones are reset for a moment."""
    redis.proxy.half_close("client")
    redis.proxy.half_close("server")
    redis.proxy.refuse(1.0)
    try:
        yield
    finally:
        redis.proxy.behave()


@contextmanager
def loading(redis: FaultyRedis) -> Iterator[None]:
    """Started again with a file that takes long to load."""
    with redis.admin.pipeline() as pipeline:
        for number in range(300):
            pipeline.set(f"ballast:{number}", os.urandom(300))
        pipeline.execute()
    redis.admin.bgrewriteaof()
    wait_until(
        lambda: not redis.admin.info("persistence")["aof_rewrite_in_progress"], 10, "the rewritten file"
    )
    keys = redis.admin.dbsize()
    redis.server.stop()
    redis.server.load_microseconds = LOAD_MICROSECONDS // keys
    loaded, over = threading.Event(), threading.Event()

    def start() -> None:
        redis.server.start()
        loaded.set()
        # A server dies with the thread that started it (`setpriv --pdeathsig`).
        over.wait()

    threading.Thread(target=start, daemon=True).start()
    wait_until(lambda: _says(redis, "LOADING"), 10, "the load")
    try:
        yield
    finally:
        loaded.wait(30)
        redis.server.load_microseconds = 0


@contextmanager
def read_only(redis: FaultyRedis) -> Iterator[None]:
    """It has become a replica; at the end the address leads to its master."""
    redis.second.start()
    with redis.second.client() as second:
        second.flushall()
        second.config_set("repl-diskless-sync-delay", 0)
    redis.admin.config_set("masterauth", PASSWORD)
    redis.admin.replicaof("127.0.0.1", redis.second.port)
    wait_until(lambda: redis.admin.info("replication")["master_link_status"] == "up", 10, "the replication")
    try:
        yield
    finally:
        redis.proxy.target = ("127.0.0.1", redis.second.port)


@contextmanager
def disk_refuses(redis: FaultyRedis) -> Iterator[None]:
    """It can't save, and takes no writes therefore."""
    (redis.server.folder / "dump.rdb").mkdir()
    redis.admin.config_set("save", "3600 1")
    redis.admin.bgsave()
    wait_until(
        lambda: redis.admin.info("persistence")["rdb_last_bgsave_status"] == "err", 10, "the failed save"
    )
    try:
        yield
    finally:
        redis.admin.config_set("save", "")
        (redis.server.folder / "dump.rdb").rmdir()


@contextmanager
def other_password(redis: FaultyRedis) -> Iterator[None]:
    """Its password was changed."""
    redis.admin.config_set("requirepass", "another one")
    redis.disconnect_clients()
    try:
        yield
    finally:
        redis.admin.config_set("requirepass", PASSWORD)


@contextmanager
def busy(redis: FaultyRedis) -> Iterator[None]:
    """Somebody's script runs and runs."""
    redis.admin.config_set("lua-time-limit", 50)
    script = threading.Thread(target=_run_for_ever, args=(redis.server,))
    script.start()
    wait_until(lambda: _says(redis, "BUSY"), 10, "the script")
    try:
        yield
    finally:
        redis.admin.script_kill()
        script.join(10)


def _run_for_ever(server: RedisServer) -> None:
    with server.client(socket_timeout=None) as client, suppress(RedisError):
        client.eval("while true do end", 0)


@contextmanager
def crowded(redis: FaultyRedis) -> Iterator[None]:
    """It lets nobody in."""
    redis.admin.config_set("maxclients", 1)
    redis.disconnect_clients()
    try:
        yield
    finally:
        redis.admin.config_set("maxclients", MANY_CLIENTS)


def _says(redis: FaultyRedis, word: str) -> bool:
    try:
        with redis.server.client(socket_timeout=1) as client:
            client.get("anything")
    except RedisError as error:
        return word.casefold() in f"{getattr(error, 'status_code', '')} {error}".casefold()
    return False


@dataclass(frozen=True)
class Fault:
    """A fault and the code that it must be told by; with none, nothing is refused."""

    make: Callable[[FaultyRedis], AbstractContextManager[None]]
    code: str = ""
    refuses: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "refuses", bool(self.code))


FAULTS: dict[str, Fault] = {
    "restarted_empty": Fault(restarted_empty),
    "full": Fault(full, "redis_fault_full"),
    "evicting": Fault(evicting, "redis_fault_full"),
    "stopped": Fault(stopped, "redis_fault_silent"),
    "frozen": Fault(frozen, "redis_fault_silent"),
    "silent": Fault(silent, "redis_fault_silent"),
    "slow": Fault(slow),
    "half_closed": Fault(half_closed),
    "loading": Fault(loading, "redis_fault_loading"),
    "read_only": Fault(read_only, "redis_fault_read_only"),
    "disk_refuses": Fault(disk_refuses, "redis_fault_disk"),
    "other_password": Fault(other_password, "redis_fault_password"),
    "busy": Fault(busy, "redis_fault_busy"),
    "crowded": Fault(crowded, "redis_fault_clients"),
}
