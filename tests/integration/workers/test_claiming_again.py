"""A child that waits before it claims again is called back: by its parent, or when that is there again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from backend.domain.errors import WorkError
from backend.domain.ports import HttpRequest, HttpResponse
from backend.domain.protocol import Capabilities
from backend.domain.reconnecting import Backoff
from backend.domain.wire import Heard
from backend.store.cipher import Cipher
from backend.workers.claimer import Claimer, Scope
from backend.workers.contact import Contact
from backend.workers.journal import Journal
from backend.workers.outbox import Outbox
from backend.workers.parent import Pair, Parent
from tests.servers import wait_until

HEARD = Heard("node-1", protocol=2)
LONG = Backoff(base=120.0, longest=120.0)


@dataclass
class Nobody:
    """A network without a parent; it counts who asks."""

    asked: list[HttpRequest] = field(default_factory=list)

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `HttpClient`."""
        self.asked.append(request)
        raise WorkError("connect_failed", host="parent", detail="nobody")


@dataclass
class ShortLine(Nobody):
    """A line that breaks before anybody has waited for long; what is answered at once gets through."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `HttpClient`."""
        self.asked.append(request)
        if not request.url.endswith("wait=0"):
            raise WorkError("broken_answer", host="parent", ambiguous=True)
        return HttpResponse(200, {}, b'{"code": 200, "message": "", "data": null}', request.url, request.url)


@contextmanager
def claiming(
    folder: Path, nobody: Nobody | None = None, backoff: Backoff = LONG
) -> Iterator[tuple[Claimer, Nobody]]:
    """A claimer in a thread, which has failed once and waits for two minutes."""
    nobody = nobody or Nobody()
    claimer = Claimer(
        parent=Parent("http://parent", nobody, lambda: Pair("CN", "CS")),
        contact=Contact(roll=lambda: 0.0),
        journal=Journal(folder / "journal.db"),
        outbox=Outbox(folder / "outbox", Cipher("a key of tests")),
        instance="instance-1",
        capabilities=Capabilities(),
        scope=Scope("update", frozenset({"update"}), 5),
        offer=lambda _pieces: None,
        backoff=backoff,
        roll=lambda: 1.0,
    )
    claimer.contact.answered(HEARD)
    thread = threading.Thread(target=claimer.serve)
    thread.start()
    try:
        wait_until(lambda: len(nobody.asked) >= 1, 20, "the first claim")
        yield claimer, nobody
    finally:
        claimer.stop.set()
        claimer.woken.set()
        thread.join(20)
        assert not thread.is_alive()


def test_the_parent_s_call_ends_the_wait(tmp_path: Path) -> None:
    with claiming(tmp_path) as (claimer, nobody):
        claimer.woken.set()
        wait_until(lambda: len(nobody.asked) == 2, 20, "the next claim")


def test_the_return_of_the_parent_ends_the_wait(tmp_path: Path) -> None:
    with claiming(tmp_path) as (claimer, nobody):
        claimer.contact.failed()
        seen = threading.Event()
        # The claimer looks once a second: it must have seen that the parent was away.
        seen.wait(1.5)
        assert len(nobody.asked) == 1
        claimer.contact.answered(HEARD)
        wait_until(lambda: len(nobody.asked) == 2, 20, "the next claim")


def test_a_line_that_is_cut_more_often_than_a_poll_lasts_does_not_make_the_waits_grow(tmp_path: Path) -> None:
    with claiming(tmp_path, ShortLine(), Backoff(base=0.05, longest=120.0)) as (_, line):
        wait_until(lambda: len(line.asked) >= 12, 20, "twelve claims")
    waits = [request.url.rpartition("=")[2] for request in line.asked[:12]]
    assert waits == ["25", "0"] * 6
