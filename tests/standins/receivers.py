"""Receivers on loopback: web hooks, and robots that speak the wire of DingTalk, Feishu, WeCom and Bark.

    python -m tests.standins.receivers --port 9000 --journal received.jsonl

Web hooks answer at any path. The robots answer where their services do: `/robot/send?access_token=…`,
`/open-apis/bot/v2/hook/…`, `/cgi-bin/webhook/send?key=…`, `/push`. Everything received is kept in a journal.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import SplitResult, parse_qs, urlsplit

from tests.standins.listening import ListeningServer, QuietHandler

LINK = re.compile(r"\]\((https?://[^)\s]+)\)")


@dataclass(frozen=True)
class Received:
    """One request as it arrived. `status` is 0 when the connection was broken instead of answered."""

    number: int
    at: datetime
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    acknowledged: bool

    @property
    def idempotency_key(self) -> str:
        """The `Idempotency-Key`, empty without one."""
        return self.headers.get("idempotency-key", "")

    @property
    def json(self) -> Any:
        """The body as JSON, `None` when it isn't."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def articles(self) -> list[str]:
        """What the request tells about: the articles' ids, or the links of a Markdown text."""
        content = self.json
        if isinstance(content, dict) and isinstance(content.get("articles"), list):
            return [str(each.get("id") or each.get("url")) for each in content["articles"]]
        return LINK.findall("\n".join(_texts(content)))

    def line(self) -> str:
        """The journal's line."""
        return json.dumps(
            {
                "number": self.number,
                "at": self.at.isoformat(),
                "method": self.method,
                "path": self.path,
                "query": self.query,
                "headers": dict(self.headers),
                "body": self.body.decode("utf-8", "replace"),
                "status": self.status,
                "acknowledged": self.acknowledged,
                "articles": self.articles,
            },
            ensure_ascii=False,
        )


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


@dataclass
class Behaviour:
    """What a path does. `times`: only for so many requests, afterwards it behaves well; `None` for good.

    `answer` replaces the body (a robot's refusal with HTTP 200, say); `silent` reads the request and closes the
    connection; `seconds` waits before answering.
    """

    status: int = 200
    answer: Mapping[str, object] | str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False
    seconds: float = 0.0
    times: int | None = None


class ReceiverServer:
    """The server; a context manager. `secrets` maps a robot's token to the secret that its messages are signed with."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1", journal: Path | None = None) -> None:
        self.secrets: dict[str, str] = {}
        self._behaviours: dict[str, Behaviour] = {}
        self._received: list[Received] = []
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._journal: TextIO | None = journal.open("a", encoding="utf-8") if journal else None
        self._server = ListeningServer((host, port), self, _Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="receivers", daemon=True
        )

    def __enter__(self) -> ReceiverServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
        if self._journal:
            self._journal.close()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def netloc(self) -> str:
        """Host and port."""
        return f"{self._server.server_address[0]!s}:{self.port}"

    def url(self, path: str = "/hook") -> str:
        """The address of a path."""
        return f"http://{self.netloc}{path}"

    def robot_hosts(self) -> dict[str, str]:
        """Sends what is meant for the robots' hosts here: the argument of `RobotNotifier`."""
        hosts = (
            "oapi.dingtalk.com",
            "open.feishu.cn",
            "open.larksuite.com",
            "qyapi.weixin.qq.com",
            "api.day.app",
        )
        return dict.fromkeys(hosts, f"http://{self.netloc}")

    def tell(self, path: str, behaviour: Behaviour) -> None:
        """What the path does from now on."""
        with self._changed:
            self._behaviours[path] = behaviour

    def requests(self, path: str | None = None) -> list[Received]:
        """What arrived, in order; only at `path` when it is given."""
        with self._changed:
            return [each for each in self._received if path is None or each.path == path]

    def wait_for(self, count: int, seconds: float = 10.0) -> list[Received]:
        """Wait until so many requests have arrived; what has arrived by then."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._received) >= count, seconds)
            return list(self._received)

    def articles_seen(self) -> Counter[str]:
        """How often each article was told, over all acknowledged requests."""
        return Counter(article for each in self.requests() if each.acknowledged for article in each.articles)

    def articles_kept(self) -> Counter[str]:
        """The same as a receiver sees it that drops repeats by their `Idempotency-Key`."""
        kept = {
            each.idempotency_key or str(each.number): each for each in self.requests() if each.acknowledged
        }
        return Counter(article for each in kept.values() for article in each.articles)

    def behaviour_for(self, path: str) -> Behaviour | None:
        """What to do with the next request at the path; counts `times` down."""
        with self._changed:
            behaviour = self._behaviours.get(path)
            if behaviour is None or behaviour.times is None:
                return behaviour
            behaviour.times -= 1
            return behaviour if behaviour.times >= 0 else None

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the server lives."""
        self._stopping.wait(seconds)

    def record(self, make: Callable[[int], Received]) -> None:
        """Put a request into the journal and wake who waits."""
        with self._changed:
            received = make(len(self._received) + 1)
            self._received.append(received)
            if self._journal:
                self._journal.write(received.line() + "\n")
                self._journal.flush()
            self._changed.notify_all()


class _Handler(QuietHandler):
    server: ListeningServer[ReceiverServer]

    def do_POST(self) -> None:  # noqa: N802  (the name that `http.server` calls)
        owner, parts = self.server.owner, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        behaviour = owner.behaviour_for(parts.path)
        if behaviour:
            owner.pause(behaviour.seconds)
        status, answer = self._decide(parts.path, parts.query, body, behaviour)
        # In the journal before the answer is out: who has the answer finds the request there.
        headers = {name.lower(): value for name, value in self.headers.items()}
        owner.record(
            lambda number: Received(
                number,
                datetime.now(UTC),
                self.command,
                parts.path,
                parts.query,
                headers,
                body,
                status,
                acknowledged=200 <= status < 300 and not _refuses(answer),
            )
        )
        if status == 0:
            self.close_connection = True
            return
        self._answer(status, answer, behaviour.headers if behaviour else {})

    do_PUT = do_GET = do_POST  # noqa: N815

    def _decide(
        self, path: str, query: str, body: bytes, behaviour: Behaviour | None
    ) -> tuple[int, Mapping[str, object] | str]:
        if behaviour and behaviour.silent:
            return 0, ""
        if behaviour and behaviour.answer is not None:
            return behaviour.status, behaviour.answer
        if behaviour and behaviour.status != 200:
            return behaviour.status, {"error": f"told to answer {behaviour.status}"}
        return _wire(path)(urlsplit(self.path), body, self.server.owner.secrets)

    def _answer(self, status: int, answer: Mapping[str, object] | str, headers: Mapping[str, str]) -> None:
        content = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


Answer = tuple[int, Mapping[str, object]]


def _wire(path: str) -> Callable[[SplitResult, bytes, Mapping[str, str]], Answer]:
    if path == "/robot/send":
        return _dingtalk
    if path.startswith("/open-apis/bot/v2/hook/"):
        return _feishu
    if path == "/cgi-bin/webhook/send":
        return _wecom
    return _bark if path == "/push" else _hook


def _hook(_url: SplitResult, _body: bytes, _secrets: Mapping[str, str]) -> Answer:
    return 200, {"ok": True}


def _dingtalk(url: SplitResult, body: bytes, secrets: Mapping[str, str]) -> Answer:
    given = {name: values[0] for name, values in parse_qs(url.query).items()}
    token, content = given.get("access_token", ""), _object(body)
    secret = secrets.get(token, "")
    stamp = given.get("timestamp", "")
    if not token:
        return 200, {"errcode": 40035, "errmsg": "缺少参数 access_token"}
    expected = _mac(secret, f"{stamp}\n{secret}")
    if secret and not (given.get("sign") == expected and _fresh(stamp, 1000)):
        return 200, {"errcode": 310000, "errmsg": "sign not match"}
    markdown = content.get("markdown")
    if content.get("msgtype") != "markdown" or not isinstance(markdown, dict) or not markdown.get("title"):
        return 200, {"errcode": 400105, "errmsg": "unsupported message type"}
    if len(str(markdown.get("text")).encode()) > 20000:
        return 200, {"errcode": 460101, "errmsg": "message too long, exceed 20000 bytes"}
    return 200, {"errcode": 0, "errmsg": "ok"}


def _feishu(url: SplitResult, body: bytes, secrets: Mapping[str, str]) -> Answer:
    secret, content = secrets.get(url.path.rpartition("/")[2], ""), _object(body)
    stamp = str(content.get("timestamp", ""))
    expected = _mac(f"{stamp}\n{secret}", "")
    if secret and not (content.get("sign") == expected and _fresh(stamp, 1)):
        return 200, {"code": 19021, "msg": "sign match fail or timestamp is not within one hour", "data": {}}
    if content.get("msg_type") != "interactive" or len(body) > 20 * 1024:
        return 400, {"code": 9499, "msg": "Bad Request", "data": {}}
    return 200, {"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"}


def _wecom(url: SplitResult, body: bytes, _secrets: Mapping[str, str]) -> Answer:
    content = _object(body)
    markdown = content.get("markdown")
    if not parse_qs(url.query).get("key"):
        return 200, {"errcode": 93000, "errmsg": "invalid webhook url"}
    if content.get("msgtype") != "markdown" or not isinstance(markdown, dict):
        return 200, {"errcode": 40008, "errmsg": "invalid message type"}
    if len(str(markdown.get("content")).encode()) > 4096:
        return 200, {"errcode": 40058, "errmsg": "markdown.content exceed max length 4096"}
    return 200, {"errcode": 0, "errmsg": "ok"}


def _bark(_url: SplitResult, body: bytes, _secrets: Mapping[str, str]) -> Answer:
    content = _object(body)
    if not content.get("device_key"):
        return 400, {"code": 400, "message": "device key is empty", "timestamp": int(time.time())}
    # APNs counts UTF-8, whatever escapes the request was written with.
    if len(json.dumps(content, ensure_ascii=False).encode()) > 4096:
        return 500, {"code": 500, "message": "push failed: PayloadTooLarge", "timestamp": int(time.time())}
    return 200, {"code": 200, "message": "success", "timestamp": int(time.time())}


def _object(body: bytes) -> dict[str, object]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _mac(key: str, text: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


def _fresh(stamp: str, per_second: int) -> bool:
    return stamp.isdigit() and abs(int(stamp) / per_second - time.time()) < 3600


def _refuses(answer: Mapping[str, object] | str) -> bool:
    """Whether a robot's answer is a refusal in spite of its HTTP status."""
    if isinstance(answer, str):
        return False
    return any(answer.get(name, 0) not in {0, 200} for name in ("errcode", "code", "StatusCode"))


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; then tell how many articles arrived."""
    parser = argparse.ArgumentParser(description="Receivers on loopback, with a journal of what arrives.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--journal", type=Path)
    given = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ReceiverServer(given.port, given.host, given.journal) as server:
        sys.stdout.write(f"listening {server.url('/')}\n")
        sys.stdout.flush()
        stop.wait()
        seen = server.articles_seen()
        often = sum(1 for count in seen.values() if count > 1)
        sys.stdout.write(
            f"{len(server.requests())} requests, {len(seen)} articles, {often} of them more than once\n"
        )


if __name__ == "__main__":
    main()
