"""TCP proxies that misbehave on command: cut, delay, fall silent, half-close, refuse, and lose an answer.

They all live in one event loop on a thread of their own; every method may be called from any thread.
`tests.standins.proxy` is the one that counts MariaDB's statements.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Literal, Self, TypeVar, cast

T = TypeVar("T")

Way = Literal["client", "server"]
ANSWER_SECONDS = 10
MOMENT = 0.0001


class _Side(asyncio.Protocol):
    """One end of a pair: the connection of a client, or ours to the server."""

    def __init__(self, pair: _Pair) -> None:
        self.pair = pair
        self.transport: asyncio.Transport | None = None
        self.waiting: list[bytes] = []
        self.last_at = 0.0
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting, self.waiting = self.waiting, []
        for data in waiting:
            self.write(data)
        self.pair.made(self)

    def data_received(self, data: bytes) -> None:
        self.pair.received(self, data)

    def eof_received(self) -> bool:
        self.pair.ended(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.pair.lost(self)

    def pause_writing(self) -> None:
        self.pair.other(self).pause(still=True)

    def resume_writing(self) -> None:
        self.pair.other(self).pause(still=False)

    def pause(self, *, still: bool) -> None:
        """Read nothing more for now, or again."""
        if self.transport is not None and not self.transport.is_closing():
            (self.transport.pause_reading if still else self.transport.resume_reading)()

    def write(self, data: bytes) -> None:
        """Send, or keep until the connection stands. No data means the end of what comes."""
        if self.transport is None:
            self.waiting.append(data)
        elif self.transport.is_closing() or self.ended:
            # After a half-close, what the other side goes on to say has nowhere to go.
            return
        elif data:
            self.transport.write(data)
        else:
            self.ended = True
            try:
                self.transport.write_eof()
            except OSError:
                # It vanished meanwhile, which nobody heard who had heard its end already.
                self.pair.reset()
            self.pair.close_ended()

    def reset(self) -> None:
        """End it at once, as a network that went away: lingering for no time makes the kernel send RST."""
        if self.transport is not None and not self.transport.is_closing():
            kernel = self.transport.get_extra_info("socket")
            kernel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()


class _Pair:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: TcpProxy) -> None:
        self.proxy = proxy
        self.client, self.server = _Side(self), _Side(self)
        self.deaf = False
        self.connecting: asyncio.Task[None] | None = None

    def other(self, side: _Side) -> _Side:
        return self.server if side is self.client else self.client

    def made(self, side: _Side) -> None:
        if side is self.client:
            self.proxy.pairs.add(self)
            if time.monotonic() < self.proxy.refusing_until:
                self.reset()
                return
            self.connecting = self.proxy.loop.create_task(self._connect())
        elif self.client.transport is None or self.client.transport.is_closing():
            self.reset()

    async def _connect(self) -> None:
        try:
            host, port = self.proxy.target
            await self.proxy.loop.create_connection(lambda: self.server, host, port)
        except OSError:
            self.reset()

    def received(self, side: _Side, data: bytes) -> None:
        if side is self.client and self.proxy.takes_answer_of(data):
            self.deaf = True
        elif side is self.server and self.deaf:
            self.proxy.answers_lost += 1
            self.reset()
            return
        self._later(side, data)

    def ended(self, side: _Side) -> None:
        self._later(side, b"")

    def _later(self, side: _Side, data: bytes) -> None:
        now, target = time.monotonic(), self.other(side)
        # Never before what came earlier: a delay that ends must not let later bytes overtake.
        at = max(now + self.proxy.delay, self.proxy.silent_until, target.last_at)
        if at <= now + MOMENT:
            target.write(data)
            return
        target.last_at = at + MOMENT
        self.proxy.held += 1
        self.proxy.loop.call_later(at - now, target.write, data)

    def close_ended(self) -> None:
        """When neither side has anything more to say, both connections are over."""
        if self.client.ended and self.server.ended:
            for side in (self.client, self.server):
                if side.transport is not None:
                    side.transport.close()

    def lost(self, side: _Side) -> None:
        self.proxy.pairs.discard(self)
        other = self.other(side)
        if other.transport is not None and not other.transport.is_closing():
            # What is still on its way is delivered first.
            self.proxy.loop.call_later(max(0.0, other.last_at - time.monotonic()), other.transport.close)

    def half_close(self, way: Way) -> None:
        (self.server if way == "server" else self.client).write(b"")

    def reset(self) -> None:
        self.proxy.pairs.discard(self)
        self.client.reset()
        self.server.reset()


class TcpProxy:
    """One address in front of a server. Made by `Proxies.before`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, target: tuple[str, int]) -> None:
        self.loop = loop
        self.target = target
        self.port = 0
        self.delay = 0.0
        self.silent_until = 0.0
        self.refusing_until = 0.0
        self.pairs: set[_Pair] = set()
        self.answers_lost = self.held = 0
        self._marks: tuple[bytes, ...] = ()
        self._to_lose = 0
        self._server: asyncio.Server | None = None

    async def listen(self, at: socket.socket) -> None:
        """Begin to serve; `Proxies` calls it."""
        self._server = await self.loop.create_server(lambda: _Pair(self).client, sock=at, backlog=256)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """End; `Proxies` calls it."""
        if self._server is not None:
            self._server.close()
        self._cut()

    def takes_answer_of(self, data: bytes) -> bool:
        """Whether this is a request whose answer must get lost; counts it."""
        if self._to_lose and any(mark in data for mark in self._marks):
            self._to_lose -= 1
            return True
        return False

    # what a test does to it

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        return self._call(self._cut)

    def _cut(self) -> int:
        pairs = list(self.pairs)
        for pair in pairs:
            pair.reset()
        return len(pairs)

    def half_close(self, way: Way) -> int:
        """Tell one side that the other sends nothing more, on every connection; how many there were."""

        def tell() -> int:
            pairs = list(self.pairs)
            for pair in pairs:
                pair.half_close(way)
            return len(pairs)

        return self._call(tell)

    def slow_down(self, seconds: float) -> None:
        """Hold every byte for so long from now on; 0 ends it."""
        self.delay = seconds

    def fall_silent(self, seconds: float) -> None:
        """Pass nothing on for so long, in neither direction, and close nothing; everything arrives afterwards."""
        self.silent_until = time.monotonic() + seconds

    def refuse(self, seconds: float) -> None:
        """Reset new connections for so long."""
        self.refusing_until = time.monotonic() + seconds

    def lose_answers(self, count: int, *marks: bytes) -> None:
        """Of the next `count` requests that hold one of the marks, the server acts and the client hears nothing."""
        self._marks, self._to_lose = marks, count

    def behave(self) -> None:
        """End everything above."""
        self.delay = self.silent_until = self.refusing_until = 0.0
        self._to_lose = 0

    def client_ports(self) -> list[int]:
        """The local ports of the clients that are connected now."""

        def ports() -> list[int]:
            sides = [pair.client.transport for pair in self.pairs]
            return [int(side.get_extra_info("peername")[1]) for side in sides if side is not None]

        return self._call(ports)

    def _call(self, work: Callable[[], T]) -> T:
        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(ANSWER_SECONDS)


class Proxies:
    """The event loop of any number of proxies, as a context."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._proxies: list[TcpProxy] = []
        self._thread = threading.Thread(target=self.loop.run_forever, name="proxies", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self._proxies:
            asyncio.run_coroutine_threadsafe(proxy.close(), self.loop).result(ANSWER_SECONDS)
        asyncio.run_coroutine_threadsafe(self._settle(), self.loop).result(ANSWER_SECONDS)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(ANSWER_SECONDS)
        self.loop.close()

    async def _settle(self) -> None:
        """Let what was aborted end, and forget connections that are still being made."""
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        turned = self.loop.create_future()
        self.loop.call_soon(turned.set_result, None)
        await turned

    def before(self, port: int, host: str = "127.0.0.1", at: socket.socket | None = None) -> TcpProxy:
        """A new proxy in front of the server that listens there; it listens `at` a bound socket, or somewhere on loopback."""
        proxy = TcpProxy(self.loop, (host, port))
        here = at or socket.create_server(("127.0.0.1", 0))
        asyncio.run_coroutine_threadsafe(proxy.listen(here), self.loop).result(ANSWER_SECONDS)
        self._proxies.append(proxy)
        return proxy
