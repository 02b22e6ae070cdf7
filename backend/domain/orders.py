"""Work orders and outcomes: frozen plain data that crosses between the phases.

Everything here survives `serialize`/`deserialize` (JSON), because an outcome may wait in the outbox.
Times are aware UTC datetimes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from backend.domain.publishing import AccountOrder, AccountVerdict, PublishOrder, PublishReport


@dataclass(frozen=True, slots=True)
class FeedOrder:
    """One work item: one feed to collect."""

    item_id: str
    feed_id: str
    kind: str
    name: str
    url: str
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class ArticleDraft:
    """An article as a source found it. `key` identifies it within its feed (guid, else link, else title+date).

    `id` is the one to store it under, where it comes from a system whose ids are known outside; else it gets a new one.
    """

    key: str
    title: str
    url: str
    summary: str = ""
    content: str = ""
    author: str = ""
    cover_url: str = ""
    published_at: datetime | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What a source found in one feed. `not_modified` means that the validators still hold.

    `final_url` is where permanent redirects led from `asked_url`.
    `reported_count` is how many articles a child counted that it uploaded before, or kept to itself.
    """

    articles: tuple[ArticleDraft, ...] = ()
    title: str = ""
    etag: str = ""
    last_modified: str = ""
    not_modified: bool = False
    final_url: str = ""
    asked_url: str = ""
    reported_count: int = 0


def encodable(text: str) -> str:
    """The text with lone surrogates replaced: JSON may bring them, and no database driver can encode them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def encodable_result(result: FetchResult) -> FetchResult:
    """The result with every text encodable, whatever its source did."""
    articles = tuple(
        replace(
            article,
            key=encodable(article.key),
            title=encodable(article.title),
            url=encodable(article.url),
            summary=encodable(article.summary),
            content=encodable(article.content),
            author=encodable(article.author),
            cover_url=encodable(article.cover_url),
        )
        for article in result.articles
    )
    return replace(
        result,
        articles=articles,
        title=encodable(result.title),
        etag=encodable(result.etag),
        last_modified=encodable(result.last_modified),
        final_url=encodable(result.final_url),
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one piece of work failed. `retry_after` is in seconds, and so is `host_wait`: the whole host's wish.

    `host` is the one that wishes, where redirects led to another than the feed's own.
    """

    code: str
    message: str
    permanent: bool = False
    ambiguous: bool = False
    retry_after: float | None = None
    host_wait: float | None = None
    host: str = ""


@dataclass(frozen=True, slots=True)
class Postponement:
    """A feed was not asked at all: its host wants to be left alone for so many seconds. No attempt is counted."""

    host: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """How one work item ended: a result, a failure or a postponement, never two of them."""

    item_id: str
    feed_id: str
    result: FetchResult | None = None
    failure: Failure | None = None
    postponement: Postponement | None = None


@dataclass(frozen=True, slots=True)
class DeliveryArticle:
    """One article inside a delivery, as templates see it."""

    id: str
    title: str
    url: str
    summary: str
    content: str
    cover_url: str
    author: str
    published_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FrozenMessage:
    """The body of a delivery, fixed at its first attempt and repeated unchanged afterwards."""

    title: str
    body: str
    warning: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryOrder:
    """One message to one receiver about one feed's due articles.

    `frozen` is set from the second attempt on; before that the body is rendered from the rest.
    `idempotency_key` stays the same over all attempts.
    """

    delivery_id: str
    task_id: str
    task_name: str
    message_type: int
    message_template: str
    web_hook_url: str
    headers: str
    cookies: str
    feed_id: str
    feed_name: str
    feed_cover: str
    feed_intro: str
    articles: tuple[DeliveryArticle, ...]
    idempotency_key: str
    frozen: FrozenMessage | None = None
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Receipt:
    """How one attempt at a delivery ended. `status_code` is 0 when no answer arrived."""

    delivery_id: str
    status_code: int = 0
    excerpt: str = ""
    warning: str = ""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """Everything that phase 2 of one execution needs. `seconds` is its own overall limit.

    `alone`: its items were with a worker that died; nothing else runs beside it in the process.
    """

    allocation_id: str
    attempt: int
    execution: str
    kind: str
    queue: str
    seconds: float
    feeds: tuple[FeedOrder, ...] = ()
    deliveries: tuple[DeliveryOrder, ...] = ()
    alone: bool = False
    publish: PublishOrder | None = None
    account: AccountOrder | None = None

    @property
    def size(self) -> int:
        """How many slots the order can fill."""
        return max(1, len(self.feeds) + len(self.deliveries))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What phase 2 brought, or (as a checkpoint) brought so far.

    `handed_back` names the item, delivery or publish task ids that a warm stop left undone.
    `failure` is why publish or account work did not end well; `verdict` is what it taught about the account.
    """

    allocation_id: str
    attempt: int
    execution: str
    kind: str
    items: tuple[ItemOutcome, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    handed_back: tuple[str, ...] = ()
    publish: PublishReport | None = None
    verdict: AccountVerdict | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Freeze:
    """Bodies to fix before their first attempt is sent, by delivery id."""

    messages: dict[str, FrozenMessage] = field(default_factory=dict)
