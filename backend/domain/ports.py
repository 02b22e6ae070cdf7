"""Protocols that rooms meet at: plug-ins on one side, the workers on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from backend.domain.errors import CascadeError
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
from backend.domain.publishing import (
    AccountVerdict,
    CredentialKind,
    Credentials,
    DraftSaved,
    Finding,
    LoginSight,
    Manuscript,
    Prepared,
    Promise,
    Published,
    PublishOrder,
    Submission,
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
    `cookies` are the `Set-Cookie` headers of the last answer, of which there may be many.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    permanent_url: str
    cookies: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Desk:
    """What a publisher works with: the one way out, a word on how far it is, and an end that it must respect.

    `tell` shows progress to the waiting person (`login`, `upload 3/7`, …). `wait` sleeps that many seconds at most and
    returns `True` when the work must stop. `seconds_left` is until the work's own deadline.
    """

    http: HttpClient
    tell: Callable[[str], None]
    wait: Callable[[float], bool]
    seconds_left: Callable[[], float]
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the operator set for platforms, by names such as `csdn.app_secret`."""


class Publisher(Protocol):
    """A platform, found by entry point in the group `cascade.publishers` under its platform's name.

    Every call raises `WorkError` with one of these codes where they fit: `session_expired` (log in again), `login_required`
    (a captcha or another human check), `rate_limited` (`retry_after` is set), `rejected` (permanent; `detail` keeps the platform's
    words); anything else is transient unless it says `permanent`, and `ambiguous` where nobody knows whether the call took effect.
    """

    platform: str
    promise: Promise
    credential_kinds: frozenset[CredentialKind]
    login_kinds: frozenset[str]
    """Ways to log in that it can walk itself: `qr`, `password`, or none."""

    def credential_troubles(self, credentials: Credentials) -> tuple[CascadeError, ...]:
        """What these credentials lack, each with its sentence in every language; empty when they can be used. Sends nothing."""
        ...

    def refusals(self, manuscript: Manuscript) -> tuple[CascadeError, ...]:
        """What this platform can never take of the article, each with its sentence. Sends nothing."""
        ...

    def check_session(
        self, account_id: str, version: int, credentials: Credentials, desk: Desk
    ) -> AccountVerdict:
        """Ask the platform whether these credentials are good."""
        ...

    def log_in(
        self,
        account_id: str,
        version: int,
        credentials: Credentials,
        desk: Desk,
        prompt: Callable[[LoginSight], None],
    ) -> AccountVerdict:
        """Log in anew (`login_kinds`): `prompt` shows a person a code, or where it ended; the verdict brings what was got as `refreshed`."""
        ...

    def prepare(self, order: PublishOrder, desk: Desk, save: Callable[[DraftSaved], None]) -> Prepared:
        """Make or continue the draft: repeatable. `save` at once when a draft exists, before anything else is sent."""
        ...

    def recent_ids(self, order: PublishOrder, desk: Desk) -> tuple[str, ...]:
        """The ids of the account's recent articles, to be noted before submission."""
        ...

    def publish(self, order: PublishOrder, prepared: Prepared, desk: Desk) -> Published:
        """The one call that publishes. Sent once; never repeated here."""
        ...

    def find_published(self, order: PublishOrder, desk: Desk) -> Finding:
        """Whether the submitted article is there: the draft by its id first, then own articles that are not in `known_ids`."""
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


Checkpoint = Outcome | Freeze | DraftSaved | Submission | LoginSight


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

    def checkpoint(self, order: WorkOrder, progress: Checkpoint) -> Standing:
        """Record what is final so far; returns what still holds.

        A `Submission` answered with anything but `HELD` must not be followed by the call that publishes.
        """
        ...

    def renew(self, leases: Sequence[Lease]) -> dict[str, Standing]:
        """Extend the leases; by execution, what each one's standing is."""
        ...

    def settle(self, outcome: Outcome) -> Standing:
        """Apply the outcome. `SUPERSEDED` when it was refused because other work took its place."""
        ...
