"""What third-party children do: claim, begin, upload, report, by node and allocation and never by attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backend.dispatch.queues import node_queue
from backend.domain.children import ChildResult, UploadedArticle, child_failure
from backend.domain.errors import Conflict, NotFound
from backend.store import children, claims, results, uploads
from backend.store.children import Holder
from backend.store.claims import Ask, Claimant, Claimed
from backend.store.session import transact
from backend.store.sync_logs import SyncEntry
from tests.building import CIPHER, drafts
from tests.integration.protocol.sight import HELD, Sight
from tests.integration.protocol.stage import NOTHING, Expected, Stage
from tests.integration.protocol.workers import failed_item
from tests.integration.protocol.world import CHILD_LEASE_SECONDS, ITEMS

VERBS = ("start", "complete", "complete_whole", "fail", "upload", "report")


def claim(stage: Stage, asks: Sequence[tuple[str, str, int]], *, polls: bool) -> None:
    """Children claim in one group: each ask is a node, a claim id (empty: none) and a limit."""
    before, world = stage.seen, stage.world
    group = [
        Ask(
            world.pairs[node].api_key,
            world.pairs[node].api_secret,
            SyncEntry("", "claim_task", "pull"),
            limit,
            claim_id or None,
            polls,
        )
        for node, claim_id, limit in asks
    ]
    answers = transact(
        stage.engine,
        lambda session: claims.claim(
            session,
            group,
            CIPHER,
            lambda node: Claimant(node.id, node_queue(node.slug), CHILD_LEASE_SECONDS),
        ),
    )
    given: dict[str, str] = {}
    for number, ((node, claim_id, limit), answer) in enumerate(zip(asks, answers, strict=True)):
        if isinstance(answer, Claimed):
            taken = {one.allocation_id: {feed.id for feed in one.feeds} for one in answer.packages}
            assert len(taken) <= limit or claim_id, f"more than asked for: {taken}"
            _check_package(before, world.children[node], claim_id, taken)
            # A claim without an id is one of its own each time.
            name = claim_id or f"{len(before.history)}:{number}"
            stage.promises.claimed(
                [one for one in taken if one not in _repeated(before, claim_id)], node, name
            )
            given |= dict.fromkeys(taken, "claimed")
    fresh = {one: state for one, state in given.items() if before.allocations[one].state == "pending"}
    stage.see(Expected(allocations=fresh))


def _repeated(before: Sight, claim_id: str) -> set[str]:
    return {one for one, row in before.allocations.items() if claim_id and row.claim_id == claim_id}


def _check_package(before: Sight, node_id: str, claim_id: str, taken: Mapping[str, set[str]]) -> None:
    known = {
        one: row
        for one, row in before.allocations.items()
        if claim_id and (row.node_id, row.claim_id) == (node_id, claim_id)
    }
    if known:
        held = {one for one, row in known.items() if row.state in HELD}
        assert taken.keys() == held, f"claimed again as {claim_id}, and given {taken} instead of {held}"
    for one, feed_ids in taken.items():
        row = before.allocations[one]
        mine = row.node_id == node_id
        again = bool(claim_id) and row.claim_id == claim_id and row.state in HELD
        assert mine and (row.state == "pending" or again), f"claimed by {node_id}: {row}"
        assert feed_ids == {item.feed_id for item in before.items_of(one)}, f"other feeds: {feed_ids}"


def call(stage: Stage, node: str, allocation_id: str, verb: str, good: Sequence[bool]) -> None:
    """A child calls about an allocation; `good` says of its feeds in turn whether they went well.

    What is not the node's, or ended otherwise, is refused and changes nothing.
    """
    before = stage.seen
    row, items = before.allocations[allocation_id], list(before.items_of(allocation_id))
    verdicts = {item.feed_id: well for item, well in zip(items, good, strict=False)}
    expected, refused = _effects(before, stage.world.children.get(node, ""), row, verb, verdicts)
    try:
        transact(stage.engine, _write(stage, node, row, verb, verdicts))
    except (Conflict, NotFound):
        assert refused, f"{verb} was refused, of {row}"
        stage.see(NOTHING)
        return
    assert not refused, f"{verb} was accepted, of {row}"
    if verb == "upload":
        stage.promises.stored(dict.fromkeys(verdicts, ("u",)), before.tasks)
    _note(stage, before, stage.see(expected if verb != "report" else None))


def _note(stage: Stage, before: Sight, after: Sight) -> None:
    """Executions of children are drawn where they report; what they report as done is promised to stay so."""
    for one, row in before.allocations.items():
        now = after.allocations[one]
        if row.state == "claimed" and now.execution:
            stage.promises.begun(one, now.attempt, now.execution, [item.id for item in before.items_of(one)])
    stage.promises.done |= {one for one, row in after.items.items() if row.state == "done"}


def _write(
    stage: Stage, node: str, row: Any, verb: str, verdicts: Mapping[str, bool]
) -> Callable[[Any], object]:
    holder = Holder(stage.world.children[node], "", CHILD_LEASE_SECONDS)
    told = [
        ChildResult(
            feed_id, "", well, error="" if well else "broken", reported_at=str(len(stage.seen.history))
        )
        for feed_id, well in verdicts.items()
    ]
    articles = [UploadedArticle(feed_id, drafts("u")[0]) for feed_id in verdicts]
    writes: dict[str, Callable[[Any], object]] = {
        "start": lambda session: children.start(session, holder, row.id),
        "complete": lambda session: children.complete(session, holder, row.id, told, ITEMS),
        "complete_whole": lambda session: children.complete_whole(session, holder, row.id, ITEMS),
        "fail": lambda session: children.fail(session, holder, row.id, "broken", ITEMS),
        "upload": lambda session: uploads.store_upload(session, holder, row.id, articles),
        "report": lambda session: _report(session, holder, row.task_id, told),
    }
    return writes[verb]


def _report(session: Any, holder: Holder, task_id: str, told: Sequence[ChildResult]) -> int:
    fresh = results.keep(session, holder.node_id, task_id, told)
    return children.settle_named(session, holder, task_id, fresh, ITEMS)


def _effects(
    sight: Sight, node_id: str, row: Any, verb: str, verdicts: Mapping[str, bool]
) -> tuple[Expected, bool]:
    """What the call must change, and whether it must be refused instead."""
    if verb == "report":
        return NOTHING, False
    if row.node_id != node_id or (verb != "upload" and _is_stale(row, verb)):
        return NOTHING, True
    if verb == "upload" or row.state not in HELD:
        return NOTHING, False
    if verb == "start":
        return Expected(allocations={row.id: "executing"}), False
    return _ended(sight, row, verb, verdicts), False


def _is_stale(row: Any, verb: str) -> bool:
    """Whether the work has ended otherwise than by a call like this one."""
    if row.state in HELD:
        return False
    ended_by = {"start": (), "fail": ("failed", "cancelled")}.get(verb, ("completed", "cancelled"))
    return not row.settled_by or row.state not in ended_by


def _ended(sight: Sight, row: Any, verb: str, verdicts: Mapping[str, bool]) -> Expected:
    failure = child_failure("broken")
    items = {
        item.id: ("done", item.attempts + 1)
        if verb == "complete_whole" or (verb == "complete" and verdicts.get(item.feed_id, False))
        else failed_item(item.attempts, failure)
        for item in sight.items_of(row.id)
    }
    ended = "cancelled" if row.cancel_requested else "failed" if verb == "fail" else "completed"
    return Expected(items, {row.id: ended})
