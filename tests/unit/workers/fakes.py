"""Fakes of what phase 2 meets: a ledger, sources and notifiers that do as they are told, without any I/O."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend.dispatch.broker import RedisPatience, connect
from backend.domain.errors import Unavailable
from backend.domain.identifiers import new_id
from backend.domain.orders import (
    ArticleDraft,
    DeliveryArticle,
    DeliveryOrder,
    FeedOrder,
    FetchResult,
    Freeze,
    FrozenMessage,
    Outcome,
    Receipt,
    WorkOrder,
)
from backend.domain.politeness import HostLimits
from backend.domain.ports import (
    Checkpoint,
    HttpClient,
    HttpRequest,
    HttpResponse,
    Lease,
    Ledger,
    Notifier,
    Source,
    Standing,
)
from backend.store.cipher import Cipher
from backend.workers.execution import Executor
from backend.workers.hosts import HostGate
from backend.workers.kit import Kit, Slots, Stop
from backend.workers.lane import Lane
from backend.workers.leases import Leases
from backend.workers.outbox import Outbox
from backend.workers.signals import Signals

AWAY = Unavailable(part="The database")
LIMIT = 10.0
NOW = datetime(2026, 11, 22, tzinfo=UTC)


class NoHttp:
    """An HTTP client that nobody may use."""

    def send(self, request: HttpRequest) -> HttpResponse:
        raise AssertionError(f"{request.method} {request.url}")


class FakeSource:
    """Does for each feed what it was told by the feed's id: raise, wait for an event, or bring an article."""

    kind = "rss"

    def __init__(self) -> None:
        self.errors: dict[str, BaseException] = {}
        self.gates: dict[str, threading.Event] = {}
        self.started: list[str] = []
        self.begun = threading.Condition()

    def fetch(self, feed: FeedOrder, http: HttpClient) -> FetchResult:
        with self.begun:
            self.started.append(feed.feed_id)
            self.begun.notify_all()
        if feed.feed_id in self.gates:
            self.gates[feed.feed_id].wait(LIMIT)
        if feed.feed_id in self.errors:
            raise self.errors[feed.feed_id]
        return FetchResult((ArticleDraft(feed.feed_id, feed.name, feed.url),))

    def hold(self, *feed_ids: str) -> None:
        """These feeds answer only after `release`."""
        self.gates |= {one: threading.Event() for one in feed_ids}

    def release(self, *feed_ids: str) -> None:
        """Let them answer; without a name all of them."""
        for one in feed_ids or tuple(self.gates):
            self.gates[one].set()

    def wait_started(self, count: int) -> None:
        """Until so many feeds were begun."""
        with self.begun:
            assert self.begun.wait_for(lambda: len(self.started) >= count, LIMIT), self.started


class FakeNotifier:
    """Records what it sends; fails for a delivery as it was told."""

    def __init__(self, name: str = "webhook", *, recognises_repeats: bool = True) -> None:
        self.name, self.recognises_repeats = name, recognises_repeats
        self.errors: dict[str, BaseException] = {}
        self.gates: dict[str, threading.Event] = {}
        self.sent: dict[str, FrozenMessage] = {}

    def send(self, delivery: DeliveryOrder, message: FrozenMessage, http: HttpClient) -> Receipt:
        self.sent[delivery.delivery_id] = message
        if delivery.delivery_id in self.gates:
            self.gates[delivery.delivery_id].wait(LIMIT)
        if delivery.delivery_id in self.errors:
            raise self.errors[delivery.delivery_id]
        return Receipt(delivery.delivery_id, 200, "ok")


@dataclass
class FakeLedger:
    """A ledger in memory. Each verb can be told to fail (`away`) or how to answer (`standing`)."""

    pending: list[WorkOrder] = field(default_factory=list)
    away: set[str] = field(default_factory=set)
    errors: dict[str, Exception] = field(default_factory=dict)
    standing: Standing = Standing.HELD
    looks: list[int] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    begins: int = 0
    checkpoints: list[Checkpoint] = field(default_factory=list)
    renewals: list[set[str]] = field(default_factory=list)
    settled: list[Outcome] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def _answer(self, verb: str) -> None:
        if verb in self.errors:
            raise self.errors[verb]
        if verb in self.away:
            raise AWAY

    def begin(self, allocation_id: str, attempt: int, execution: str) -> WorkOrder | None:
        self.begins += 1
        self._answer("begin")
        return self._take(lambda order: order.allocation_id == allocation_id)

    def begin_next(self, queue: str, execution: str, max_size: int, *, idle: bool = True) -> WorkOrder | None:
        self.looks.append(max_size)
        self._answer("begin_next")
        return self._take(lambda order: order.size <= max_size and (idle or not order.alone))

    def _take(self, fits: Callable[[WorkOrder], bool]) -> WorkOrder | None:
        with self.changed:
            found = next((order for order in self.pending if fits(order)), None)
            if found is not None:
                self.pending.remove(found)
                self.begun.append(found.allocation_id)
            return found

    def checkpoint(self, order: WorkOrder, progress: Checkpoint) -> Standing:
        self._answer("freeze" if isinstance(progress, Freeze) else "checkpoint")
        with self.changed:
            self.checkpoints.append(progress)
            self.changed.notify_all()
        return self.standing

    def renew(self, leases: Sequence[Lease]) -> dict[str, Standing]:
        self._answer("renew")
        with self.changed:
            self.renewals.append({lease.execution for lease in leases})
            self.changed.notify_all()
        return dict.fromkeys((lease.execution for lease in leases), self.standing)

    def settle(self, outcome: Outcome) -> Standing:
        self._answer("settle")
        with self.changed:
            self.settled.append(outcome)
            self.changed.notify_all()
        return self.standing

    def wait_settled(self, count: int) -> list[Outcome]:
        """Until so many outcomes are settled; them."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.settled) >= count, LIMIT), self.settled
            return list(self.settled)


FakesKeepTheProtocols: tuple[type[Ledger], type[Source], type[Notifier], type[HttpClient]] = (
    FakeLedger,
    FakeSource,
    FakeNotifier,
    NoHttp,
)


def feeds(*names: str) -> tuple[FeedOrder, ...]:
    """Feeds with these ids; the items are called `i-<id>`."""
    return tuple(FeedOrder(f"i-{name}", name, "rss", name, f"https://{name}.example/") for name in names)


def update_order(*names: str, seconds: float = LIMIT, kind: str = "update") -> WorkOrder:
    """An order to collect these feeds."""
    return WorkOrder(new_id(), 1, new_id(), kind, "node:n", seconds, feeds(*names))


def delivery(name: str, **values: Any) -> DeliveryOrder:
    """One delivery about one article."""
    about = DeliveryArticle(f"a-{name}", "Title", "https://example.com/a", "", "", "", "", None, NOW)
    plain: dict[str, Any] = {
        "delivery_id": name,
        "task_id": "t",
        "task_name": "T",
        "message_type": 0,
        "message_template": "hello",
        "web_hook_url": "https://hooks.example.com/x",
        "headers": "",
        "cookies": "",
        "feed_id": "f",
        "feed_name": "F",
        "feed_cover": "",
        "feed_intro": "",
        "articles": (about,),
        "idempotency_key": name,
    }
    return DeliveryOrder(**(plain | values))


def deliver_order(*deliveries: DeliveryOrder, seconds: float = LIMIT) -> WorkOrder:
    """An order to send these."""
    return WorkOrder(new_id(), 1, new_id(), "deliver", "default", seconds, deliveries=deliveries)


class Bench:
    """A worker process's parts over fakes, with real threads."""

    def __init__(self, folder: Path, slots: int = 4, grace: float = LIMIT) -> None:
        self.source, self.hook = FakeSource(), FakeNotifier()
        self.robot = FakeNotifier("robot", recognises_repeats=False)
        self.ledger = FakeLedger()
        self.outbox = Outbox(folder / "outbox", Cipher("a key for tests only"))
        self.kit = Kit(
            sources={"rss": self.source},
            notifiers={"webhook": self.hook, "robot": self.robot},
            http=NoHttp(),
            pool=ThreadPoolExecutor(slots),
            slots=Slots(slots),
            stop=Stop(grace),
            hosts=HostGate(
                Signals(connect("unix:///nowhere", patience=RedisPatience(0, says=False)), "node:n"),
                HostLimits(),
            ),
        )
        self.settled = 0
        self.executor = Executor(self.ledger, self.outbox, Leases(self.ledger, 15.0), self.kit, self._settled)
        # What Redis says waits; `None` for the truth.
        self.waiting: int | None = None
        self.withdrawn: list[str] = []
        self.lane = Lane(
            "node:n",
            self.ledger,
            self.executor,
            backlog=lambda: len(self.ledger.pending) if self.waiting is None else self.waiting,
            withdraw=lambda order: self.withdrawn.append(order.allocation_id),
        )

    def _settled(self) -> None:
        self.settled += 1

    def execute(self, order: WorkOrder) -> Standing:
        """Run one order as the lane does."""
        self.kit.slots.reserve(order.execution, len(order.feeds) + len(order.deliveries))
        return self.executor.execute(order)

    def close(self) -> None:
        """End the threads of the pool."""
        self.source.release()
        for gates in (self.hook.gates, self.robot.gates):
            for gate in gates.values():
                gate.set()
        self.kit.pool.shutdown(wait=True)
