"""A child's line to its parent, over real sockets: what it repeats, what it gives up, and what it never says."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backend.domain.errors import (
    ConfigurationError,
    CredentialsRefused,
    ParentAway,
    ParentFailed,
    ParentRefused,
)
from backend.outbound.trusted import TrustedHttpClient, context_trusting
from backend.workers.parent import Call, Pair, Parent, retry_after
from tests.servers import free_port
from tests.standins.certificates import certificate
from tests.standins.odd_http import Exchange, OddServer, Script

SECRET = "CSvery-secret"
PING = Call("POST", "/ping", {"a": 1})
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def envelope(data: object, code: int = 0, message: str = "") -> bytes:
    return json.dumps({"code": code, "message": message, "data": data}).encode()


def good(data: object = None) -> Script:
    return lambda exchange: exchange.answer(body=envelope(data))


def refusal(status: int, **data: object) -> Script:
    return lambda exchange: exchange.answer(status, envelope(data, status, "as it is said"))


class Turns:
    """A script that answers each request by the next of these; the last one stays."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)

    def __call__(self, exchange: Exchange) -> None:
        (self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0])(exchange)


class Line:
    """A parent that answers by script, the line to it, and a clock that only waiting moves."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.waits: list[float] = []
        self.now = 0.0
        self.pair = Pair("CNkey", SECRET)

    def to(self, *scripts: Script) -> Parent:
        self.server = self._stack.enter_context(OddServer({"*": Turns(*scripts)}))
        return self.at(self.server.url)

    def at(self, url: str) -> Parent:
        return Parent(
            url,
            TrustedHttpClient(environ={}),
            lambda: self.pair,
            wait=self._wait,
            clock=lambda: self.now,
            roll=lambda: 0.5,
        )

    def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def line() -> Iterator[Line]:
    with ExitStack() as stack:
        yield Line(stack)


def test_a_call_carries_the_credentials_and_brings_what_the_envelope_holds(line: Line) -> None:
    said = line.to(good({"b": 2})).call(PING)
    (request,) = line.server.requests
    assert (said.data, request.target, json.loads(request.body)) == (
        {"b": 2},
        "/api/v1/cascade/ping",
        {"a": 1},
    )
    assert request.header("authorization") == f"AK-SK CNkey:{SECRET}"


def test_one_connection_carries_many_calls(line: Line) -> None:
    parent = line.to(good())
    for _ in range(5):
        parent.call(PING)
    assert (len(line.server.requests), line.server.connections) == (5, 1)


def test_a_kept_connection_that_the_parent_closed_costs_no_try(line: Line) -> None:
    def answer_and_hang_up(exchange: Exchange) -> None:
        exchange.answer(body=envelope(1))
        exchange.sock.close()

    parent = line.to(answer_and_hang_up, good(2))
    assert [parent.call(PING).data for _ in range(2)] == [1, 2]
    assert line.waits == []


def test_a_fork_shares_no_connection(line: Line) -> None:
    parent = line.to(good())
    parent.call(PING)
    child = os.fork()
    if child == 0:
        parent.call(PING)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    parent.call(PING)
    assert line.server.connections == 2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_parent_that_is_busy_is_asked_again(line: Line, status: int) -> None:
    assert line.to(refusal(status), refusal(status), good(3)).call(PING).data == 3
    assert line.waits == [0.25, 0.5]


def test_an_answer_that_was_cut_off_is_asked_for_again(line: Line) -> None:
    def cut(exchange: Exchange) -> None:
        exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        exchange.sock.close()

    assert line.to(cut, good(3)).call(PING).data == 3


def test_retry_after_is_waited_at_least(line: Line) -> None:
    def later(exchange: Exchange) -> None:
        exchange.answer(503, envelope(None, 503, "busy"), retry_after="4")

    line.to(later, good()).call(PING)
    assert 4 <= line.waits[0] <= 6


def test_patience_ends_and_tells_how_long_the_parent_wants_to_be_left_alone(line: Line) -> None:
    def later(exchange: Exchange) -> None:
        exchange.answer(503, envelope(None, 503, "busy"), retry_after="120")

    with pytest.raises(ParentAway, match="busy") as caught:
        line.to(later).call(PING)
    assert (caught.value.retry_after, line.waits) == (120, [])


def test_a_parent_that_is_away_is_given_up_after_the_patience(line: Line) -> None:
    with pytest.raises(ParentAway, match="does not answer"):
        line.at(f"http://127.0.0.1:{free_port()}").call(PING)
    assert len(line.waits) >= 4
    assert sum(line.waits) <= PING.patience


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_not_sent_again_until_they_change(line: Line, status: int) -> None:
    parent = line.to(refusal(status), good(1))
    for _ in range(3):
        with pytest.raises(CredentialsRefused, match="as it is said"):
            parent.call(PING)
    assert (len(line.server.requests), line.waits) == (1, [])
    line.pair = Pair("CNkey", "CSnew")
    assert parent.call(PING).data == 1
    assert parent.refused is None


def test_the_same_credentials_are_tried_again_after_a_while_because_a_node_may_be_switched_on(
    line: Line,
) -> None:
    parent = line.to(refusal(403), good(1))
    with pytest.raises(CredentialsRefused):
        parent.call(PING)
    line.now += 125
    assert parent.call(PING).data == 1


def test_a_refusal_is_said_once_loudly_and_no_secret_ever(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    parent = line.to(refusal(401))
    parent.speaks = True
    for _ in range(3):
        with pytest.raises(CredentialsRefused):
            parent.call(PING)
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 1
    assert "put the new api_key and api_secret into config.yaml" in told[0].getMessage()
    assert SECRET not in caplog.text
    assert SECRET not in repr(parent)


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_something_else_at_the_parents_address_is_no_answer(line: Line, status: int) -> None:
    with pytest.raises(ParentAway, match="not a Cascade parent"):
        line.to(lambda exchange: exchange.answer(status, b"<html>")).call(PING)


def test_a_redirect_is_not_followed_with_the_secret(line: Line) -> None:
    with pytest.raises(ParentAway, match="HTTP 302"):
        line.to(lambda exchange: exchange.answer(302, b"", location="/elsewhere")).call(PING)
    assert {request.target for request in line.server.requests} == {"/api/v1/cascade/ping"}


def test_what_the_parent_will_never_take_is_said_at_once_with_its_code(line: Line) -> None:
    with pytest.raises(ParentRefused) as caught:
        line.to(refusal(409, error="superseded", standing="superseded")).call(PING)
    error = caught.value
    assert (error.parent_status, error.parent_code, error.standing) == (409, "superseded", "superseded")
    with pytest.raises(ParentFailed):
        line.to(refusal(500)).call(PING)
    assert line.waits == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("-1", 0.0), ("Thu, 26 Nov 2026 00:00:09 GMT", 9.0), ("soon", None), ("", None)],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after(text, NOW) == seconds


def serve_tls(stack: ExitStack, folder: Path, line: Line) -> tuple[Callable[[Path | None], Parent], Path]:
    context, own = certificate(folder)
    server = stack.enter_context(OddServer({"*": good(1)}, context))

    def parent(ca_file: Path | None) -> Parent:
        made = line.at(server.url)
        made.http = TrustedHttpClient(ca_file, environ={})
        return made

    return parent, own


def test_the_certificate_is_checked_against_the_own_ca_alone(line: Line, tmp_path: Path) -> None:
    with ExitStack() as stack:
        parent, own = serve_tls(stack, tmp_path, line)
        assert parent(own).call(PING).data == 1
        with pytest.raises(ParentAway, match="certificate"):
            parent(None).call(PING)


def test_a_ca_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"ca\.pem"):
        context_trusting(tmp_path / "ca.pem")
    with pytest.raises(ConfigurationError, match=r"none\.pem"):
        context_trusting(tmp_path / "none.pem")
