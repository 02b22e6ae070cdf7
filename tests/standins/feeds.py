"""A server of generated feeds on loopback, in every format that the source reads, ten of them broken.

By hand: python -m tests.standins.feeds --count 300 --port 0 [--delay S] [--opml FILE]
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.sax.saxutils import quoteattr

import brotli  # type: ignore[import-untyped]

from tests.standins.feed_texts import Article, atom, json_feed, rss10, rss20

FORMATS = ("rss20", "atom", "json", "rss10", "gbk", "big5", "gzip", "br", "moved_302", "moved_308")
BREAKAGES = (
    "not_found",
    "gone",
    "server_error",
    "html_page",
    "truncated",
    "reset",
    "hang",
    "busy",
    "redirect_loop",
    "garbage",
)
FAILURE_CODES = {
    "not_found": "http_status",
    "gone": "feed_gone",
    "server_error": "http_status",
    "html_page": "not_a_feed",
    "truncated": "truncated_feed",
    "reset": "broken_answer",
    "hang": "timed_out",
    "busy": "http_status",
    "redirect_loop": "redirect_loop",
    "garbage": "not_a_feed",
}
"""The error code that the source ends with, by breakage."""


@dataclass(frozen=True)
class Visit:
    """One request that arrived; `at` is on the monotonic clock."""

    method: str
    path: str
    status: int
    at: float


@dataclass(frozen=True)
class Answer:
    """What to send. Status 0 stands for a reset connection."""

    status: int
    body: bytes = b""
    content_type: str = "application/xml"
    headers: dict[str, str] = field(default_factory=dict)


class GeneratedFeed:
    """One feed: its format (or breakage), its articles, its delay."""

    def __init__(self, number: int, form: str, articles: int, delay: float) -> None:
        self.number, self.form, self.delay = number, form, delay
        self.title = f"{_word(form, '订阅', '訂閱', 'Feed')} {number}"
        self.articles: list[Article] = []
        for _ in range(articles):
            self.add_article()

    @property
    def path(self) -> str:
        return f"/feeds/{self.number}"

    @property
    def broken(self) -> bool:
        return self.form in BREAKAGES

    def add_article(self) -> str:
        """Put one more on top; returns its title."""
        index = len(self.articles) + 1
        article = Article(
            guid=f"feed-{self.number}-article-{index}",
            title=f"{self.title} {_word(self.form, '文章', '文章', 'article')} {index} & more",
            link=f"https://feeds.example/{self.number}/{index}",
            body=f"<p>{_word(self.form, '内容', '內容', 'Body')} {index}</p>",
            number=index,
        )
        # A new list and no change in place: another thread may be rendering the old one.
        self.articles = [article, *self.articles]
        return article.title

    def render(self) -> Answer:
        """The answer of a feed that works."""
        encode, content_type, headers = _RENDERERS.get(self.form, _RENDERERS["rss20"])
        body = encode(self.title, self.articles)
        tag = hashlib.sha256(body).hexdigest()[:16]
        return Answer(200, body, content_type, {"ETag": f'"{tag}"', **headers})


_Encode = Callable[[str, list[Article]], bytes]


def _word(form: str, simplified: str, traditional: str, english: str) -> str:
    return {"gbk": simplified, "big5": traditional}.get(form, english)


def _utf8(render: Callable[[str, list[Article]], str]) -> _Encode:
    return lambda title, articles: render(title, articles).encode()


def _charset(name: str) -> _Encode:
    return lambda title, articles: rss20(title, articles, name).encode(name)


def _compressed(compress: Callable[[bytes], bytes]) -> _Encode:
    return lambda title, articles: compress(rss20(title, articles).encode())


_RENDERERS: dict[str, tuple[_Encode, str, dict[str, str]]] = {
    "rss20": (_utf8(rss20), "application/rss+xml", {}),
    "atom": (_utf8(atom), "application/atom+xml; charset=utf-8", {}),
    "json": (_utf8(json_feed), "application/feed+json", {}),
    "rss10": (_utf8(rss10), "application/rdf+xml", {}),
    "gbk": (_charset("gbk"), "text/xml; charset=gbk", {}),
    "big5": (_charset("big5"), "text/xml", {}),
    "gzip": (
        _compressed(lambda body: gzip.compress(body, mtime=0)),
        "text/xml",
        {"Content-Encoding": "gzip"},
    ),
    "br": (
        _compressed(lambda body: brotli.compress(body, quality=4)),
        "text/xml",
        {"Content-Encoding": "br"},
    ),
}


class FeedServer:
    """Serves `count` feeds at `/feeds/<n>`, the last `broken` of them broken, one breakage each.

    `articles` each; `delay` seconds before each answer; `hang_seconds` is how long the hanging one holds on.
    """

    def __init__(
        self,
        count: int = 30,
        *,
        articles: int = 3,
        delay: float = 0.0,
        broken: int = 10,
        port: int = 0,
        hang_seconds: float = 120.0,
    ) -> None:
        whole = max(count - broken, 0)
        self.feeds = {
            number: GeneratedFeed(number, self._form(number, whole), articles, delay)
            for number in range(count)
        }
        self._hang_seconds = hang_seconds
        self._visits: list[Visit] = []
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self.prompt = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.feed_server = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @staticmethod
    def _form(number: int, whole: int) -> str:
        if number < whole:
            return FORMATS[number % len(FORMATS)]
        return BREAKAGES[(number - whole) % len(BREAKAGES)]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Serve from a thread of its own."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Stop serving; hanging and delayed answers end at once."""
        self.stopping.set()
        self.prompt.set()
        self._server.shutdown()
        self._server.server_close()

    # what a test asks

    def feed_url(self, number: int) -> str:
        """The address of one feed."""
        return f"{self.url}/feeds/{number}"

    def expected_articles(self) -> dict[str, int]:
        """How many articles each path brings; broken ones bring none."""
        return {path: len(titles) for path, titles in self.expected_titles().items()}

    def expected_titles(self) -> dict[str, tuple[str, ...]]:
        """The exact titles that each path brings, newest first."""
        return {
            feed.path: () if feed.broken else tuple(article.title for article in feed.articles)
            for feed in self.feeds.values()
        }

    def expected_failures(self) -> dict[str, str]:
        """The error code of each broken path."""
        return {feed.path: FAILURE_CODES[feed.form] for feed in self.feeds.values() if feed.broken}

    def journal(self) -> list[Visit]:
        """Every request so far."""
        with self._lock:
            return list(self._visits)

    def opml(self) -> str:
        """All feeds as OPML."""
        outlines = "\n".join(
            f'<outline type="rss" text={quoteattr(feed.title)} xmlUrl={quoteattr(self.feed_url(feed.number))}/>'
            for feed in self.feeds.values()
        )
        return (
            '<?xml version="1.0" encoding="utf-8"?>\n<opml version="2.0"><head><title>Generated feeds</title></head>'
            f"<body>\n{outlines}\n</body></opml>\n"
        )

    # what a test changes

    def set_delay(self, seconds: float, number: int | None = None) -> None:
        """Delay one feed, or all of them."""
        for feed in self.feeds.values() if number is None else (self.feeds[number],):
            feed.delay = seconds

    def end_delays(self) -> None:
        """Answer at once from now on, also those who wait already."""
        self.prompt.set()

    def add_article(self, number: int) -> str:
        """Publish one more article in a feed; returns its title."""
        return self.feeds[number].add_article()

    # what the handler asks

    def note(self, method: str, path: str, status: int) -> None:
        """Write a visit into the journal."""
        with self._lock:
            self._visits.append(Visit(method, path, status, time.monotonic()))

    def answer(self, path: str, known_tag: str) -> Answer:
        """The answer to a path, after its feed's delay."""
        room, _, number = path.strip("/").partition("/")
        feed = self.feeds.get(int(number)) if number.isdigit() and room in {"feeds", "moved"} else None
        if feed is None:
            return Answer(404)
        self.prompt.wait(feed.delay)
        if feed.broken:
            return self._broken(feed)
        if feed.form.startswith("moved") and room == "feeds":
            return Answer(int(feed.form[-3:]), headers={"Location": f"/moved/{feed.number}"})
        found = feed.render()
        return Answer(304, headers=found.headers) if known_tag == found.headers["ETag"] else found

    def _broken(self, feed: GeneratedFeed) -> Answer:
        if feed.form == "hang":
            self.stopping.wait(self._hang_seconds)
            return Answer(0)
        if feed.form == "truncated":
            text = rss20(feed.title, feed.articles or [Article("g", "t", "https://feeds.example/", "b")])
            return Answer(200, text[: text.index("<guid")].encode())
        if feed.form == "redirect_loop":
            return Answer(302, headers={"Location": feed.path})
        return _BROKEN[feed.form]


_BROKEN = {
    "not_found": Answer(404, b"no such feed", "text/plain"),
    "gone": Answer(410, b"gone", "text/plain"),
    "server_error": Answer(500, b"oh no", "text/plain"),
    "html_page": Answer(
        200, b"<!DOCTYPE html><html><head><title>A page</title></head><body/></html>", "text/html"
    ),
    "reset": Answer(0),
    "busy": Answer(429, b"slow down", "text/plain", {"Retry-After": "1"}),
    "garbage": Answer(200, bytes(range(1, 256)) * 8, "application/octet-stream"),
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # Two hundred connections may arrive within a moment.
    request_queue_size = 1024
    feed_server: FeedServer


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # One packet per answer, so that Nagle's algorithm and delayed acknowledgements never meet.
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 300

    def do_GET(self) -> None:
        serving = self.server.feed_server
        path = self.path.partition("?")[0]
        answer = serving.answer(path, self.headers.get("If-None-Match", ""))
        serving.note(self.command, path, answer.status)
        if answer.status == 0:
            self._reset()
            return
        self.send_response(answer.status)
        for name, value in {"Content-Type": answer.content_type, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _reset(self) -> None:
        # Lingering for no time makes the kernel send RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing: the journal knows."""

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            # A client that was killed in the middle is part of the tests.
            self.close_connection = True


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Serve generated feeds on loopback.")
    parser.add_argument("--count", type=int, default=300, help="how many feeds; the last ten are broken")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--articles", type=int, default=3, help="articles in each feed")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--opml", type=Path, help="write a list of all feeds to this file")
    options = parser.parse_args()
    server = FeedServer(options.count, articles=options.articles, delay=options.delay, port=options.port)
    if options.opml:
        options.opml.write_text(server.opml(), encoding="utf-8")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
