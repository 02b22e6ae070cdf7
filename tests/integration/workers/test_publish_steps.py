"""One execution of publish and account work, step by step: real publishers on their platforms' stand-ins, a ledger that does as told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backend.domain.errors import WorkError
from backend.domain.identifiers import new_id
from backend.domain.orders import Outcome, WorkOrder
from backend.domain.ports import Checkpoint, Desk, HttpRequest, HttpResponse, Standing
from backend.domain.publishing import (
    AccountOrder,
    Cookie,
    Credentials,
    DraftSaved,
    Errand,
    Health,
    LoginPrompt,
    Manuscript,
    Mode,
    Prepared,
    Presence,
    Published,
    PublishOrder,
    Submission,
)
from backend.outbound.client import GuardedHttpClient
from backend.outbound.elsewhere import ElsewhereHttpClient
from backend.publishers.zhihu.publisher import ZhihuPublisher
from backend.workers.account import work_account
from backend.workers.desk import BoundHttp, Limits, Threshold
from backend.workers.kit import Kit, Reporter, Slots, Stop
from backend.workers.publish import work_publish
from tests.servers import wait_until
from tests.standins.zhihu import ZhihuServer
from tests.unit.workers.fakes import AWAY, Bench

COOKIES = Credentials((Cookie("z_c0", "good"), Cookie("_xsrf", "t"), Cookie("d_c0", "device")))
SECONDS = 20.0


@dataclass
class Study:
    """A Zhihu, a kit with the real publisher, and what was reported; `answers` are standings by the checkpoint's class."""

    zhihu: ZhihuServer
    kit: Kit
    answers: dict[type, list[Standing | Exception]] = field(default_factory=dict)
    reported: list[Checkpoint] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))

    def report(self, progress: Checkpoint) -> Standing:
        """The ledger's answer."""
        self.reported.append(progress)
        answers = self.answers.get(type(progress), [])
        answer = answers.pop(0) if answers else Standing.HELD
        if isinstance(answer, Exception):
            raise answer
        return answer

    def order(self, *, seconds: float = SECONDS, **values: Any) -> WorkOrder:
        """An order to publish an article."""
        task = PublishOrder("t1", "a1", "zhihu", 3, COOKIES, Manuscript("标题", "# 标题\n\ntext\n"), key="k1")
        publish = replace(task, **values)
        return WorkOrder(new_id(), 1, new_id(), "publish", "node:n:publish", seconds, publish=publish)

    def work(self, order: WorkOrder) -> Outcome:
        """Phase 2 of it."""
        work = work_publish if order.publish else work_account
        return work(order, self.kit, Reporter(order, self.report, self.cancelled.is_set))

    def begin(self, order: WorkOrder) -> Future[Outcome]:
        """The same, while the test goes on."""
        return self.pool.submit(self.work, order)

    def change(self, **values: Any) -> None:
        """Another kit."""
        self.kit = replace(self.kit, **values)

    @property
    def published(self) -> int:
        """How many calls published."""
        return len(self.zhihu.journal())


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    """An account that is logged in, and nothing published."""
    bench = Bench(tmp_path)
    with ZhihuServer() as zhihu:
        zhihu.add_account("alice", secret="good")
        http = ElsewhereHttpClient(GuardedHttpClient(("127.0.0.0/8",)), zhihu.elsewhere)
        made = Study(zhihu, bench.kit)
        made.change(
            http=http,
            publishers={"zhihu": ZhihuPublisher(5.0)},
            tell=lambda _one, words: made.told.append(words),
            slots=Slots(1),
            call_seconds=5.0,
        )
        yield made
        made.pool.shutdown(wait=True)
    bench.close()


def test_the_draft_is_stored_at_once_and_the_mark_is_set_before_the_call(study: Study) -> None:
    outcome = study.work(study.order())
    draft, submission = study.reported
    assert isinstance(draft, DraftSaved)
    assert submission == Submission(())
    assert outcome.publish is not None
    assert outcome.publish.published is not None
    assert outcome.publish.published.platform_id == draft.draft_id
    assert outcome.publish.submitted
    assert outcome.failure is None
    assert outcome.verdict is not None
    assert (outcome.verdict.health, outcome.verdict.credential_version) == (Health.OK, 3)
    assert study.published == 1
    assert study.told[0] == "checking the login"
    assert study.told[-1] == "published"


def test_a_retry_continues_the_draft_that_an_earlier_execution_made(study: Study) -> None:
    study.answers[Submission] = [Standing.SUPERSEDED]
    study.work(study.order())
    draft = study.reported[0]
    assert isinstance(draft, DraftSaved)
    outcome = study.work(study.order(draft_id=draft.draft_id))
    assert outcome.publish is not None
    assert [type(one) for one in study.reported] == [DraftSaved, Submission, Submission]
    assert len(study.zhihu.drafts) == 1


@pytest.mark.parametrize("standing", [Standing.CANCELLED, Standing.SUPERSEDED])
@pytest.mark.parametrize("asked", [DraftSaved, Submission])
def test_what_the_ledger_refuses_is_not_published(study: Study, asked: type, standing: Standing) -> None:
    study.answers[asked] = [standing]
    outcome = study.work(study.order())
    assert outcome.handed_back == ("t1",)
    assert (outcome.publish, outcome.failure) == (None, None)
    assert study.published == 0


def test_nothing_is_published_before_the_ledger_has_answered(study: Study) -> None:
    study.answers[Submission] = [AWAY, AWAY]
    running = study.begin(study.order())
    wait_until(lambda: len(study.reported) >= 2, 30, "the question")
    assert study.published == 0
    outcome = running.result(30)
    assert outcome.publish is not None
    assert outcome.publish.published is not None
    assert study.published == 1
    assert [type(one) for one in study.reported] == [DraftSaved, Submission, Submission, Submission]


def test_a_process_that_stood_still_after_the_answer_does_not_call(study: Study) -> None:
    """Frozen for longer than a lease, another execution may have taken its place."""
    study.change(call_seconds=-1.0)
    outcome = study.work(study.order())
    assert outcome.failure is not None
    assert outcome.failure.code == "submission_late"
    assert outcome.publish is not None
    assert not outcome.publish.submitted
    assert study.published == 0


def test_a_publisher_with_a_way_out_of_its_own_is_not_called_late_either(study: Study) -> None:
    called: list[str] = []

    class ByBrowser(ZhihuPublisher):
        def publish(self, order: PublishOrder, prepared: Prepared, desk: Desk) -> Published:
            called.append(order.task_id)
            return Published("1", "https://example.com/1")

    study.change(publishers={"zhihu": ByBrowser(5.0)}, call_seconds=-1.0)
    outcome = study.work(study.order())
    assert outcome.failure is not None
    assert outcome.failure.code == "submission_late"
    assert called == []


@pytest.mark.parametrize(
    ("code", "ambiguous"), [("connect_failed", False), ("connect_failed", True), ("timed_out", False)]
)
def test_a_call_that_reached_nobody_was_not_made_and_any_other_trouble_leaves_a_doubt(
    study: Study, code: str, ambiguous: bool
) -> None:
    real = study.kit.http

    class Unreachable:
        def send(self, request: HttpRequest) -> HttpResponse:
            if request.url.endswith("/api/v4/content/publish"):
                raise WorkError(code, ambiguous=ambiguous, host="www.zhihu.com")
            return real.send(request)

    study.change(http=Unreachable())
    outcome = study.work(study.order())
    assert outcome.publish is not None
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.publish.submitted) == (code, ambiguous or code == "timed_out")


def test_right_before_the_request_itself_the_deadline_is_looked_at_again() -> None:
    sent: list[str] = []
    now = [100.0]

    class Http:
        def send(self, request: HttpRequest) -> HttpResponse:
            sent.append(request.method)
            return HttpResponse(200, {}, b"", request.url, request.url)

    limits = Limits(10.0, clock=lambda: now[0])
    http = BoundHttp(Http(), limits)
    limits.call_by = 105.0
    now[0] = 106.0
    http.send(HttpRequest("GET", "https://example.com/"))
    with pytest.raises(WorkError) as refused:
        http.send(HttpRequest("POST", "https://example.com/"))
    assert (refused.value.code, sent, http.has_called) == ("submission_late", ["GET"], False)
    now[0] = 105.0
    http.send(HttpRequest("POST", "https://example.com/"))
    now[0] = 130.0
    # What follows belongs to the call, even when it has taken longer than the overall limit.
    http.send(HttpRequest("POST", "https://example.com/"))
    assert sent == ["GET", "POST", "POST"]


def test_only_one_of_passing_and_leaving_ever_happens() -> None:
    for first, second in (("cross", "leave"), ("leave", "cross")):
        threshold = Threshold()
        assert getattr(threshold, first)()
        assert getattr(threshold, first)()
        assert not getattr(threshold, second)()
        assert threshold.crossed is (first == "cross")


def test_confirming_only_asks(study: Study) -> None:
    study.zhihu.tell("do_and_break", call="publish", times=1)
    doubtful = study.work(study.order())
    assert doubtful.failure is not None
    assert doubtful.failure.ambiguous
    assert doubtful.publish is not None
    assert doubtful.publish.submitted
    draft = study.reported[0]
    assert isinstance(draft, DraftSaved)
    submitted: dict[str, Any] = {"draft_id": draft.draft_id, "submitted_at": datetime.now(UTC)}
    found = study.work(study.order(mode=Mode.CONFIRM, **submitted))
    # The mark counts, whatever the mode says.
    again = study.work(study.order(mode=Mode.PUBLISH, **submitted))
    for outcome in (found, again):
        assert outcome.publish is not None
        assert outcome.publish.finding is not None
        assert outcome.publish.finding.presence is Presence.THERE
    assert study.published == 1


def test_an_expired_login_is_found_before_anything_is_written(study: Study) -> None:
    study.zhihu.tell("expire", account="alice")
    outcome = study.work(study.order())
    assert outcome.failure is not None
    assert outcome.failure.code == "session_expired"
    assert outcome.verdict is None or not outcome.verdict.health.may_publish
    assert study.reported == []
    assert study.zhihu.drafts == {}


def test_a_refusal_keeps_the_platforms_words(study: Study) -> None:
    study.zhihu.tell("refuse", call="publish")
    outcome = study.work(study.order())
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.permanent) == ("rejected", True)
    assert "违反社区规范" in outcome.failure.message
    assert outcome.publish is not None
    assert outcome.publish.submitted


def test_a_draft_is_saved_without_a_point_of_no_return(study: Study) -> None:
    outcome = study.work(study.order(manuscript=Manuscript("标题", "text", draft=True)))
    assert outcome.publish is not None
    assert outcome.publish.published is not None
    assert outcome.publish.published.url
    assert [type(one) for one in study.reported] == [DraftSaved]
    assert study.published == 0


def test_a_stop_before_the_submission_hands_back(study: Study) -> None:
    study.zhihu.tell("slow", call="draft", seconds=1.0)
    running = study.begin(study.order())
    assert study.zhihu.wait_for_call("draft")
    study.kit.stop.set()
    outcome = running.result(30)
    assert outcome.handed_back == ("t1",)
    assert study.published == 0


def test_a_stop_that_cannot_wait_leaves_what_hangs_behind(study: Study) -> None:
    study.change(stop=Stop(0.0))
    study.zhihu.tell("slow", call="draft", seconds=4.0)
    running = study.begin(study.order())
    assert study.zhihu.wait_for_call("draft")
    study.kit.stop.set()
    assert running.result(3).handed_back == ("t1",)
    study.kit.pool.shutdown(wait=True)
    # Nobody waits for it any more, so it may not pass.
    assert study.published == 0


def test_a_stop_while_the_ledger_is_asked_waits_for_its_answer(study: Study) -> None:
    """It may have set the mark already."""
    study.answers[Submission] = [AWAY]
    running = study.begin(study.order())
    wait_until(lambda: len(study.reported) >= 2, 30, "the question")
    study.kit.stop.set()
    outcome = running.result(30)
    assert outcome.failure is None
    assert study.published == 1


def test_a_stop_after_the_submission_never_hands_back(study: Study) -> None:
    study.zhihu.tell("slow", call="publish", seconds=0.5)
    running = study.begin(study.order())
    assert study.zhihu.wait_for_call("publish")
    study.kit.stop.set()
    outcome = running.result(30)
    assert outcome.handed_back == ()
    assert outcome.publish is not None
    assert outcome.publish.published is not None


def test_what_is_being_published_when_the_process_must_end_is_doubtful(study: Study) -> None:
    study.change(stop=Stop(0.0))
    study.zhihu.tell("slow", call="publish", seconds=3.0)
    running = study.begin(study.order())
    assert study.zhihu.wait_for_call("publish")
    study.kit.stop.set()
    outcome = running.result(2.5)
    assert outcome.handed_back == ()
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.ambiguous) == ("publish_answer_lost", True)
    assert outcome.publish is not None
    assert outcome.publish.submitted


def test_a_cancel_ends_what_is_not_submitted_and_nothing_else(study: Study) -> None:
    study.zhihu.tell("slow", call="draft", seconds=2.0, times=1)
    running = study.begin(study.order())
    assert study.zhihu.wait_for_call("draft")
    study.cancelled.set()
    assert running.result(1.5).handed_back == ("t1",)
    # Even if nothing told it any more, it must not go on where nobody waits for it.
    study.cancelled.clear()
    study.kit.pool.shutdown(wait=True)
    assert study.published == 0
    assert [type(one) for one in study.reported] == [DraftSaved]


def test_work_that_takes_too_long_before_its_submission_fails_as_such(study: Study) -> None:
    study.zhihu.tell("slow", call="draft", seconds=2.0)
    outcome = study.work(study.order(seconds=0.5))
    assert outcome.failure is not None
    assert outcome.failure.code in {"deadline_exceeded", "timed_out"}
    assert outcome.publish is not None
    assert not outcome.publish.submitted


def test_a_platform_without_a_plug_in_is_told(study: Study) -> None:
    outcome = study.work(study.order(platform="nowhere"))
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.permanent) == ("no_such_publisher", False)


def errand(errand: Errand, platform: str = "zhihu") -> WorkOrder:
    """An order for the account."""
    account = AccountOrder("a1", platform, errand, 3, COOKIES)
    return WorkOrder(new_id(), 1, new_id(), "account", "node:n:publish", SECONDS, account=account)


def test_a_check_brings_a_verdict_about_the_version_it_used(study: Study) -> None:
    outcome = study.work(errand(Errand.CHECK))
    assert outcome.verdict is not None
    assert (outcome.verdict.health, outcome.verdict.credential_version) == (Health.OK, 3)
    study.zhihu.tell("expire")
    refused = study.work(errand(Errand.CHECK))
    assert refused.verdict is not None
    assert refused.verdict.health is Health.EXPIRED


def test_a_login_shows_its_code_and_brings_new_credentials(study: Study) -> None:
    outcome = study.work(errand(Errand.LOGIN))
    assert isinstance(study.reported[0], LoginPrompt)
    assert outcome.verdict is not None
    assert outcome.verdict.refreshed is not None
    assert "z_c0" in {cookie.name for cookie in outcome.verdict.refreshed.cookies}


def test_a_login_that_nobody_wants_any_more_ends(study: Study) -> None:
    study.answers[LoginPrompt] = [Standing.CANCELLED]
    outcome = study.work(errand(Errand.LOGIN))
    assert outcome.handed_back == ("a1",)
    assert outcome.verdict is None
