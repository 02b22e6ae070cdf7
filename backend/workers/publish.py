"""Phase 2 of publish work: one article, as named steps; after the point of no return nothing is repeated."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from backend.domain.errors import CascadeError, Unavailable, WorkError
from backend.domain.orders import Failure, Outcome, WorkOrder
from backend.domain.ports import Checkpoint, Desk, Publisher, Standing
from backend.domain.publishing import (
    AccountVerdict,
    CredentialKind,
    DraftSaved,
    Health,
    Mode,
    Prepared,
    Published,
    PublishOrder,
    PublishReport,
    Submission,
)
from backend.workers.desk import UNSENT, BoundHttp, Ending, Left, Limits, Threshold, Watch, desk_for
from backend.workers.kit import Kit, Reporter
from backend.workers.update import failure_of, unexpected

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0


@dataclass(slots=True)
class Publishing:
    """One publish task in the hands of one execution."""

    order: WorkOrder
    task: PublishOrder
    publisher: Publisher
    desk: Desk
    http: BoundHttp
    limits: Limits
    threshold: Threshold
    reporter: Reporter
    call_seconds: float
    verdict: AccountVerdict | None = None
    prepared: Prepared | None = None
    submitted: bool = False
    steps: list[str] = field(default_factory=list)

    def run(self) -> Outcome:
        """All of it. A job edge: whatever a plug-in raises is this task's failure, and says whether it was submitted."""
        try:
            if self.task.mode is Mode.CONFIRM or self.task.submitted_at is not None:
                return self._confirm()
            return self._publish()
        except Left:
            return self.handed_back()
        except Unavailable as error:
            log.warning("publish task %s: the ledger stayed away (%s)", self.task.task_id, error)
            return self.failed(Failure(error.code, error.sentence()))
        except WorkError as error:
            return self._refused(error)
        except (Exception, SystemExit) as error:
            log.exception("publish task %s: unexpected error while %s", self.task.task_id, self._step())
            return self.failed(replace(unexpected(error), ambiguous=self.submitted))

    def _confirm(self) -> Outcome:
        """It was submitted before: only ask."""
        self._enter("confirming")
        finding = self.publisher.find_published(self.task, self.desk)
        return self._outcome(self._report(finding=finding))

    def _publish(self) -> Outcome:
        for step in (self._check_session, self._prepare):
            step()
            if self.verdict is not None and not self.verdict.health.may_publish:
                return self.failed(Failure(self.verdict.code or "session_expired", self.verdict.reason))
            self._leave_when_asked()
        if self.task.manuscript.draft and self.prepared is not None:
            # Nothing becomes public: there is no point of no return.
            return self._outcome(self._report(published=_saved(self.prepared)))
        self._submit(self._note_recent())
        return self._outcome(self._report(published=self._call()))

    def _check_session(self) -> None:
        """Where a login can have ended by itself: cookies do."""
        if CredentialKind.COOKIES not in self.task.credentials.kinds:
            return
        self._enter("checking the login")
        task = self.task
        verdict = self.publisher.check_session(
            task.account_id, task.credential_version, task.credentials, self.desk
        )
        self.verdict = verdict
        if verdict.refreshed is not None:
            self.task = replace(task, credentials=verdict.refreshed)

    def _prepare(self) -> None:
        """Make or continue the draft; its id is stored as soon as it exists."""
        self._enter("preparing")
        self.prepared = self.publisher.prepare(self.task, self.desk, self._save_draft)
        self.task = replace(self.task, draft_id=self.prepared.draft_id or self.task.draft_id)

    def _save_draft(self, saved: DraftSaved) -> None:
        if saved.draft_id == self.task.draft_id:
            return
        if self._report_until_heard(saved) is not Standing.HELD:
            raise Left
        self.task = replace(self.task, draft_id=saved.draft_id)

    def _note_recent(self) -> tuple[str, ...]:
        self._enter("looking at earlier articles")
        known = self.publisher.recent_ids(self.task, self.desk)
        self._leave_when_asked()
        return known

    def _submit(self, known_ids: tuple[str, ...]) -> None:
        """The point of no return: exactly one of this and a cancel wins. Raises `Left` when it was not this."""
        self._enter("publishing")
        if not self.threshold.cross():
            raise Left
        standing = self._report_until_heard(Submission(known_ids))
        if standing is not Standing.HELD:
            raise Left
        self.task = replace(self.task, known_ids=known_ids, submitted_at=datetime.now(UTC))

    def _call(self) -> Published:
        """The call, with its own time-out; it must begin while the answer of the ledger is fresh."""
        if self.limits.clock() > (self.limits.call_by or 0.0):
            raise WorkError("submission_late")
        self.submitted = True
        published = self.publisher.publish(self.task, self.prepared or Prepared(""), self.desk)
        self._enter("published")
        return published

    def _report_until_heard(self, progress: Checkpoint) -> Standing:
        """Until the ledger answers or the time is over. Raises `Unavailable`."""
        while True:
            asked = self.limits.clock()
            try:
                standing = self.reporter.report(progress)
            except Unavailable:
                if self.desk.wait(AGAIN_SECONDS):
                    raise
                continue
            if isinstance(progress, Submission):
                # From before the question: its answer may have been on its way while this process stood still.
                self.limits.call_by = asked + self.call_seconds
            return standing

    def _leave_when_asked(self) -> None:
        if self.desk.wait(0.0):
            if self.limits.seconds_left() <= 0:
                raise WorkError("deadline_exceeded", seconds=f"{self.limits.seconds:g}")
            raise Left

    def _enter(self, step: str) -> None:
        self.steps.append(step)
        self.desk.tell(step)

    def _step(self) -> str:
        return self.steps[-1] if self.steps else "starting"

    def _refused(self, error: WorkError) -> Outcome:
        log.info("publish task %s: %s (while %s)", self.task.task_id, error, self._step())
        if error.code in UNSENT and not error.ambiguous and not self.http.has_called:
            self.submitted = False
        if not self.submitted and self.desk.wait(0.0) and self.limits.seconds_left() > 0:
            return self.handed_back()
        return self.failed(failure_of(error))

    def failed(self, failure: Failure) -> Outcome:
        """It came to nothing, or nobody knows."""
        return replace(self._outcome(self._report()), failure=failure)

    def handed_back(self) -> Outcome:
        """Nothing was submitted; another execution goes on with what this one has prepared."""
        return replace(self._outcome(None), handed_back=(self.task.task_id,))

    def _report(self, **facts: object) -> PublishReport:
        promise = self.publisher.promise
        return PublishReport(
            self.task.task_id,
            submitted=self.submitted,
            repeatable=promise.repeatable,
            finds=promise.finds,
            quiet_seconds=promise.quiet_seconds,
            warnings=self.prepared.warnings if self.prepared else (),
            **facts,  # type: ignore[arg-type]
        )

    def _outcome(self, report: PublishReport | None) -> Outcome:
        order = self.order
        verdict = self.verdict
        if verdict is None and report is not None and report.published is not None:
            # Nothing proves credentials better.
            verdict = AccountVerdict(self.task.account_id, self.task.credential_version, Health.OK)
        return Outcome(
            order.allocation_id,
            order.attempt,
            order.execution,
            order.kind,
            publish=report,
            verdict=verdict,
        )


def work_publish(order: WorkOrder, kit: Kit, reporter: Reporter) -> Outcome:
    """Publish or confirm one article. What hangs is left behind; this process ends afterwards."""
    task = order.publish
    if task is None:
        raise TypeError(order.kind)
    publisher = kit.publishers.get(task.platform)
    if publisher is None:
        return _no_publisher(order, task, kit)
    limits, threshold = Limits(order.seconds), Threshold()
    watch = Watch(limits, kit.stop, threshold, reporter.is_cancelled)
    http = BoundHttp(kit.http, limits)
    desk = desk_for(http, limits, lambda words: kit.tell(task.task_id, words), watch.must_end, kit.options)
    publishing = Publishing(order, task, publisher, desk, http, limits, threshold, reporter, kit.call_seconds)
    future = kit.submit(order, publishing.run)
    ending = watch.await_end(future)
    if ending is Ending.DONE:
        return future.result()
    log.warning("publish task %s is left behind: %s", task.task_id, ending)
    return _left_behind(publishing, ending, order.seconds)


def _left_behind(publishing: Publishing, ending: Ending, seconds: float) -> Outcome:
    """Its thread runs on until the process ends; past the threshold nobody knows what comes of it."""
    if publishing.threshold.crossed:
        lost = WorkError("publish_answer_lost", ambiguous=True)
        outcome = publishing.failed(failure_of(lost))
        return replace(outcome, publish=replace(outcome.publish, submitted=True) if outcome.publish else None)
    if ending is Ending.LATE:
        late = CascadeError("deadline_exceeded", seconds=f"{seconds:g}")
        return publishing.failed(Failure(late.code, late.sentence()))
    return publishing.handed_back()


def _saved(draft: Prepared) -> Published:
    return Published(draft.draft_id, draft.url)


def _no_publisher(order: WorkOrder, task: PublishOrder, kit: Kit) -> Outcome:
    return Outcome(
        order.allocation_id,
        order.attempt,
        order.execution,
        order.kind,
        publish=PublishReport(task.task_id),
        failure=no_publisher(task.platform, kit),
    )


def no_publisher(platform: str, kit: Kit) -> Failure:
    """This node can't publish there; another one, or a later start of this one, may be able to."""
    return failure_of(
        WorkError("no_such_publisher", platform=platform, known=", ".join(sorted(kit.publishers)) or "-")
    )
