"""Protocols that rooms meet at: plug-ins on one side, the workers on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from backend.domain.orders import (
    DeliveryOrder,
    FeedOrder,
    FetchResult,
    Freeze,
    FrozenMessage,
    Outcome,
    Receipt,
    WorkOrder,
)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request to the outside. `seconds` bounds the whole exchange, redirects included; `max_bytes` the decoded body."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    seconds: float = 30.0
    max_bytes: int = 10 * 1024 * 1024
    follow_redirects: bool = True


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The answer. `headers` has lower-case names; `body` is decoded (gzip, deflate, br).

    `permanent_url` is the URL after the leading permanent redirects (301, 308), else the requested one.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    permanent_url: str


class HttpClient(Protocol):
    """The one way out. Safe to use from many threads at once."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send it; any HTTP status is an answer.

        Raises `WorkError`: `egress_refused` and `too_large` permanent, `dns_failed`, `connect_failed`,
        `tls_failed`, `timed_out`, `broken_answer` not; `ambiguous` when the request had been sent.
        """
        ...


class Source(Protocol):
    """A kind of feed, found by entry point in the group `cascade.sources` under its kind's name."""

    kind: str

    def fetch(self, feed: FeedOrder, http: HttpClient) -> FetchResult:
        """Collect the feed. Raises `WorkError`."""
        ...


class Notifier(Protocol):
    """A way of telling somebody, found by entry point in the group `cascade.notifiers`."""

    name: str
    recognises_repeats: bool
    """True when the receiver can tell a repeat by its `Idempotency-Key`."""

    def send(self, delivery: DeliveryOrder, message: FrozenMessage, http: HttpClient) -> Receipt:
        """Send it once. Raises `WorkError`, also for a refusal that arrives with HTTP 200."""
        ...


class Standing(StrEnum):
    """What the ledger says about an execution."""

    HELD = "held"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Lease:
    """The fencing identity of one running execution."""

    allocation_id: str
    attempt: int
    execution: str


class Ledger(Protocol):
    """Where phases 1 and 3 happen. Every call is one short transaction (or one HTTP exchange)."""

    def begin(self, allocation_id: str, attempt: int, execution: str) -> WorkOrder | None:
        """Take the allocation; `None` when somebody else has it or it was cancelled. Repeatable with the same execution."""
        ...

    def begin_next(self, queue: str, execution: str, max_size: int, *, idle: bool = True) -> WorkOrder | None:
        """Take the oldest pending allocation of the queue that fits into `max_size` slots.

        `idle`: nothing else runs in this process, so that it may be one that must be alone.
        """
        ...

    def checkpoint(self, order: WorkOrder, progress: Outcome | Freeze) -> Standing:
        """Record what is final so far; returns what still holds."""
        ...

    def renew(self, leases: Sequence[Lease]) -> dict[str, Standing]:
        """Extend the leases; by execution, what each one's standing is."""
        ...

    def settle(self, outcome: Outcome) -> Standing:
        """Apply the outcome. `SUPERSEDED` when it was refused because other work took its place."""
        ...
