"""Deliveries: their orders, the fixing of their bodies, receipts, and what the pump may send next."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from sqlalchemy import and_, func, select, update
from sqlalchemy.orm import Session

from backend import metrics
from backend.domain.orders import (
    DeliveryArticle,
    DeliveryOrder,
    Failure,
    FrozenMessage,
    Outcome,
    Receipt,
)
from backend.domain.ports import Lease, Standing
from backend.domain.retry import AskAPerson, GiveUp, RetryIn, RetryPolicy, decide_delivery
from backend.store import settlement, transitions
from backend.store.cipher import Cipher
from backend.store.columns import now
from backend.store.session import count_on_commit
from backend.store.tables import Article, Delivery, Feed, MessageTask
from backend.store.tables import DeliveryArticle as DeliveryArticleRow
from backend.store.transitions import Change

WORKER = "worker"
REPEATABLE_KIND = "webhook"
NEVER_SENT = and_(Delivery.attempts > 0, Delivery.attempted_at.is_(None))


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How deliveries are retried. `repeat_unconfirmed`: repeat a chat robot's message whose end is unknown."""

    retry: RetryPolicy
    repeat_unconfirmed: bool = False

    def repeatable(self, receiver_kind: str) -> bool:
        """Whether a message may be sent again without knowing that it did not arrive."""
        return self.repeat_unconfirmed or receiver_kind == REPEATABLE_KIND


def delivery_orders(session: Session, allocation_id: str, cipher: Cipher) -> tuple[DeliveryOrder, ...]:
    """The deliveries that an allocation still has to send, with all that rendering and sending need."""
    rows = session.execute(
        select(Delivery, MessageTask, Feed)
        .outerjoin(MessageTask, MessageTask.id == Delivery.task_id)
        .outerjoin(Feed, Feed.id == Delivery.feed_id)
        .where(Delivery.allocation_id == allocation_id, Delivery.state == "assigned")
        .order_by(Delivery.id)
    ).all()
    orphans = [delivery.id for delivery, task, feed in rows if task is None or feed is None]
    change = Change(("assigned",), "cancelled", WORKER, "its message task or feed was deleted")
    transitions.move(session, Delivery, orphans, change, ended_at=now())
    alive = [row for row in rows if row[0].id not in orphans]
    articles = _articles(session, [delivery.id for delivery, _, _ in alive if delivery.body is None])
    return tuple(
        _order(delivery, task, feed, articles.get(delivery.id, ()), cipher) for delivery, task, feed in alive
    )


def _order(
    delivery: Delivery, task: MessageTask, feed: Feed, articles: Iterable[DeliveryArticle], cipher: Cipher
) -> DeliveryOrder:
    frozen = None
    if delivery.body is not None:
        frozen = FrozenMessage(delivery.title or "", delivery.body, delivery.warning)
    return DeliveryOrder(
        delivery_id=delivery.id,
        task_id=task.id,
        task_name=task.name,
        message_type=task.message_type,
        message_template=task.message_template,
        web_hook_url=cipher.decrypt(task.web_hook_url),
        headers=cipher.decrypt(task.headers),
        cookies=cipher.decrypt(task.cookies),
        feed_id=feed.id,
        feed_name=feed.name,
        feed_cover=feed.cover,
        feed_intro=feed.intro,
        articles=tuple(articles),
        idempotency_key=delivery.id,
        frozen=frozen,
        time_zone=task.time_zone,
    )


def _articles(session: Session, delivery_ids: Sequence[str]) -> dict[str, list[DeliveryArticle]]:
    found: dict[str, list[DeliveryArticle]] = {}
    if not delivery_ids:
        return found
    rows = session.execute(
        select(DeliveryArticleRow.delivery_id, Article)
        .join(Article, Article.id == DeliveryArticleRow.article_id)
        .where(DeliveryArticleRow.delivery_id.in_(delivery_ids))
        .order_by(func.coalesce(Article.published_at, Article.first_stored_at).desc(), Article.id)
    )
    for delivery_id, article in rows:
        found.setdefault(delivery_id, []).append(
            DeliveryArticle(
                id=article.id,
                title=article.title,
                url=article.url,
                summary=article.summary,
                content=article.content,
                cover_url=article.cover_url,
                author=article.author,
                published_at=article.published_at,
                created_at=article.first_stored_at,
            )
        )
    return found


def freeze(session: Session, lease: Lease, messages: Mapping[str, FrozenMessage]) -> Standing:
    """Fix bodies right before their first attempt and mark the deliveries as being sent.

    Anything but `HELD` means: do not send. `SUPERSEDED` also when one of them has ended meanwhile, because a late
    acknowledgement came: nothing is marked then, and the caller asks for each alone.
    """
    standing = settlement.standing_of(session, lease.allocation_id, lease.attempt, lease.execution)
    if standing is not Standing.HELD:
        return standing
    mine = (Delivery.allocation_id == lease.allocation_id, Delivery.state == "assigned")
    alive = session.scalars(
        select(Delivery.id).where(Delivery.id.in_(sorted(messages)), *mine).with_for_update()
    )
    if set(alive) != messages.keys():
        return Standing.SUPERSEDED
    for delivery_id, message in sorted(messages.items()):
        mine = (Delivery.id == delivery_id, Delivery.allocation_id == lease.allocation_id)
        session.execute(
            update(Delivery)
            .where(*mine, Delivery.body.is_(None))
            .values(title=message.title[:255], body=message.body, warning=message.warning[:500])
        )
        session.execute(
            update(Delivery)
            .where(*mine, Delivery.state == "assigned", ~Delivery.in_flight)
            .values(in_flight=True, attempts=Delivery.attempts + 1, attempted_at=now())
        )
    return standing


def take_over(session: Session, allocation_id: str, policy: DeliveryPolicy) -> None:
    """Before sending starts: what an earlier worker was sending when it died is repeated only where that is harmless."""
    rows = session.execute(
        select(Delivery.id, Delivery.receiver_kind, Delivery.attempts, Delivery.errors)
        .where(Delivery.allocation_id == allocation_id, Delivery.state == "assigned", Delivery.in_flight)
        .order_by(Delivery.id)
        .with_for_update()
    ).all()
    doubtful = [row.id for row in rows if not policy.repeatable(row.receiver_kind)]
    message = "its worker died while sending; nobody knows whether the message arrived"
    for row in rows:
        entry = settlement.error_entry(Failure("answer_lost", message), row.attempts)
        session.execute(
            update(Delivery).where(Delivery.id == row.id).values(errors=[*(row.errors or []), entry])
        )
    change = Change(("assigned",), "unconfirmed", WORKER, message)
    transitions.move(
        session,
        Delivery,
        doubtful,
        change,
        in_flight=False,
        error_code="answer_lost",
        error_message=message,
        ended_at=now(),
    )
    again = [row.id for row in rows if policy.repeatable(row.receiver_kind)]
    session.execute(update(Delivery).where(Delivery.id.in_(again)).values(in_flight=False))


def apply_receipts(session: Session, outcome: Outcome, policy: DeliveryPolicy) -> Standing:
    """Record receipts. An acknowledgement counts whenever it comes; a failure only while the execution stands."""
    standing = settlement.standing_of(session, outcome.allocation_id, outcome.attempt, outcome.execution)
    for receipt in sorted(outcome.receipts, key=lambda one: one.delivery_id):
        if receipt.failure is None:
            _acknowledge(session, receipt)
        elif standing is not Standing.SUPERSEDED:
            _refuse(session, outcome.allocation_id, receipt, receipt.failure, policy)
    return standing


def settle_deliver(session: Session, outcome: Outcome, policy: DeliveryPolicy) -> Standing:
    """End a deliver allocation; what was not sent goes back to wait. Repeatable after a lost answer."""
    apply_receipts(session, outcome, policy)
    sent = len(outcome.receipts)
    if outcome.handed_back:
        reason = f"handed back: {len(outcome.handed_back)} of {sent + len(outcome.handed_back)}"
        change = Change(("executing",), "cancelled", WORKER, reason)
    else:
        change = Change(("executing",), "completed", WORKER, "the work ran to its end")
    standing = settlement.end(session, outcome, change)
    if standing is Standing.HELD:
        _release_rest(session, outcome.allocation_id)
    return standing


def _release_rest(session: Session, allocation_id: str) -> None:
    rest = session.scalars(
        select(Delivery.id)
        .where(Delivery.allocation_id == allocation_id, Delivery.state == "assigned")
        .order_by(Delivery.id)
    ).all()
    change = Change(("assigned",), "waiting", WORKER, "handed back by its worker")
    transitions.move(session, Delivery, rest, change, allocation_id=None, in_flight=False)


def _acknowledge(session: Session, receipt: Receipt) -> None:
    delivered = transitions.move(
        session,
        Delivery,
        [receipt.delivery_id],
        Change(("assigned", "waiting", "unconfirmed", "failed"), "delivered", WORKER),
        in_flight=False,
        not_before=None,
        status_code=receipt.status_code,
        excerpt=receipt.excerpt[:2000],
        error_code="",
        error_message="",
        warning=receipt.warning[:500] or Delivery.warning,
        ended_at=now(),
    )
    count_on_commit(session, metrics.ATTEMPTS, delivered, kind="deliver", outcome="done", code="")


def _refuse(
    session: Session, allocation_id: str, receipt: Receipt, failure: Failure, policy: DeliveryPolicy
) -> None:
    row = session.execute(
        select(
            Delivery.attempts, Delivery.receiver_kind, Delivery.receiver, Delivery.in_flight, Delivery.errors
        )
        .where(
            Delivery.id == receipt.delivery_id,
            Delivery.allocation_id == allocation_id,
            Delivery.state == "assigned",
        )
        .with_for_update()
    ).first()
    if row is None:
        return
    # What failed before it was marked as being sent is an attempt too: else it would be tried for ever.
    attempts = row.attempts if row.in_flight else row.attempts + 1
    values = _refused(receipt, failure, attempts, row.errors or [])
    decision = decide_delivery(
        policy.retry,
        failure,
        attempts,
        random.random(),  # noqa: S311
        # What was never marked as being sent was not sent.
        repeatable=policy.repeatable(row.receiver_kind) or not row.in_flight,
    )
    ids = [receipt.delivery_id]
    count_on_commit(session, metrics.ATTEMPTS, kind="deliver", outcome="failed", code=failure.code)
    match decision:
        case RetryIn(seconds):
            reason = f"attempt {attempts} failed; the next one comes in {seconds:.0f} s"
            change = Change(("assigned",), "waiting", WORKER, reason)
            transitions.move(
                session, Delivery, ids, change, **values, not_before=now(seconds), allocation_id=None
            )
            if failure.retry_after:
                _hold_receiver(session, row.receiver, failure.retry_after)
        case GiveUp():
            change = Change(("assigned",), "failed", WORKER, failure.message)
            transitions.move(session, Delivery, ids, change, **values, ended_at=now())
        case AskAPerson():
            change = Change(("assigned",), "unconfirmed", WORKER, failure.message)
            transitions.move(session, Delivery, ids, change, **values, ended_at=now())
        case _:
            assert_never(decision)


def _refused(receipt: Receipt, failure: Failure, attempts: int, errors: Sequence[object]) -> dict[str, Any]:
    return {
        "attempts": attempts,
        "in_flight": False,
        "status_code": receipt.status_code,
        "excerpt": receipt.excerpt[:2000],
        "error_code": failure.code,
        "error_message": failure.message,
        "errors": [*errors, settlement.error_entry(failure, attempts)],
    }


def _hold_receiver(session: Session, receiver: str, seconds: float) -> None:
    """A receiver that asks for a pause gets it for everything that waits for it."""
    session.execute(
        update(Delivery)
        .where(Delivery.receiver == receiver, Delivery.state == "waiting", Delivery.not_before.is_(None))
        .values(not_before=now(seconds), reason=f"the receiver asked for a pause of {seconds:.0f} s")
    )


@dataclass(frozen=True, slots=True)
class WaitingDelivery:
    """A delivery that could be sent now. `suspect`: it was tried and never sent; its workers may have died of it."""

    delivery_id: str
    receiver: str
    receiver_kind: str
    suspect: bool = False


def waiting(session: Session, limit: int, passed_over: Collection[str] = ()) -> list[WaitingDelivery]:
    """The oldest deliveries that wait for nothing but their turn, without those to the receivers passed over."""
    query = (
        select(Delivery.id, Delivery.receiver, Delivery.receiver_kind, NEVER_SENT)
        .where(
            Delivery.state == "waiting",
            Delivery.not_before.is_(None),
            Delivery.receiver.not_in(sorted(passed_over)),
        )
        .order_by(Delivery.id)
        .limit(limit)
    )
    return [WaitingDelivery(*row) for row in session.execute(query)]


def recent_attempts(session: Session, receivers: Sequence[str], seconds: float) -> dict[str, int]:
    """By receiver, how many messages it got in the last `seconds` or is about to get."""
    counts: dict[str, int] = {}
    for where in (
        (Delivery.attempted_at > now(-seconds), Delivery.state != "assigned"),
        (Delivery.state == "assigned",),
    ):
        query = (
            select(Delivery.receiver, func.count())
            .where(Delivery.receiver.in_(receivers), *where)
            .group_by(Delivery.receiver)
        )
        for receiver, count in session.execute(query):
            counts[receiver] = counts.get(receiver, 0) + count
    return counts


def assigned_count(session: Session) -> int:
    """How many deliveries are in somebody's hands."""
    return session.scalar(select(func.count()).where(Delivery.state == "assigned")) or 0
