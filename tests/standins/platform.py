"""What every stand-in of a platform shares: a server on loopback, faults that it can be told, and its own journal.

Other processes reach the same through HTTP: `GET /_control/journal`, `POST /_control/tell`, `POST /_control/heal`,
`POST /_control/accounts`, each with the arguments of the method of the same name as JSON.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from email.utils import formatdate
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TextIO
from urllib.parse import parse_qs, urlsplit

from tests.standins.listening import ListeningServer, QuietHandler

CONTROL = "/_control/"
FILES = "/files/"


class Kind(StrEnum):
    """What a platform can be told to do wrong."""

    EXPIRE = "expire"
    RATE_LIMIT = "rate_limit"
    CAPTCHA = "captcha"
    RISK = "risk"
    HIDE = "hide"
    REFUSE = "refuse"
    FAIL = "fail"
    SLOW = "slow"
    BREAK = "break"
    DO_AND_BREAK = "do_and_break"
    DO_AND_FAIL = "do_and_fail"


@dataclass
class Fault:
    """One fault: for one account or all, at one call or all, so many times or until it is healed.

    `seconds` is how long `slow` waits and what `rate_limit` asks for; `text` are the platform's words.
    """

    kind: Kind
    account: str = ""
    call: str = ""
    times: int | None = None
    seconds: float = 0.0
    text: str = ""


@dataclass(frozen=True)
class Publication:
    """One call that published: `again` when the article was there already. `at` is in Unix seconds of the true clock."""

    number: int
    at: float
    account: str
    article_id: str
    title: str
    again: bool = False
    key: str = ""


@dataclass(frozen=True)
class Call:
    """A request as it arrived. `host` is the platform's host that it was meant for."""

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, an empty object when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that came along."""
        pairs = [pair.strip().partition("=") for pair in self.headers.get("cookie", "").split(";")]
        return {name: value for name, _, value in pairs if name}


@dataclass
class Reply:
    """An answer; `content` is JSON, unless it is text or bytes."""

    status: int = 200
    content: Any = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    broken: bool = False

    @property
    def body(self) -> bytes:
        """The bytes to send."""
        if isinstance(self.content, bytes):
            return self.content
        text = self.content if isinstance(self.content, str) else json.dumps(self.content, ensure_ascii=False)
        return text.encode()


class PlatformServer:
    """The server; a context manager. Platforms say who asks for what (`recognise`), how they refuse, and what they answer."""

    hosts: tuple[str, ...] = ()

    def __init__(self, port: int = 0, journal: Path | None = None) -> None:
        self.lock = threading.RLock()
        self.clock_offset = 0.0
        self.calls: list[Call] = []
        self.files: dict[str, bytes] = {}
        self._faults: list[Fault] = []
        self._published: list[Publication] = []
        self._stopping = threading.Event()
        self._changed = threading.Condition(self.lock)
        self._journal: TextIO | None = journal.open("a", encoding="utf-8") if journal else None
        self._server = ListeningServer(("127.0.0.1", port), self, _Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name=type(self).__name__, daemon=True
        )

    # What a platform is.

    def recognise(self, call: Call) -> tuple[str, str]:
        """The name of the call and the account that asks; empty when unknown."""
        raise NotImplementedError

    def refusal(self, fault: Fault) -> Reply:
        """How this platform words a fault."""
        raise NotImplementedError

    def serve(self, name: str, account: str, call: Call) -> Reply:
        """What it answers when nothing is wrong."""
        raise NotImplementedError

    def add_account(self, name: str, **given: str) -> None:
        """An account that may log in."""
        raise NotImplementedError

    # What tests do with it.

    def __enter__(self) -> Self:
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
    def base(self) -> str:
        """Its own address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def elsewhere(self) -> dict[str, str]:
        """Where each of the platform's hosts is: the argument of `ElsewhereHttpClient`."""
        return {host: f"{self.base}/{host}" for host in self.hosts}

    @property
    def setting(self) -> str:
        """The same as the value of `CASCADE_PUBLISH_HOSTS`."""
        return ",".join(f"{host}={base}" for host, base in self.elsewhere.items())

    def tell(self, kind: str, **given: Any) -> None:
        """What goes wrong from now on."""
        with self.lock:
            self._faults.append(Fault(Kind(kind), **given))

    def heal(self, kind: str = "", account: str = "") -> None:
        """End the faults of that kind and account; all without either."""
        with self.lock:
            self._faults = [
                one
                for one in self._faults
                if (kind and one.kind != kind) or (account and one.account != account)
            ]

    def keep_file(self, name: str, content: bytes) -> str:
        """Serve these bytes, as some other web server would; their address."""
        self.files[name] = content
        return f"{self.base}{FILES}{name}"

    def journal(self) -> list[Publication]:
        """Every call that published, in order."""
        with self.lock:
            return list(self._published)

    def articles(self) -> Counter[tuple[str, str]]:
        """How many different articles each account has under a title: the count that must never exceed one."""
        ids = {(one.account, one.title, one.article_id) for one in self.journal()}
        return Counter((account, title) for account, title, _ in ids)

    def wait_for(self, count: int, seconds: float = 30.0) -> list[Publication]:
        """Wait until so many publishing calls were made; those made by then."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._published) >= count, seconds)
            return list(self._published)

    def wait_for_call(self, name: str, seconds: float = 30.0) -> bool:
        """Wait until a call of that name has arrived (it may not be answered yet)."""
        with self._changed:
            return self._changed.wait_for(
                lambda: any(self.recognise(one)[0] == name for one in self.calls), seconds
            )

    # What platforms use.

    def now(self) -> float:
        """The platform's own clock."""
        return time.time() + self.clock_offset

    def note(self, account: str, article_id: str, title: str, *, again: bool = False, key: str = "") -> None:
        """Put a publication into the journal, before anybody hears of it."""
        with self._changed:
            number = len(self._published) + 1
            entry = Publication(number, time.time(), account, article_id, title, again, key)
            self._published.append(entry)
            if self._journal:
                self._journal.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
                self._journal.flush()
            self._changed.notify_all()

    def answer(self, call: Call) -> Reply:
        """The answer to a call, faults included."""
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
        name, account = self.recognise(call)
        if slow := self._take(Kind.SLOW, name, account):
            self._stopping.wait(slow.seconds)
        if self._take(Kind.BREAK, name, account):
            return Reply(broken=True)
        for kind in (
            Kind.EXPIRE,
            Kind.RATE_LIMIT,
            Kind.CAPTCHA,
            Kind.RISK,
            Kind.HIDE,
            Kind.REFUSE,
            Kind.FAIL,
        ):
            if fault := self._take(kind, name, account):
                return self.refusal(fault)
        with self.lock:
            reply = self.serve(name, account, call)
        if self._take(Kind.DO_AND_BREAK, name, account):
            return Reply(broken=True)
        if fault := self._take(Kind.DO_AND_FAIL, name, account):
            return self.refusal(Fault(Kind.FAIL, text=fault.text))
        return reply

    def _take(self, kind: Kind, name: str, account: str) -> Fault | None:
        with self.lock:
            for fault in self._faults:
                fits = fault.call in {"", name} and fault.account in {"", account}
                if fault.kind is kind and fits and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def control(self, verb: str, given: dict[str, Any]) -> Reply:
        """The same over HTTP."""
        verbs: dict[str, Callable[..., Any]] = {
            "tell": self.tell,
            "heal": self.heal,
            "accounts": self.add_account,
            "journal": lambda: [asdict(one) for one in self.journal()],
        }
        return Reply(200, verbs[verb](**given)) if verb in verbs else Reply(404, "no such verb")


class _Handler(QuietHandler):
    server: ListeningServer[PlatformServer]

    def do_POST(self) -> None:  # noqa: N802  (the name that `http.server` calls)
        owner, parts = self.server.owner, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if parts.path.startswith(CONTROL):
            self._send(
                owner.control(parts.path.removeprefix(CONTROL), json.loads(body) if body.strip() else {})
            )
            return
        if parts.path.startswith(FILES):
            content = owner.files.get(parts.path.removeprefix(FILES))
            self._send(Reply(404) if content is None else Reply(200, content))
            return
        host, _, path = parts.path.lstrip("/").partition("/")
        known = host in owner.hosts
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._send(
            owner.answer(
                Call(
                    self.command,
                    host if known else self.headers.get("Host", ""),
                    f"/{path}" if known else parts.path,
                    query,
                    headers,
                    body,
                )
            )
        )

    do_GET = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_POST  # noqa: N815

    def _send(self, reply: Reply) -> None:
        if reply.broken:
            self.close_connection = True
            return
        self.send_response(reply.status)
        names = {name.lower() for name, _ in reply.headers}
        if "content-type" not in names:
            self.send_header("Content-Type", "application/json; charset=utf-8")
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and reply.status != 204:
            self.wfile.write(reply.body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The `Date` header, by the platform's clock."""
        return formatdate(self.server.owner.now() if timestamp is None else timestamp, usegmt=True)


def serve_forever(make: Callable[[int, Path | None], PlatformServer], description: str) -> None:
    """Serve until SIGTERM or Ctrl-C; then tell how often each article was published."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--journal", type=Path)
    parser.add_argument(
        "--account", action="append", default=[], metavar="NAME=SECRET", help="an account and its session"
    )
    given = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with make(given.port, given.journal) as server:
        for one in given.account:
            name, _, secret = one.partition("=")
            server.add_account(name, secret=secret)
        sys.stdout.write(f"listening {server.base}\nCASCADE_PUBLISH_HOSTS={server.setting}\n")
        sys.stdout.flush()
        stop.wait()
        often = [title for title, count in server.articles().items() if count > 1]
        sys.stdout.write(f"{len(server.journal())} publications, {len(often)} articles more than once\n")
