"""Testing a connection: it says what is wrong between the parent and a node, and holds nothing meanwhile."""

from __future__ import annotations

import dataclasses
import http.server
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event

from backend.api.app import create_app
from backend.dispatch import node_calls
from backend.domain.identifiers import hash_secret
from backend.domain.signing import verify
from backend.store.tables import Node
from tests import building
from tests.integration.api.harness import Api, data, field_errors, settings_for
from tests.servers import free_port
from tests.standins.odd_http import Exchange, OddServer, Script

NODES = "/api/v1/cascade/nodes"
PAIR = {"api_key": "CN" + "k" * 32, "api_secret": "CS" + "s" * 32}
HEARTBEAT = "/api/v1/cascade/heartbeat"

pytestmark = pytest.mark.parametrize("backend", ["sqlite"])


@pytest.fixture
def api(migrated_url: str, tmp_path: Path) -> Iterator[Api]:
    """The application, which may call loopback."""
    settings = dataclasses.replace(settings_for(migrated_url, tmp_path), egress_allow=("127.0.0.0/8",))
    api = Api(create_app(settings))
    yield api
    api.close()


@pytest.fixture
def node_id(admin: FlaskClient) -> str:
    """A remote node."""
    return str(data(admin.post(NODES, json={"name": "far"}))["id"])


@pytest.fixture
def serve() -> Iterator[Callable[..., OddServer]]:
    """Starts servers that stop with the test."""
    with ExitStack() as stack:

        def start(script: Script, tls: ssl.SSLContext | None = None, **paths: Script) -> OddServer:
            return stack.enter_context(OddServer({"*": script, **paths}, tls))

        yield start


@pytest.fixture
def plain() -> Iterator[str]:
    """An HTTP server of the standard library: it answers at once to whatever it can't read, such as TLS."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def attempt(admin: FlaskClient, node_id: str, url: str | None = None, **body: str) -> dict[str, Any]:
    asked = PAIR | ({} if url is None else {"api_url": url}) | body
    found: dict[str, Any] = data(admin.post(f"{NODES}/{node_id}/test-connection", json=asked))
    assert found["connected"] == (found["error"] is None) == (found["hint"] is None)
    assert PAIR["api_secret"] not in json.dumps(found)
    return found


def answering(status: int, content: object = None, **headers: str) -> Script:
    body = b"" if content is None else json.dumps(content).encode()
    return lambda exchange: exchange.answer(status, body, **headers)


ANSWERS: list[tuple[Script, str, str]] = [
    (answering(401, {"detail": {"message": "bad key"}}), "node_unauthorized", "(HTTP 401). bad key"),
    (answering(403, {"message": "switched off"}), "node_unauthorized", "(HTTP 403). switched off"),
    (answering(404, {"detail": "Not Found"}), "node_route_missing", "does not know the address"),
    (answering(405), "node_route_missing", "(HTTP 405)"),
    (answering(302, location="https://elsewhere.example/"), "node_moved", "redirect"),
    (answering(500, {"message": "oops"}), "node_failing", "fault of its own (HTTP 500). oops"),
    (answering(200), "node_answers_oddly", "not as a node does"),
    (answering(200, ["a list"]), "node_answers_oddly", "HTTP 200"),
    (answering(200, {"ok": True}), "node_answers_oddly", "HTTP 200"),
    # WeRSS refuses like this.
    (answering(200, {"code": 401, "message": "认证失败"}), "node_unauthorized", "认证失败"),
    (answering(201, {"code": 40101, "message": "locked"}), "node_unauthorized", "locked"),
    (answering(200, {"code": 500, "message": "oops"}), "node_failing", "oops"),
    (answering(422, {"message": "what?"}), "node_answers_oddly", "what?"),
    (lambda exchange: exchange.raw(b"SSH-2.0-OpenSSH\r\n"), "broken_answer", "not valid HTTP"),
]


def alive(exchange: Exchange) -> None:
    exchange.answer(200, json.dumps({"code": 0, "data": {"status": "alive"}}).encode())


def test_a_server_that_accepts_the_pair_is_connected(
    admin: FlaskClient, node_id: str, serve: Callable[..., OddServer]
) -> None:
    server = serve(alive)
    found = attempt(admin, node_id, server.url)
    assert (found["connected"], found["http_status"], found["url"]) == (True, 200, server.url + HEARTBEAT)
    assert found["parent_response"] == {"code": 0, "data": {"status": "alive"}}
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", HEARTBEAT)
    assert request.header("Authorization") == f"AK-SK {PAIR['api_key']}:{PAIR['api_secret']}"


def test_a_werss_server_is_found_under_its_own_prefix(
    admin: FlaskClient, node_id: str, serve: Callable[..., OddServer]
) -> None:
    server = serve(answering(404), **{"/api/v1/wx/cascade/heartbeat": alive})
    assert attempt(admin, node_id, server.url)["connected"]
    assert [request.target for request in server.requests] == [HEARTBEAT, "/api/v1/wx/cascade/heartbeat"]


def test_each_answer_is_told_apart_in_words(
    admin: FlaskClient, node_id: str, serve: Callable[..., OddServer]
) -> None:
    for script, code, words in ANSWERS:

        def close_after(exchange: Exchange, script: Script = script) -> None:
            script(exchange)
            exchange.sock.close()

        found = attempt(admin, node_id, serve(close_after).url)
        assert (found["code"], found["connected"], found["parent_response"]) == (code, False, None)
        assert words in found["error"]
        assert found["hint"]


def test_what_keeps_a_connection_from_being_made_is_told_apart(
    admin: FlaskClient, node_id: str, plain: str
) -> None:
    urls = {
        "connection_refused": f"http://127.0.0.1:{free_port()}",
        "dns_failed": "http://no-such-host.invalid:8001",
        "tls_failed": plain.replace("http://", "https://"),
        "egress_refused": "http://10.1.2.3:8001",
    }
    found = {code: attempt(admin, node_id, url) for code, url in urls.items()}
    assert {one["code"] for one in found.values()} == set(urls)
    assert len({one["error"] for one in found.values()}) == len({one["hint"] for one in found.values()}) == 4
    assert "CASCADE_EGRESS_ALLOW=127.0.0.0/8,10.1.2.3/32" in found["egress_refused"]["hint"]
    assert "no-such-host.invalid" in found["dns_failed"]["error"]


def test_a_server_that_hangs_is_given_up_in_time_and_no_connection_is_held(
    api: Api,
    admin: FlaskClient,
    node_id: str,
    serve: Callable[..., OddServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[int] = []
    out: list[object] = []

    @event.listens_for(api.engine, "checkout")
    def _note(connection: object, *_rest: object) -> None:
        out.append(connection)

    @event.listens_for(api.engine, "checkin")
    def _forget(connection: object, *_rest: object) -> None:
        out.remove(connection)

    def hang(exchange: Exchange) -> None:
        held.append(len(out))
        exchange.stopping.wait(10)

    assert node_calls.TEST_SECONDS <= 10
    monkeypatch.setattr(node_calls, "TEST_SECONDS", 0.4)
    began = time.monotonic()
    found = attempt(admin, node_id, serve(hang).url)
    assert time.monotonic() - began < 5
    assert (found["code"], held) == ("timed_out", [0])


def test_it_speaks_chinese_too(admin: FlaskClient, node_id: str) -> None:
    asked = PAIR | {"api_url": f"http://127.0.0.1:{free_port()}"}
    path = f"{NODES}/{node_id}/test-connection"
    found = data(admin.post(path, json=asked, headers={"Accept-Language": "zh-CN"}))
    assert (found["error"], found["hint"]) == (
        "127.0.0.1 拒绝连接：该端口没有程序在监听。",
        "请启动对方的程序，并检查地址中的主机和端口。",
    )


# --- without credentials: a signed ping


def test_without_credentials_a_signed_ping_goes_to_the_node(
    api: Api, admin: FlaskClient, node_id: str, serve: Callable[..., OddServer]
) -> None:
    server = serve(alive)
    pair = data(admin.post(f"{NODES}/{node_id}/credentials"))
    building.change(api.engine, Node, node_id, callback_url=server.url)
    found = data(admin.post(f"{NODES}/{node_id}/test-connection"))
    assert (found["connected"], found["url"]) == (True, f"{server.url}/api/v1/cascade/notify")
    (request,) = server.requests
    headers = {
        name.lower(): request.header(name)
        for name in ("X-Cascade-Timestamp", "X-Cascade-Signature", "Authorization")
    }
    verify(headers, request.body, secret_hash=hash_secret(pair["api_secret"]), now=time.time())
    assert json.loads(request.body)["type"] == "ping"
    assert (headers["authorization"], pair["api_key"] in request.head) == ("", False)


def test_a_ping_needs_an_address_and_credentials_and_says_so(admin: FlaskClient, node_id: str) -> None:
    path = f"{NODES}/{node_id}/test-connection"
    assert data(admin.post(path, json={}))["code"] == "no_node_address"
    asked = {"api_url": "http://127.0.0.1:1"}
    assert data(admin.post(path, json=asked))["code"] == "no_node_credentials"
    data(admin.post(f"{NODES}/{node_id}/credentials"))
    assert data(admin.post(path, json=asked))["code"] == "connection_refused"
    assert attempt(admin, node_id)["code"] == "no_node_address"


def test_a_child_that_refuses_the_signature_is_told_apart(
    admin: FlaskClient, node_id: str, serve: Callable[..., OddServer]
) -> None:
    data(admin.post(f"{NODES}/{node_id}/credentials"))
    asked = {"api_url": serve(answering(401, {"message": "no"})).url}
    found = data(admin.post(f"{NODES}/{node_id}/test-connection", json=asked))
    assert (found["code"], found["connected"]) == ("node_signature_refused", False)
    assert "clock" in found["hint"]


def test_half_a_pair_and_a_bad_address_are_named(admin: FlaskClient, node_id: str) -> None:
    path = f"{NODES}/{node_id}/test-connection"
    assert field_errors(admin.post(path, json={"api_key": "CNx"})).keys() == {"api_secret"}
    assert field_errors(admin.post(path, json={"api_secret": "CSx"})).keys() == {"api_key"}
    assert field_errors(admin.post(path, json={"api_url": "ftp://x"})).keys() == {"api_url"}
    assert data(admin.post(f"{NODES}/nobody/test-connection", json=PAIR), 404)["error"] == "not_found"
