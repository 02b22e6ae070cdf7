"""The HTTP client against real loopback servers: where it may go, how long, how much, and how it says what failed."""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import pytest
import requests

from backend.domain.errors import WorkError
from backend.domain.ports import HttpRequest, HttpResponse
from backend.outbound.adapter import install, recorded
from backend.outbound.client import GuardedHttpClient
from backend.outbound.connections import verified_context
from backend.outbound.resolving import system_addresses
from tests.standins.certificates import certificate
from tests.standins.odd_http import Exchange, OddServer, Script

LOOPBACK = ("127.0.0.0/8",)


class Names:
    """A resolver that we own: what a name leads to, answer by answer; the last one stays."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = {name.replace("_", "."): list(each) for name, each in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, _port: int, _seconds: float) -> list[str]:
        self.asked.append(host)
        answers = self.answers.get(host)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def serve() -> Iterator[Callable[..., OddServer]]:
    """Starts servers that stop with the test."""
    with ExitStack() as stack:

        def start(scripts: dict[str, Script], tls: ssl.SSLContext | None = None) -> OddServer:
            return stack.enter_context(OddServer(scripts, tls))

        yield start


@pytest.fixture
def client() -> GuardedHttpClient:
    return GuardedHttpClient(LOOPBACK, {})


def get(client: GuardedHttpClient, url: str, **options: object) -> HttpResponse:
    return client.send(HttpRequest("GET", url, **options))  # type: ignore[arg-type]


def failure(client: GuardedHttpClient, url: str, **options: object) -> WorkError:
    with pytest.raises(WorkError) as caught:
        client.send(HttpRequest(**({"method": "GET", "url": url} | options)))  # type: ignore[arg-type]
    return caught.value


def hello(exchange: Exchange) -> None:
    exchange.answer(200, b"hello", etag='"1"')


def redirect(status: int, location: str) -> Script:
    return lambda exchange: exchange.answer(status, b"moved", location=location)


def reset(exchange: Exchange) -> None:
    exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.sock.close()


# answers


def test_an_answer_has_status_lower_case_headers_and_body(
    client: GuardedHttpClient, serve: Callable[..., OddServer]
) -> None:
    server = serve({"*": hello})
    response = get(client, f"{server.url}/x?q=1#part", headers={"X-Mine": "yes"})
    assert (response.status, response.headers["etag"], response.body) == (200, '"1"', b"hello")
    assert response.permanent_url == f"{server.url}/x?q=1#part"
    [seen] = server.requests
    assert (seen.target, seen.header("x-mine")) == ("/x?q=1", "yes")
    assert seen.header("user-agent").startswith("Cascade/")
    assert seen.header("accept-encoding") == "gzip, deflate, br"


@pytest.mark.parametrize("status", [204, 304, 404, 500, 503])
def test_any_status_is_an_answer(
    client: GuardedHttpClient, serve: Callable[..., OddServer], status: int
) -> None:
    server = serve({"*": lambda exchange: exchange.answer(status)})
    assert get(client, server.url).status == status


@pytest.mark.parametrize(
    ("coding", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress), ("identity", bytes)],
)
def test_a_body_is_decoded(
    client: GuardedHttpClient,
    serve: Callable[..., OddServer],
    coding: str,
    encode: Callable[[bytes], bytes],
) -> None:
    text = b"some words " * 5000
    server = serve({"*": lambda exchange: exchange.answer(200, encode(text), content_encoding=coding)})
    assert get(client, server.url).body == text


def test_a_chunked_body_is_put_together(client: GuardedHttpClient, serve: Callable[..., OddServer]) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
    server = serve({"*": lambda exchange: exchange.raw(answer)})
    assert get(client, server.url).body == b"hello!"


def test_fifty_threads_share_one_client(client: GuardedHttpClient, serve: Callable[..., OddServer]) -> None:
    server = serve({"*": lambda exchange: exchange.answer(200, exchange.target.encode())})
    paths = [f"/{number}" for number in range(500)]
    with ThreadPoolExecutor(50) as pool:
        bodies = list(pool.map(lambda path: get(client, server.url + path).body, paths))
    assert bodies == [path.encode() for path in paths]


# where it may go


def test_loopback_is_refused_unless_allowed(serve: Callable[..., OddServer]) -> None:
    server = serve({"*": hello})
    error = failure(GuardedHttpClient((), {}), server.url)
    assert (error.code, error.permanent, error.ambiguous) == ("egress_refused", True, False)
    assert "CASCADE_EGRESS_ALLOW=127.0.0.0/8" in str(error)
    assert server.connections == 0


@pytest.mark.parametrize(
    "target",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:10.0.0.1]/",
        "http://[::1]:1/",
        "http://inner.example/",
        "https://100.64.0.1/",
    ],
)
def test_a_redirect_to_a_forbidden_address_is_refused(serve: Callable[..., OddServer], target: str) -> None:
    server = serve({"/start": redirect(302, target)})
    names = Names(inner_example=[["192.168.1.1"]])
    error = failure(GuardedHttpClient(LOOPBACK, {}, names), f"{server.url}/start")
    assert (error.code, error.permanent) == ("egress_refused", True)
    assert len(server.requests) == 1


def test_a_name_is_resolved_once_per_connection_and_the_checked_address_is_used(
    serve: Callable[..., OddServer],
) -> None:
    server = serve({"*": hello})
    names = Names(rebind_example=[["127.0.0.1"], ["10.0.0.1"]])
    client = GuardedHttpClient(LOOPBACK, {}, names)
    url = f"http://rebind.example:{server.port}/"
    assert client.send(HttpRequest("POST", url, body=b"x")).status == 200
    assert names.asked == ["rebind.example"]
    error = failure(client, url, method="POST", body=b"x")
    assert (error.code, "10.0.0.1" in str(error)) == ("egress_refused", True)
    assert names.asked == ["rebind.example"] * 2
    assert server.requests[0].header("host") == f"rebind.example:{server.port}"


def test_one_forbidden_address_among_the_resolved_refuses_the_host(serve: Callable[..., OddServer]) -> None:
    server = serve({"*": hello})
    names = Names(both_example=[["127.0.0.1", "192.168.7.7"]])
    error = failure(GuardedHttpClient(LOOPBACK, {}, names), f"http://both.example:{server.port}/")
    assert (error.code, "192.168.7.7" in str(error)) == ("egress_refused", True)
    assert server.connections == 0


def test_fake_ip_answers_get_their_own_error() -> None:
    names = Names(feeds_example=[["198.18.0.9"]])
    error = failure(GuardedHttpClient((), {}, names), "https://feeds.example/")
    assert (error.code, error.permanent) == ("egress_fake_ip", True)


def test_a_dead_first_address_gives_way_to_the_next(serve: Callable[..., OddServer]) -> None:
    server = serve({"*": hello})
    names = Names(two_example=[["127.0.0.2", "127.0.0.1"]])
    response = get(GuardedHttpClient(LOOPBACK, {}, names), f"http://two.example:{server.port}/")
    assert response.body == b"hello"


# proxies


def test_the_proxy_decides_and_no_name_is_resolved_here(serve: Callable[..., OddServer]) -> None:
    proxy = serve({"*": hello})
    names = Names()
    environ = {"HTTP_PROXY": f"http://user:pass@127.0.0.1:{proxy.port}"}
    client = GuardedHttpClient((), environ, names)
    assert get(client, "http://intranet.example/feed?x=1").body == b"hello"
    assert get(client, "http://10.0.0.1/").body == b"hello"
    assert [seen.target for seen in proxy.requests] == [
        "http://intranet.example/feed?x=1",
        "http://10.0.0.1/",
    ]
    assert proxy.requests[0].header("proxy-authorization") == "Basic dXNlcjpwYXNz"
    assert names.asked == []


def test_https_goes_through_the_proxy_by_connect(serve: Callable[..., OddServer]) -> None:
    proxy = serve({"*": lambda exchange: exchange.raw(b"HTTP/1.1 403 Forbidden\r\n\r\n")})
    environ = {"https_proxy": f"http://127.0.0.1:{proxy.port}"}
    error = failure(GuardedHttpClient((), environ, Names()), "https://intranet.example/?token=s3cret")
    assert (error.code, error.ambiguous) == ("connect_failed", False)
    assert [(seen.method, seen.target) for seen in proxy.requests] == [("CONNECT", "intranet.example:443")]


def test_a_host_in_no_proxy_meets_the_guard(serve: Callable[..., OddServer]) -> None:
    proxy = serve({"*": hello})
    environ = {"http_proxy": f"http://127.0.0.1:{proxy.port}", "no_proxy": "10.0.0.0/8"}
    assert failure(GuardedHttpClient((), environ), "http://10.0.0.1/").code == "egress_refused"
    assert proxy.connections == 0


# redirects


def test_the_permanent_url_ends_at_the_first_temporary_redirect(
    client: GuardedHttpClient, serve: Callable[..., OddServer]
) -> None:
    server = serve(
        {
            "/a": redirect(301, "/b"),
            "/b": redirect(308, "/c"),
            "/c": redirect(302, "/d"),
            "/d": redirect(301, "/e"),
            "/e": hello,
        }
    )
    response = get(client, f"{server.url}/a")
    assert (response.url, response.permanent_url) == (f"{server.url}/e", f"{server.url}/c")


def test_secrets_stay_behind_when_a_redirect_leaves_the_origin(
    client: GuardedHttpClient, serve: Callable[..., OddServer]
) -> None:
    other = serve({"*": hello})
    server = serve({"/a": redirect(302, "/b"), "/b": redirect(302, f"{other.url}/c")})
    headers = {"Authorization": "Bearer t", "Cookie": "s=1", "X-Api-Key": "k", "X-Plain": "p"}
    get(client, f"{server.url}/a", headers=headers)
    assert [seen.header("authorization") for seen in server.requests] == ["Bearer t"] * 2
    [seen] = other.requests
    assert [seen.header(name) for name in headers] == ["", "", "", "p"]


def test_a_redirect_is_an_answer_when_it_is_not_to_be_followed(
    client: GuardedHttpClient, serve: Callable[..., OddServer]
) -> None:
    server = serve({"*": redirect(302, "/elsewhere")})
    response = client.send(HttpRequest("POST", server.url, body=b"{}", follow_redirects=False))
    assert (response.status, response.body, len(server.requests)) == (302, b"moved", 1)


def test_a_redirect_loop_ends(client: GuardedHttpClient, serve: Callable[..., OddServer]) -> None:
    server = serve({"*": redirect(302, "/again")})
    error = failure(client, server.url)
    assert (error.code, error.permanent, len(server.requests)) == ("redirect_loop", True, 11)


def test_cookies_are_never_kept(client: GuardedHttpClient, serve: Callable[..., OddServer]) -> None:
    server = serve(
        {"/a": lambda exchange: exchange.answer(302, location="/b", set_cookie="s=1"), "/b": hello}
    )
    get(client, f"{server.url}/a")
    get(client, f"{server.url}/b")
    assert [seen.header("cookie") for seen in server.requests] == ["", "", ""]


# limits of time


def _took(call: Callable[[], WorkError]) -> tuple[WorkError, float]:
    start = time.monotonic()
    return call(), time.monotonic() - start


def silence(exchange: Exchange) -> None:
    exchange.stopping.wait(30)


SLOW: dict[str, Script] = {
    "/body": lambda exchange: exchange.drip(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 9999, 0.01
    ),
    "/endless": lambda exchange: exchange.drip(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 99999, 0.01),
    "/head": lambda exchange: exchange.drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 9999, 0.01),
    "/silence": silence,
    "/chunks": lambda exchange: exchange.drip(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 9999, 0.01
    ),
    "/interim": lambda exchange: exchange.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 9999, 0.01),
}


@pytest.mark.parametrize("path", SLOW)
def test_a_slow_answer_ends_at_the_limit(
    client: GuardedHttpClient, serve: Callable[..., OddServer], path: str
) -> None:
    server = serve(SLOW)
    error, seconds = _took(lambda: failure(client, server.url + path, seconds=0.7))
    assert (error.code, error.permanent, error.ambiguous) == ("timed_out", False, True)
    assert 0.6 < seconds < 2


def test_the_limit_covers_all_redirects_together(
    client: GuardedHttpClient, serve: Callable[..., OddServer]
) -> None:
    def late(exchange: Exchange) -> None:
        exchange.stopping.wait(0.3)
        exchange.answer(302, location="/again")

    server = serve({"*": late})
    error, seconds = _took(lambda: failure(client, server.url, seconds=0.8))
    assert error.code == "timed_out"
    assert seconds < 2


def test_a_connection_that_never_opens_is_timed_out_but_not_ambiguous(client: GuardedHttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        with ExitStack() as filling:
            for _ in range(4):
                filler = filling.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(address)
            error = failure(client, f"http://127.0.0.1:{address[1]}/", seconds=0.5)
    assert (error.code, error.ambiguous) == ("timed_out", False)


def test_a_resolver_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: released.wait(30) and [])
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        system_addresses("slow.example", 80, 0.2)
    assert time.monotonic() - start < 2
    released.set()


# limits of size


def _bomb(coding: str) -> bytes:
    block = bytes(1024 * 1024)
    if coding == "br":
        compressor = brotli.Compressor(quality=5)
        return b"".join([compressor.process(block) for _ in range(200)]) + bytes(compressor.finish())
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31 if coding == "gzip" else 15)
    return b"".join([deflater.compress(block) for _ in range(200)]) + deflater.flush()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a_decompression_bomb_stops_at_the_limit(
    client: GuardedHttpClient, serve: Callable[..., OddServer], coding: str
) -> None:
    bomb = _bomb(coding)
    assert len(bomb) < 1024 * 1024
    server = serve({"*": lambda exchange: exchange.answer(200, bomb, content_encoding=coding)})
    start = time.process_time()
    error = failure(client, server.url, max_bytes=1024 * 1024)
    assert (error.code, error.permanent) == ("too_large", True)
    assert time.process_time() - start < 0.5


def test_the_size_limit_is_exact(client: GuardedHttpClient, serve: Callable[..., OddServer]) -> None:
    server = serve({"*": lambda exchange: exchange.answer(200, b"x" * 1000)})
    assert len(get(client, server.url, max_bytes=1000).body) == 1000
    assert failure(client, server.url, max_bytes=999).code == "too_large"


# what failed, and whether the request had been sent


def test_a_refused_connection_is_not_ambiguous(client: GuardedHttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(client, f"http://127.0.0.1:{port}/")
    assert (error.code, error.permanent, error.ambiguous) == ("connect_failed", False, False)


def test_an_unknown_name_is_a_dns_failure() -> None:
    error = failure(GuardedHttpClient((), {}, Names()), "https://nowhere.example/")
    assert (error.code, error.permanent, error.ambiguous) == ("dns_failed", False, False)
    assert "nowhere.example" in str(error)


def last_words(words: bytes) -> Script:
    def script(exchange: Exchange) -> None:
        exchange.raw(words)
        exchange.sock.close()

    return script


BROKEN: dict[str, Script] = {
    "reset": reset,
    "closed": lambda exchange: exchange.sock.close(),
    "no_http": last_words(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "short": last_words(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
    "bad_gzip": lambda exchange: exchange.answer(200, b"not gzip at all", content_encoding="gzip"),
    "bad_chunk": lambda exchange: exchange.raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_ambiguous_because_the_request_was_sent(
    client: GuardedHttpClient, serve: Callable[..., OddServer], name: str
) -> None:
    server = serve({"*": BROKEN[name]})
    error = failure(client, server.url, method="POST", body=b"{}")
    assert (error.code, error.permanent, error.ambiguous) == ("broken_answer", False, True)
    assert len(server.requests) == 1


def test_a_get_survives_a_kept_connection_that_its_server_closed(
    client: GuardedHttpClient, serve: Callable[..., OddServer]
) -> None:
    answered = threading.Event()

    def once_per_connection(exchange: Exchange) -> None:
        # The second request of a connection is read and then dropped, as by a server whose patience just ended.
        if exchange.target == "/second" and not answered.is_set():
            answered.set()
            exchange.sock.close()
        else:
            hello(exchange)

    server = serve({"*": once_per_connection})
    assert get(client, f"{server.url}/first").body == b"hello"
    assert get(client, f"{server.url}/second").body == b"hello"
    assert [seen.target for seen in server.requests] == ["/first", "/second", "/second"]
    assert server.connections == 2


def test_a_post_never_uses_a_kept_connection(
    client: GuardedHttpClient, serve: Callable[..., OddServer]
) -> None:
    server = serve({"*": hello})
    for _ in range(3):
        client.send(HttpRequest("POST", server.url, body=b"{}"))
    assert server.connections == 3


@pytest.mark.parametrize("header", ["bad\r\nInjected: yes", "\u4e2d\u6587"])
def test_a_header_that_cannot_be_sent_is_refused_before_sending(
    client: GuardedHttpClient, serve: Callable[..., OddServer], header: str
) -> None:
    server = serve({"*": hello})
    error = failure(client, server.url, headers={"X-Given": header})
    assert (error.code, error.permanent, error.ambiguous) == ("unsendable_request", True, False)
    assert server.requests == []


@pytest.mark.parametrize(
    "script", [reset, redirect(302, "http://10.0.0.1/?token=s3cret"), redirect(302, "/loop?token=s3cret")]
)
def test_errors_never_show_what_a_url_keeps_secret(
    client: GuardedHttpClient, serve: Callable[..., OddServer], script: Script
) -> None:
    server = serve({"*": script})
    error = failure(client, f"http://user:s3cret@127.0.0.1:{server.port}/s3cret?token=s3cret")
    assert "s3cret" not in f"{error} {error.sentence('zh')} {error.params} {error.detail}"


# TLS


def test_a_self_signed_certificate_is_refused_before_anything_is_sent(
    serve: Callable[..., OddServer], tmp_path: Path
) -> None:
    server = serve({"*": hello}, certificate(tmp_path)[0])
    client = GuardedHttpClient(LOOPBACK, {}, Names(secure_example=[["127.0.0.1"]]))
    error = failure(client, f"https://secure.example:{server.port}/", method="POST", body=b"{}")
    assert (error.code, error.permanent, error.ambiguous) == ("tls_failed", False, False)
    assert "self-signed certificate" in str(error)
    assert server.requests == []


def test_a_certificate_of_the_system_store_is_trusted_for_its_own_name_only(
    serve: Callable[..., OddServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, file = certificate(tmp_path)
    server = serve({"*": hello}, context)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    verified_context.cache_clear()
    try:
        names = Names(secure_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
        client = GuardedHttpClient(LOOPBACK, {}, names)
        assert get(client, f"https://secure.example:{server.port}/").body == b"hello"
        assert failure(client, f"https://other.example:{server.port}/").code == "tls_failed"
    finally:
        verified_context.cache_clear()


def test_plain_http_on_a_tls_port_is_a_tls_failure(
    client: GuardedHttpClient, serve: Callable[..., OddServer]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer_plainly() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer_plainly, daemon=True)
        thread.start()
        error = failure(client, f"https://127.0.0.1:{port}/", seconds=5)
        thread.join(5)
    assert (error.code, error.ambiguous) == ("tls_failed", False)


# the same guard for `requests`


@pytest.fixture
def guarded_requests() -> Iterator[None]:
    undo = install(LOOPBACK)
    yield
    undo()


@pytest.mark.usefixtures("guarded_requests")
def test_requests_are_recorded(serve: Callable[..., OddServer]) -> None:
    server = serve(
        {
            "*": lambda exchange: exchange.answer(
                429, "慢".encode() * 3000, retry_after="7", content_type="text/plain; charset=utf-8"
            )
        }
    )
    with recorded() as recording:
        response = requests.post(server.url, json={"a": 1}, timeout=5)
    assert response.text == "慢" * 3000
    assert (recording.status, recording.sent, recording.error, recording.count) == (429, True, None, 1)
    assert (recording.excerpt, recording.headers["retry-after"]) == ("慢" * 2000, "7")
    assert server.requests[0].body == b'{"a": 1}'


@pytest.mark.usefixtures("guarded_requests")
def test_requests_meet_the_guard_also_on_redirects(serve: Callable[..., OddServer]) -> None:
    server = serve({"*": redirect(302, "http://10.0.0.1/?token=s3cret")})
    with recorded() as recording, pytest.raises(requests.ConnectionError, match="CASCADE_EGRESS_ALLOW"):
        requests.get(server.url, timeout=5)
    assert recording.error is not None
    assert (recording.error.code, recording.error.permanent, recording.sent) == (
        "egress_refused",
        True,
        False,
    )


@pytest.mark.usefixtures("guarded_requests")
def test_a_recording_tells_whether_the_request_had_been_sent(serve: Callable[..., OddServer]) -> None:
    server = serve({"/reset": reset, "/silence": silence})
    outcomes = []
    for url in (f"{server.url}/reset", f"{server.url}/silence", "http://127.0.0.1:1/"):
        with recorded() as recording, pytest.raises(requests.RequestException):
            requests.post(url, data=b"x", timeout=(0.3, 0.3))
        assert recording.error is not None
        outcomes.append((recording.error.code, recording.sent, recording.error.ambiguous, recording.status))
    assert outcomes == [
        ("broken_answer", True, True, 0),
        ("timed_out", True, True, 0),
        ("connect_failed", False, False, 0),
    ]


@pytest.mark.usefixtures("guarded_requests")
def test_requests_have_limits_of_time_and_size(serve: Callable[..., OddServer]) -> None:
    bomb = _bomb("gzip")
    server = serve(SLOW | {"/bomb": lambda exchange: exchange.answer(200, bomb, content_encoding="gzip")})
    codes = []
    for path in ("/endless", "/bomb"):
        with recorded() as recording, pytest.raises(requests.RequestException):
            requests.get(server.url + path, timeout=(0.3, 0.3))
        assert recording.error is not None
        codes.append(recording.error.code)
    assert codes == ["timed_out", "too_large"]


@pytest.mark.usefixtures("guarded_requests")
def test_an_unverified_session_does_not_weaken_the_others(
    serve: Callable[..., OddServer], tmp_path: Path
) -> None:
    server = serve({"*": hello}, certificate(tmp_path)[0])
    with pytest.warns(Warning, match="Unverified HTTPS request"):
        assert requests.get(server.url, verify=False, timeout=5).text == "hello"  # noqa: S501 - the point
    assert verified_context().verify_mode is ssl.CERT_REQUIRED
    with recorded() as recording, pytest.raises(requests.exceptions.SSLError):
        requests.get(server.url, timeout=5)
    assert recording.error is not None
    assert recording.error.code == "tls_failed"


@pytest.mark.usefixtures("guarded_requests")
def test_recordings_of_threads_do_not_mix(serve: Callable[..., OddServer]) -> None:
    server = serve({"*": lambda exchange: exchange.answer(200, exchange.target.encode())})

    def ask(number: int) -> str:
        with recorded() as recording:
            requests.get(f"{server.url}/{number}", timeout=10)
        return recording.excerpt

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(ask, range(100))) == [f"/{number}" for number in range(100)]
