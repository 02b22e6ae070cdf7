"""Phase 2 of update work: collect the feeds of one order, many at once."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from backend.domain.errors import CascadeError, Unavailable, WorkError
from backend.domain.orders import (
    Failure,
    FeedOrder,
    ItemOutcome,
    Outcome,
    WorkOrder,
    encodable,
    encodable_result,
)
from backend.domain.politeness import host_of_feed, sane_wait
from backend.domain.ports import Source, Standing
from backend.workers.batch import Batch
from backend.workers.kit import Kit, Reporter

log = logging.getLogger(__name__)


def work_update(order: WorkOrder, kit: Kit, reporter: Reporter) -> Outcome:
    """Collect every feed of the order; failures are results of their items, never of the order."""
    empty = Outcome(order.allocation_id, order.attempt, order.execution, order.kind)
    deadline = time.monotonic() + order.seconds
    feeds = {feed.item_id: feed for feed in order.feeds}
    batch = Batch(
        futures={kit.submit(order, collect, feed, kit): feed.item_id for feed in order.feeds},
        deadline=deadline,
        stop=kit.stop,
        is_cancelled=reporter.is_cancelled,
        # A suspect must not run on beside others: they would be blamed for the end of the process.
        abandon=lambda items, until: kit.slots.abandon(items, 0.0 if order.alone else until),
        report=lambda results: _report(reporter, replace(empty, items=tuple(results))),
    )
    batch.run()
    late = tuple(_late(feeds[item_id], order.seconds) for item_id in batch.late)
    return replace(empty, items=(*batch.results, *late), handed_back=(*batch.left, *batch.interrupted))


def _report(reporter: Reporter, progress: Outcome) -> Standing | None:
    try:
        return reporter.report(progress)
    except Unavailable as error:
        log.warning("a checkpoint could not be written (%s); its results stay for the settle", error)
        return None
    except Exception:
        # A job edge: one result that can't be stored must not fail what still runs.
        log.exception("a checkpoint could not be written; its results stay for the settle")
        return None


def collect(feed: FeedOrder, kit: Kit) -> ItemOutcome:
    """Collect one feed. This is a job edge: whatever a plug-in raises ends this item and no other."""
    host = host_of_feed(feed.kind, feed.url)
    try:
        postponement = kit.hosts.enter(host)
        if postponement is not None:
            return ItemOutcome(feed.item_id, feed.feed_id, postponement=postponement)
        result = encodable_result(_source(feed, kit).fetch(feed, kit.http))
        return ItemOutcome(feed.item_id, feed.feed_id, result=replace(result, asked_url=feed.url))
    except WorkError as error:
        log.info("feed %s (%s): %s", feed.feed_id, feed.name, error)
        failure = failure_of(error)
        for one in {host, failure.host} if failure.host_wait else ():
            kit.hosts.hold(one, failure.host_wait or 0.0)
        return ItemOutcome(feed.item_id, feed.feed_id, failure=failure)
    except (Exception, SystemExit) as error:
        log.exception("feed %s (%s): unexpected error", feed.feed_id, feed.name)
        return ItemOutcome(feed.item_id, feed.feed_id, failure=unexpected(error))


def _source(feed: FeedOrder, kit: Kit) -> Source:
    source = kit.sources.get(feed.kind)
    if source is None:
        raise WorkError(
            "no_such_source", permanent=True, kind=feed.kind, known=", ".join(sorted(kit.sources))
        )
    return source


def failure_of(error: WorkError) -> Failure:
    """The error as plain data."""
    return Failure(
        error.code,
        encodable(error.sentence()),
        error.permanent,
        error.ambiguous,
        sane_wait(error.retry_after),
        sane_wait(error.host_wait),
        error.busy_host,
    )


def unexpected(error: BaseException) -> Failure:
    """A failure for an error that nobody foresaw; its text may hold anything, so only its class is shown."""
    return Failure(
        "unexpected_error", CascadeError("unexpected_error", detail=type(error).__name__).sentence()
    )


def _late(feed: FeedOrder, seconds: float) -> ItemOutcome:
    error = CascadeError("deadline_exceeded", seconds=f"{seconds:g}")
    return ItemOutcome(feed.item_id, feed.feed_id, failure=Failure(error.code, error.sentence()))
