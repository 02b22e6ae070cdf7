"""A loopback server that answers byte by byte as a script says: for everything that well-behaved servers don't do."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Script = Callable[["Exchange"], None]


class Exchange:
    """One request that arrived, and the connection to answer on."""

    def __init__(self, sock: socket.socket, head: bytes, body: bytes, stopping: threading.Event) -> None:
        self.sock, self.head, self.body, self.stopping = sock, head.decode("latin-1"), body, stopping
        self.method, self.target, _ = self.head.split("\r\n", 1)[0].split(" ", 2)

    def header(self, name: str) -> str:
        """A request header, or an empty text."""
        for line in self.head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return ""

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """A proper answer; `content_type` becomes Content-Type."""
        lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
        self.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def raw(self, data: bytes) -> None:
        """These bytes and nothing else."""
        self.sock.sendall(data)

    def drip(self, data: bytes, pause: float) -> None:
        """A byte at a time, until the other side hangs up or the server stops."""
        for position in range(len(data)):
            if self.stopping.wait(pause):
                return
            self.sock.sendall(data[position : position + 1])


class OddServer:
    """Answers each path by its script; `requests` keeps what arrived."""

    def __init__(self, scripts: dict[str, Script], tls: ssl.SSLContext | None = None) -> None:
        self._scripts = scripts
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.requests: list[Exchange] = []
        self.connections = 0
        self.stopping = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with self._tls.wrap_socket(sock, server_side=True) if self._tls else sock as connection:
                while self._serve_one(connection):
                    pass
        except OSError:
            # Clients that hang up, and refuse our certificate, are what the tests are about.
            sock.close()

    def _serve_one(self, sock: socket.socket) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = sock.recv(65536)
            if not chunk:
                return False
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        exchange = Exchange(sock, head, body, self.stopping)
        while len(exchange.body) < int(exchange.header("Content-Length") or 0):
            exchange.body += sock.recv(65536)
        self.requests.append(exchange)
        script = self._scripts.get(exchange.target) or self._scripts["*"]
        script(exchange)
        return sock.fileno() >= 0
