"""What stand-ins listen with: many connections at once, answers without delay, and no fuss when the other side goes away."""

from __future__ import annotations

import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Generic, TypeVar

Owner = TypeVar("Owner")


class ListeningServer(ThreadingHTTPServer, Generic[Owner]):
    """Belongs to a stand-in, which its handlers ask what to answer."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], owner: Owner, handler: type[BaseHTTPRequestHandler]) -> None:
        self.owner = owner
        super().__init__(address, handler)


class QuietHandler(BaseHTTPRequestHandler):
    """Keeps connections, and says nothing: the stand-in's journal is the log."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def setup(self) -> None:
        """Answer at once: Nagle's algorithm and delayed acknowledgements would add 40 ms."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle_one_request(self) -> None:
        """One request; that the other side goes away is its right."""
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The journal is the log."""
