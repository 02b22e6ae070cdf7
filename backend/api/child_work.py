"""What children call to work: they claim, say how far they are, upload and report. An adapter over the same transitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flask import g, request
from sqlalchemy.orm import Session

from backend.api.access import Access, declare
from backend.api.answers import SEEDS_CODE, Reply
from backend.api.context import asking_node, parts
from backend.api.piece_claims import claim_pieces
from backend.api.routes import Routes
from backend.api.schemas.children import (
    ClaimQuery,
    ClaimRequest,
    CompletionRequest,
    HeldAnswer,
    PackageAnswer,
    PendingQuery,
    PieceAnswer,
    ReportAnswer,
    ReportRequest,
    TaskStatusRequest,
    UploadAnswer,
    UploadRequest,
)
from backend.api.sync_logging import entry, log_refusals
from backend.api.work_waits import NOTHING, RETRY_AFTER_SECONDS, wait_for_work
from backend.dispatch.queues import node_queue, try_wake
from backend.domain import wire
from backend.domain.autonomy import TickReport
from backend.domain.children import read_articles, read_results
from backend.domain.identifiers import new_id
from backend.store import autonomy, children, results, sync_logs, uploads
from backend.store.claims import Ask
from backend.store.credentials import NodeIdentity
from backend.store.packages import Package
from backend.store.session import transact

LONGEST_WAIT_SECONDS = 25.0
UPLOAD_BYTES = 64 * 1024 * 1024

child_work = Routes(
    "child_work",
    text="What children call to work: claim, say how far they are, upload articles, report.",
    any_content_type=True,
    strict_query=False,
)
log_refusals(child_work)


@child_work.post("/claim-task")
@declare(Access.NODE, authenticates=True, errors=(409,))
def claim_task(query: ClaimQuery, body: ClaimRequest) -> Reply[PackageAnswer | list[PieceAnswer] | None]:
    """Take the node's oldest pending work, each piece once; `wait` up to 25 s for some to come.

    A repeated `claim_id` gets the same work again. When too many wait already, the answer is empty and
    `Retry-After` says when to ask again. WeRSS children get one package with all that it needs; our own nodes, which name their
    `instance`, a list of as many pieces as fit into `slots`.
    """
    wait = min(query.wait, LONGEST_WAIT_SECONDS)
    if body.instance:
        return claim_pieces(body, wait)
    found, retry_after = _claim_waiting(_ask(claim_id=body.claim_id), wait)
    if found:
        return Reply(PackageAnswer.model_validate(found[0]))
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if retry_after else {}
    return Reply(None, message=NOTHING, headers=headers)


@child_work.get("/pending-tasks")
@declare(Access.NODE, code=SEEDS_CODE, authenticates=True)
def pending_tasks(query: PendingQuery) -> Reply[PackageAnswer | list[PackageAnswer] | None]:
    """Take pending work as old children do: one package, or a list of up to `limit` when that is above 1."""
    # Flask answers HEAD by the function for GET; whoever asks so would never see the work.
    found = [] if request.method == "HEAD" else _claim(_ask(limit=query.limit, polls=True))[0]
    packages = [PackageAnswer.model_validate(one) for one in found]
    if not packages:
        return Reply(None, message=NOTHING)
    return Reply(packages if query.limit > 1 else packages[0])


def _claim_waiting(ask: Ask, seconds: float) -> tuple[Sequence[Package], bool]:
    """The packages, and whether there was no place to wait in."""
    return wait_for_work(
        lambda last: _claim(replace(ask, last=last)), lambda node: [node_queue(node.slug)], seconds
    )


def _ask(*, limit: int = 1, claim_id: str | None = None, polls: bool = False) -> Ask:
    key, secret = g.node_pair
    return Ask(key, secret, entry(""), limit, claim_id, polls)


def _claim(ask: Ask) -> tuple[Sequence[Package], NodeIdentity]:
    """Know the node and take its work. Raises `Unauthenticated`, `Forbidden`, and `ConfigurationError` for work that can't be read."""
    # The entry says how long the child waited until now.
    claimed = parts().children.claiming.take(replace(ask, said=entry("")))
    g.node = claimed.node
    if claimed.unreadable and not claimed.packages:
        raise claimed.unreadable
    return claimed.packages, claimed.node


@child_work.put("/task-status")
@declare(Access.NODE, errors=(404, 409))
def task_status(body: TaskStatusRequest) -> HeldAnswer:
    """Say how far the work is: `executing` begins it or renews its lease, `completed` and `failed` end it as a whole."""
    node, policy = asking_node(), parts().children.policy
    holder, error = parts().children.holder(node), body.error_message

    def write(session: Session) -> HeldAnswer:
        if body.status == "executing":
            children.start(session, holder, body.allocation_id, body.attempt)
            return _held(session, body.allocation_id)
        if body.status == "completed":
            fresh = children.complete_whole(session, holder, body.allocation_id, policy, body.attempt)
            said = entry(node.id, allocation_id=body.allocation_id)
        else:
            fresh = children.fail(session, holder, body.allocation_id, error, policy, body.attempt)
            said = entry(node.id, error=error or body.status, allocation_id=body.allocation_id)
        if fresh:
            sync_logs.record(session, said)
        return _held(session, body.allocation_id, fresh=fresh)

    return transact(parts().engine, write)


def _held(session: Session, allocation_id: str, *, fresh: bool = True) -> HeldAnswer:
    found = children.stands(session, allocation_id)
    return HeldAnswer(
        allocation_id=allocation_id,
        status=found.state,
        cancel_requested=found.cancel_requested,
        repeated=not fresh,
    )


@child_work.post("/upload-articles")
@declare(Access.NODE, errors=(404, 409), body_bytes=UPLOAD_BYTES)
def upload_articles(body: UploadRequest) -> UploadAnswer:
    """Store articles of the allocation's feeds, each once, whenever they arrive; what is due is delivered by the parent."""
    node, articles = asking_node(), read_articles(body.articles)
    holder = parts().children.holder(node)

    def write(session: Session) -> uploads.Uploaded:
        stored = uploads.store_upload(session, holder, body.allocation_id, articles, body.attempt)
        said = entry(node.id, stored.kept, allocation_id=body.allocation_id, new_count=stored.new)
        sync_logs.record(session, said)
        return stored

    stored = transact(parts().engine, write)
    try_wake(parts().redis)
    return UploadAnswer(received=len(body.articles), kept=stored.kept, new_count=stored.new)


@child_work.post("/report-completion")
@declare(Access.NODE, errors=(404, 409))
def report_completion(body: CompletionRequest) -> HeldAnswer:
    """End the allocation: each feed by its own result, failures with their reason. Said again, it changes nothing."""
    node, found = asking_node(), read_results(body.results)
    holder, policy = parts().children.holder(node), parts().children.policy

    def write(session: Session) -> HeldAnswer:
        task_id = children.look_up(session, holder, body.allocation_id, body.attempt).task_id or ""
        fresh = children.complete(session, holder, body.allocation_id, found, policy, body.attempt)
        if fresh:
            results.keep(session, node.id, task_id, found, body.allocation_id)
            articles = sum(one.article_count for one in found)
            sync_logs.record(session, entry(node.id, articles, allocation_id=body.allocation_id))
        return _held(session, body.allocation_id, fresh=fresh)

    answer = transact(parts().engine, write)
    try_wake(parts().redis)
    return answer


@child_work.post("/report-result")
@declare(Access.NODE, errors=(404, 409), body_bytes=UPLOAD_BYTES)
def report_result(body: ReportRequest) -> ReportAnswer:
    """Keep results that name no allocation; of work that was taken through `pending-tasks`, they settle the named feeds.

    With `planned_at` they belong to a tick that an autonomous child ran: they merge into that tick's run, each thing once.
    """
    if body.planned_at is not None:
        return _merge_tick(body)
    node, found = asking_node(), read_results(body.results)
    holder, policy = parts().children.holder(node), parts().children.policy

    report_id = new_id()

    def write(session: Session) -> int:
        fresh = results.keep(session, node.id, body.task_id, found, report_id=report_id)
        settled = children.settle_named(session, holder, body.task_id, fresh, policy)
        if fresh:
            sync_logs.record(session, entry(node.id, len(fresh), task_id=body.task_id, settled=settled))
        return settled

    settled = transact(parts().engine, write)
    try_wake(parts().redis)
    return ReportAnswer(received=len(body.results), settled=settled)


def _merge_tick(body: ReportRequest) -> ReportAnswer:
    node, policy = asking_node(), parts().children.policy
    told = body.model_dump(include={"task_id", "planned_at", "items"}) | {
        "execution": (body.execution or new_id())[:36]
    }
    report = wire.from_plain(TickReport, told)
    reporter = autonomy.Reporter(node.id, node.name)

    def write(session: Session) -> autonomy.Merged:
        merged = autonomy.merge(session, reporter, report, policy)
        said = entry(node.id, merged.kept, task_id=report.task_id, run_id=merged.run_id)
        sync_logs.record(session, said)
        return merged

    merged = transact(parts().engine, write)
    try_wake(parts().redis)
    return ReportAnswer(received=len(report.items), settled=merged.kept)
