"""The proxy breaks connections exactly as it is told to, and is invisible otherwise."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.servers import wait_until
from tests.standins.tcp_proxy import Proxies, TcpProxy

HOLD = 0.3


class Echo:
    """Answers each chunk with `<` and the chunk, and the end with `end`; `heard` is all that arrived."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.heard: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        try:
            with one:
                while data := one.recv(65536):
                    self.heard.append(data)
                    one.sendall(b"<" + data)
                self.heard.append(b"")
                one.sendall(b"end")
        except OSError:
            self.heard.append(b"reset")


@pytest.fixture
def echo() -> Iterator[Echo]:
    """The server."""
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[TcpProxy]:
    """The proxy before it."""
    with Proxies() as proxies:
        yield proxies.before(echo.port)


@pytest.fixture
def client(proxy: TcpProxy) -> Iterator[socket.socket]:
    """A client that has been answered once."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as one:
        assert ask(one, b"hello") == b"<hello"
        yield one


def ask(client: socket.socket, data: bytes) -> bytes:
    """What comes back; nothing for an end."""
    client.sendall(data)
    return client.recv(65536)


def is_reset(client: socket.socket) -> bool:
    """Whether the connection went away instead of ending."""
    try:
        client.recv(1)
    except ConnectionResetError:
        return True
    return False


def is_refused(port: int) -> bool:
    """Whether a new connection goes away, however soon."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            return is_reset(client)
    except ConnectionResetError:
        return True


def test_bytes_pass_and_an_end_of_both_sides_leaves_nothing(proxy: TcpProxy, client: socket.socket) -> None:
    assert len(proxy.client_ports()) == 1
    client.shutdown(socket.SHUT_WR)
    assert client.recv(10) == b"end"
    assert client.recv(10) == b""
    wait_until(lambda: proxy.client_ports() == [], 10, "the end of the pair")


def test_a_cut_resets_both_sides(proxy: TcpProxy, client: socket.socket, echo: Echo) -> None:
    assert proxy.cut() == 1
    assert is_reset(client)
    wait_until(lambda: echo.heard[-1] == b"reset", 10, "the server's reset")


def test_a_delay_holds_each_way_and_keeps_the_order(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.slow_down(HOLD)
    began = time.monotonic()
    client.sendall(b"1")
    wait_until(lambda: proxy.held > 0, 10, "a byte that is held")
    proxy.slow_down(0)
    client.sendall(b"2")
    answered = b""
    while len(answered) < 3:
        answered += client.recv(10)
    assert answered in {b"<12", b"<1<2"}
    assert time.monotonic() - began >= HOLD


def test_silence_closes_nothing_and_loses_nothing(proxy: TcpProxy, client: socket.socket, echo: Echo) -> None:
    proxy.fall_silent(HOLD)
    began = time.monotonic()
    assert ask(client, b"1") == b"<1"
    assert time.monotonic() - began >= HOLD
    assert echo.heard == [b"hello", b"1"]


def test_a_client_that_vanishes_while_its_answer_is_held_leaves_nothing(
    proxy: TcpProxy, client: socket.socket
) -> None:
    proxy.slow_down(HOLD)
    client.sendall(b"1")
    client.close()
    wait_until(lambda: proxy.client_ports() == [], 10, "the end of the pair")


def test_half_a_close_reaches_one_side_only(proxy: TcpProxy, client: socket.socket, echo: Echo) -> None:
    assert proxy.half_close("server") == 1
    wait_until(lambda: echo.heard[-1] == b"", 10, "the end at the server")
    # What the client goes on to say has nowhere to go, and does no harm.
    client.sendall(b"late")
    assert client.recv(10) == b"end"
    assert echo.heard[-1] == b""


def test_the_client_may_hear_an_end_while_the_server_still_listens(
    proxy: TcpProxy, client: socket.socket, echo: Echo
) -> None:
    proxy.half_close("client")
    assert client.recv(10) == b""
    client.sendall(b"still here")
    wait_until(lambda: echo.heard[-1] == b"still here", 10, "the server's hearing it")


def test_refused_connections_are_reset_until_it_behaves(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.refuse(60)
    assert is_refused(proxy.port)
    assert ask(client, b"1") == b"<1"
    proxy.behave()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as other:
        assert ask(other, b"2") == b"<2"


def test_a_lost_answer_is_one_that_the_server_gave(
    proxy: TcpProxy, client: socket.socket, echo: Echo
) -> None:
    proxy.lose_answers(1, b"COMMIT")
    assert ask(client, b"SELECT") == b"<SELECT"
    client.sendall(b"COMMIT")
    assert is_reset(client)
    assert echo.heard[:3] == [b"hello", b"SELECT", b"COMMIT"]
    assert proxy.answers_lost == 1
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as other:
        assert ask(other, b"COMMIT") == b"<COMMIT"


def test_a_server_that_is_not_there_is_a_reset(proxy: TcpProxy, echo: Echo) -> None:
    echo.listener.shutdown(socket.SHUT_RDWR)
    echo.listener.close()
    assert is_refused(proxy.port)
