"""A TCP proxy before MariaDB that loses the connection at a chosen statement: before it, or its answer after it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

Loss = Literal["statement", "answer"]
# A packet's number, 0, and its command, COM_QUERY (MySQL client/server protocol, "Text Protocol").
QUERY = b"\x00\x03"


def _read(source: socket.socket, size: int) -> bytes:
    """Exactly so many bytes; fewer mean the end."""
    found = b""
    while len(found) < size:
        chunk = source.recv(size - len(found))
        if not chunk:
            return found
        found += chunk
    return found


def _is_counted(packet: bytes) -> bool:
    return packet[3:5] == QUERY and not packet[5:].startswith(b"SET ")


@dataclass
class _Pair:
    """One client's connection and ours to the server. `deaf`: the next answer is swallowed, then both end."""

    client: socket.socket
    server: socket.socket
    deaf: bool = False

    def close(self) -> None:
        """End both sides at once; a reset, as a network that went away."""
        for side in (self.client, self.server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


@dataclass
class Proxy:
    """Forwards to the server and counts the client's statements over all its connections.

    The statements that set up a session are not counted: they are the same everywhere. `lose(number, what)`
    loses the connection once, at that statement: either it never reaches the server, or the server acts on it
    and its answer never reaches the client. `lost` is the statement's text.
    """

    target: tuple[str, int]
    count: int = 0
    lost: str = ""
    _at: int = 0
    _what: Loss = "statement"
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _pairs: list[_Pair] = field(default_factory=list)
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def lose(self, number: int, what: Loss) -> None:
        """Count from one again and lose the connection at that statement."""
        with self._lock:
            self.count, self.lost, self._at, self._what = 0, "", number, what

    @contextmanager
    def serving(self) -> Iterator[Proxy]:
        """Serve while inside; afterwards every thread of it has ended."""
        threads: list[threading.Thread] = []
        acceptor = threading.Thread(target=self._accept, args=(threads,))
        acceptor.start()
        try:
            yield self
        finally:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            acceptor.join(10)
            for pair in self._pairs:
                pair.close()
            for thread in threads:
                thread.join(10)
            for pair in self._pairs:
                pair.client.close()
                pair.server.close()

    def _accept(self, threads: list[threading.Thread]) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                pair = _Pair(client, socket.create_connection(self.target))
                self._pairs.append(pair)
                for pump in (self._requests, self._answers):
                    threads.append(threading.Thread(target=pump, args=(pair,)))
                    threads[-1].start()

    def _requests(self, pair: _Pair) -> None:
        with suppress(OSError):
            while head := _read(pair.client, 4):
                packet = head + _read(pair.client, struct.unpack("<I", head[:3] + b"\0")[0])
                what = self._loss(packet) if _is_counted(packet) else None
                if what == "statement":
                    break
                pair.deaf = what == "answer"
                pair.server.sendall(packet)
        if not pair.deaf:
            pair.close()

    def _loss(self, packet: bytes) -> Loss | None:
        with self._lock:
            self.count += 1
            if self.count != self._at:
                return None
            self.lost = packet[5:].decode(errors="replace")
            return self._what

    def _answers(self, pair: _Pair) -> None:
        with suppress(OSError):
            while (data := pair.server.recv(65536)) and not pair.deaf:
                pair.client.sendall(data)
        pair.close()
