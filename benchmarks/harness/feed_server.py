"""A lean server of feeds that answer after a while: every body is made once, so that its own CPU hardly counts.

`/NUMBER/DELAY` answers after DELAY seconds; `/count` says how many feeds were served. Each feed may have a loopback address of
its own, because real feeds live on hosts of their own. Started by the benchmarks: python -m benchmarks.harness.feed_server
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers import free_port
from tests.standins.feed_texts import Article, rss20

ROOT = Path(__file__).resolve().parents[2]
BODY_BYTES = 20 * 1024
ARTICLES = 10
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s"


def feed_body(articles: int = ARTICLES, size: int = BODY_BYTES) -> bytes:
    """RSS of that many articles, padded to the size."""
    texts = [_article(number, "") for number in range(articles)]
    share = max(0, size - len(rss20("A feed", texts).encode())) // articles
    sentence = "Some words of an article that somebody wrote. "
    body = (sentence * (share // len(sentence) + 1))[:share]
    return rss20("A feed", [_article(number, body) for number in range(articles)]).encode()


def _article(number: int, body: str) -> Article:
    return Article(
        f"article-{number}", f"Title of article {number}", f"https://feeds.example/{number}", body, number
    )


def address(number: int) -> str:
    """The loopback address of a feed's host."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


class Answers(asyncio.Protocol):
    """One connection, kept alive; every answer is one write."""

    served = 0
    answer = b""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each complete request; bodies are not expected."""
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            if path == b"/count":
                self._write(HEAD % (len(b"%d" % Answers.served), b"%d" % Answers.served))
            else:
                Answers.served += 1
                asyncio.get_running_loop().call_later(
                    float(path.rpartition(b"/")[2]), self._write, Answers.answer
                )

    def _write(self, answer: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(answer)


async def serve(port: int, hosts: list[str], body: bytes) -> None:
    """Until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    Answers.answer = HEAD % (len(body), body)
    server = await loop.create_server(Answers, hosts, port, backlog=1024)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()


class FeedServer:
    """The server as a process of its own."""

    def __init__(self, hosts: int = 1000) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "benchmarks.harness.feed_server", str(self.port), str(hosts)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        assert self.process.stdout is not None
        if self.process.stdout.readline() != b"ready\n":
            raise RuntimeError("the server of feeds did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def url(self, host: int, number: int | str, delay: float) -> str:
        """A feed's URL; `number` only makes it another feed."""
        return f"http://{address(host)}:{self.port}/{number}/{delay:g}"

    def served(self) -> int:
        """How many feeds were asked for so far."""
        with urllib.request.urlopen(f"http://{address(0)}:{self.port}/count") as answer:
            return int(answer.read())


def main() -> None:
    """Serve on the port, on so many loopback addresses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("hosts", type=int)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(serve(options.port, [address(number) for number in range(options.hosts)], feed_body()))


if __name__ == "__main__":
    main()
