"""Where planted secrets may not be: each place of a running system, searched for their text and its usual disguises."""

from __future__ import annotations

import base64
import gzip
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psutil
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine, inspect, text

from tests.e2e.system import System


@dataclass(frozen=True)
class Planted:
    """A secret, by the name that a report may show."""

    name: str
    value: str

    @property
    def disguises(self) -> Iterator[bytes]:
        """The text as it is, quoted for URLs and JSON, and within Base64 at each of its three alignments."""
        yield self.value.encode()
        yield quote(self.value, safe="").encode()
        yield json.dumps(self.value)[1:-1].encode()
        for shift in range(3):
            encoded = base64.b64encode(b"\0" * shift + self.value.encode())
            yield encoded[4:-4]


def found_in(content: bytes, secrets: Iterable[Planted]) -> list[str]:
    """The names of the secrets in the content."""
    return [one.name for one in secrets if any(disguise in content for disguise in one.disguises)]


@dataclass
class Search:
    """Collects what was found where."""

    secrets: tuple[Planted, ...]
    found: list[str] = field(default_factory=list)
    looked_at: dict[str, int] = field(default_factory=dict)

    def look(self, kind: str, place: str, content: bytes) -> None:
        """Search one piece."""
        self.looked_at[kind] = self.looked_at.get(kind, 0) + 1
        self.found += [f"{name} in {kind} {place}" for name in found_in(content, self.secrets)]

    def database(self, engine: Engine) -> None:
        """Every column of every row of every table."""
        with engine.execution_options(reading=True).connect() as connection:
            for table in inspect(connection).get_table_names():
                for number, row in enumerate(connection.execute(text(f"SELECT * FROM {table}")).mappings()):  # noqa: S608
                    for column, value in row.items():
                        self.look("database", f"{table}.{column} {number}", _bytes(value))

    def redis(self, client: Redis) -> None:
        """Every key with all that it holds, as the server would write it to its file."""
        for key in client.scan_iter(count=1000):
            self.look("redis", repr(key), key + b" " + _content(client, key))

    def files(self, *places: Path) -> None:
        """Every file, whatever it holds; what is packed with gzip, unpacked too."""
        for place in places:
            for path in [place] if place.is_file() else sorted(place.rglob("*")):
                with suppress(FileNotFoundError):
                    if path.is_file():
                        content = path.read_bytes()
                        self.look("file", str(path), content)
                        if content[:2] == b"\x1f\x8b":
                            self.look("file", f"{path} unpacked", gzip.decompress(content))

    def processes(self, system: System) -> None:
        """Arguments and environment of every process of the system."""
        for process in system.processes():
            for name in ("cmdline", "environ"):
                with suppress(OSError, psutil.Error):
                    content = Path(f"/proc/{process.pid}/{name}").read_bytes()
                    self.look("process", f"{name} of {process.pid}", content)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def _content(client: Redis, key: bytes) -> bytes:
    readers: Mapping[bytes, Any] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda one: client.lrange(one, 0, -1),
        b"set": client.smembers,
        b"zset": lambda one: client.zrange(one, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    kind = _bytes(client.type(key))
    value = readers[kind](key) if kind in readers else b""
    return value if isinstance(value, bytes) else repr(value).encode()


class Overheard:
    """Everything that Redis was sent while it listened (MONITOR)."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self.commands: list[bytes] = []

    def __enter__(self) -> Self:
        self._monitor = self._client.monitor()  # type: ignore[no-untyped-call]
        self._monitor.__enter__()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def _listen(self) -> None:
        with suppress(RedisError, OSError, ValueError):
            while not self._over.is_set():
                said = self._monitor.next_command()
                self.commands.append(os.fsencode(str(said["command"])))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        # It wakes the listener.
        self._client.ping()
        self._thread.join(5)
        self._monitor.__exit__(kind, error, trace)
