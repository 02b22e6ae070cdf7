"""How an execution of a publish task ends: each case by its facts, and what no combination of facts may bring."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.orders import Failure
from backend.domain.publish_endings import (
    HEALTH_OF,
    Again,
    Cancel,
    Ending,
    Fail,
    Hold,
    PublishPolicy,
    Standpoint,
    Succeed,
    Told,
    Unconfirmed,
    account_after,
    after_loss,
    decide,
    implied_verdict,
    mode_of,
)
from backend.domain.publishing import (
    AccountVerdict,
    Finding,
    Health,
    Mode,
    Presence,
    Published,
    PublishReport,
)

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
POLICY = PublishPolicy()
DONE = Published("17", "https://p.example/17")
SICK = Standpoint(account_holds=True)
MARKED = Standpoint(submitted_at=NOW - timedelta(hours=1), confirmations=1, executions=2)
JUST_NOW = Standpoint(submitted_at=NOW - timedelta(seconds=5), submitted_now=True)
REPORT = PublishReport("t")
BROKEN = Failure("http_status", "the platform answered 503")
AMBIGUOUS = Failure("timed_out", "no answer", ambiguous=True)
REJECTED = Failure("rejected", "内容违规", permanent=True)
EXPIRED = Failure("session_expired", "log in again", permanent=True)
CAPTCHA = Failure("login_required", "captcha")
SLOW_DOWN = Failure("rate_limited", "slow down", retry_after=120.0)


def found(presence: Presence, *, repeatable: bool = False, finds: bool = True) -> PublishReport:
    published = DONE if presence is Presence.THERE else None
    return PublishReport(
        "t",
        finding=Finding(presence, published, "hidden"),
        repeatable=repeatable,
        finds=finds,
        quiet_seconds=60.0,
    )


def ending(
    task: Standpoint, report: PublishReport | None = None, failure: Failure | None = None
) -> tuple[type[Ending], Any]:
    """The kind of ending, and what tells it apart from others of its kind."""
    made = decide(POLICY, task, Told(report, failure, NOW))
    match made:
        case Succeed(published):
            return Succeed, published
        case Fail(code) | Unconfirmed(code):
            return type(made), code
        case Again(seconds, code):
            return Again, (seconds, code, made.clear_mark)
        case _:
            return type(made), None


@pytest.mark.parametrize(("mark", "mode"), [(None, Mode.PUBLISH), (NOW, Mode.CONFIRM)])
def test_what_was_submitted_is_only_confirmed(mark: datetime | None, mode: Mode) -> None:
    assert mode_of(mark) is mode


@pytest.mark.parametrize(
    ("task", "report", "failure", "expected"),
    [
        (Standpoint(), replace(REPORT, published=DONE, submitted=True), None, (Succeed, DONE)),
        # There is there, whatever else was asked or went wrong.
        (Standpoint(cancel_requested=True), replace(REPORT, published=DONE), EXPIRED, (Succeed, DONE)),
        (MARKED, found(Presence.THERE), None, (Succeed, DONE)),
        (Standpoint(cancel_requested=True), REPORT, BROKEN, (Cancel, None)),
        (Standpoint(cancel_requested=True, handed_back=True), None, None, (Cancel, None)),
        (Standpoint(handed_back=True), None, None, (Again, (0.0, "publish_handed_back", False))),
        (Standpoint(), REPORT, REJECTED, (Fail, "rejected")),
        (Standpoint(), REPORT, replace(BROKEN, permanent=True), (Fail, "http_status")),
        # 30 s * 2^0, then * 2^3, with a chance of one half.
        (Standpoint(failures=1), REPORT, BROKEN, (Again, (30.0, "http_status", False))),
        (Standpoint(failures=4), REPORT, BROKEN, (Again, (240.0, "http_status", False))),
        (Standpoint(failures=5), REPORT, BROKEN, (Fail, "http_status")),
        (Standpoint(failures=1), REPORT, AMBIGUOUS, (Again, (30.0, "timed_out", False))),
        (Standpoint(), None, None, (Again, (30.0, "publish_no_result", False))),
        (Standpoint(executions=12), None, None, (Fail, "publish_no_result")),
        (SICK, REPORT, EXPIRED, (Hold, None)),
        (SICK, REPORT, CAPTCHA, (Hold, None)),
        (SICK, REPORT, SLOW_DOWN, (Hold, None)),
        # A check found the account ill, whatever the failure is called; what is refused for good fails all the same.
        (SICK, REPORT, BROKEN, (Hold, None)),
        (SICK, REPORT, REJECTED, (Fail, "rejected")),
        (Standpoint(executions=12), REPORT, EXPIRED, (Fail, "session_expired")),
        # What failed was replaced meanwhile: the new credentials are tried at once.
        (Standpoint(), REPORT, EXPIRED, (Again, (1.0, "credentials_replaced", False))),
        (Standpoint(), REPORT, SLOW_DOWN, (Again, (120.0, "credentials_replaced", False))),
    ],
)
def test_before_the_submission_everything_may_be_repeated(
    task: Standpoint,
    report: PublishReport | None,
    failure: Failure | None,
    expected: tuple[type[Ending], Any],
) -> None:
    assert ending(task, report, failure) == expected


SUBMITTED = replace(REPORT, submitted=True, quiet_seconds=60.0)


@pytest.mark.parametrize(
    ("task", "report", "failure", "expected"),
    [
        # In doubt: the platform is asked after the quiet period, whatever the failure was called.
        (JUST_NOW, SUBMITTED, AMBIGUOUS, (Again, (60.0, "publish_doubtful", False))),
        (JUST_NOW, SUBMITTED, replace(BROKEN, permanent=True), (Again, (60.0, "publish_doubtful", False))),
        (JUST_NOW, None, replace(BROKEN, permanent=True), (Again, (60.0, "publish_doubtful", False))),
        # Who set the mark says that nothing was sent after it: there is no doubt.
        (JUST_NOW, REPORT, BROKEN, (Again, (30.0, "http_status", True))),
        (JUST_NOW, REPORT, replace(BROKEN, permanent=True), (Fail, "http_status")),
        (JUST_NOW, REPORT, AMBIGUOUS, (Again, (60.0, "publish_doubtful", False))),
        # The checkpoint's answer was lost to the store, the call was made: that counts as submitted.
        (Standpoint(), SUBMITTED, AMBIGUOUS, (Again, (60.0, "publish_doubtful", False))),
        # The platform's own no to this call.
        (JUST_NOW, SUBMITTED, REJECTED, (Fail, "rejected")),
        (JUST_NOW, SUBMITTED, replace(REJECTED, ambiguous=True), (Again, (60.0, "publish_doubtful", False))),
        (replace(JUST_NOW, account_holds=True), SUBMITTED, EXPIRED, (Hold, None)),
        (JUST_NOW, SUBMITTED, SLOW_DOWN, (Again, (120.0, "credentials_replaced", False))),
        (replace(MARKED, account_holds=True), REPORT, EXPIRED, (Hold, None)),
        (MARKED, REPORT, BROKEN, (Again, (30.0, "http_status", False))),
        (MARKED, REPORT, REJECTED, (Unconfirmed, "rejected")),
        (replace(MARKED, handed_back=True), None, None, (Again, (0.0, "publish_handed_back", False))),
        (replace(MARKED, cancel_requested=True), REPORT, BROKEN, (Again, (30.0, "http_status", False))),
        (replace(MARKED, confirmations=8), REPORT, BROKEN, (Unconfirmed, "http_status")),
        (replace(MARKED, executions=12), REPORT, EXPIRED, (Unconfirmed, "session_expired")),
        # Absent: again where that is repeatable, else a person decides.
        (MARKED, found(Presence.NOT_THERE, repeatable=True), None, (Again, (0.0, "publish_not_there", True))),
        (MARKED, found(Presence.NOT_THERE), None, (Unconfirmed, "publish_absent")),
        (MARKED, found(Presence.UNKNOWN, repeatable=True), None, (Unconfirmed, "publish_unknown")),
        # Nobody can be asked, but the same key never makes a second one.
        (
            MARKED,
            found(Presence.UNKNOWN, repeatable=True, finds=False),
            None,
            (Again, (0.0, "publish_not_there", True)),
        ),
        (MARKED, found(Presence.UNKNOWN, finds=False), None, (Unconfirmed, "publish_unknown")),
        (
            replace(MARKED, executions=12),
            found(Presence.NOT_THERE, repeatable=True),
            None,
            (Unconfirmed, "publish_absent"),
        ),
        # 45 s in which the call may begin and 60 s of quiet, of which 5 s are over.
        (
            replace(JUST_NOW, submitted_now=False),
            found(Presence.NOT_THERE, repeatable=True),
            None,
            (Again, (100.0, "publish_quiet", False)),
        ),
        (
            replace(JUST_NOW, submitted_now=False),
            found(Presence.UNKNOWN),
            None,
            (Again, (100.0, "publish_quiet", False)),
        ),
    ],
)
def test_after_the_submission_only_the_platform_or_a_person_says_more(
    task: Standpoint,
    report: PublishReport | None,
    failure: Failure | None,
    expected: tuple[type[Ending], Any],
) -> None:
    assert ending(task, report, failure) == expected


failures = st.builds(
    Failure,
    st.sampled_from([*HEALTH_OF, "rejected", "timed_out", "http_status"]),
    st.just("words"),
    permanent=st.booleans(),
    ambiguous=st.booleans(),
    retry_after=st.none() | st.floats(1, 100),
)
reports = st.builds(
    PublishReport,
    st.just("t"),
    published=st.none(),
    finding=st.none() | st.builds(Finding, st.sampled_from([Presence.NOT_THERE, Presence.UNKNOWN])),
    submitted=st.booleans(),
    repeatable=st.booleans(),
    finds=st.booleans(),
    quiet_seconds=st.floats(1, 300),
)
standpoints = st.builds(
    Standpoint,
    submitted_at=st.none() | st.floats(0, 1000).map(lambda seconds: NOW - timedelta(seconds=seconds)),
    submitted_now=st.booleans(),
    executions=st.integers(1, 15),
    confirmations=st.integers(0, 10),
    failures=st.integers(0, 7),
    cancel_requested=st.booleans(),
    handed_back=st.booleans(),
    account_holds=st.booleans(),
)


@given(standpoints, st.none() | reports, st.none() | failures, st.floats(0, 1, exclude_max=True))
def test_the_mark_is_cleared_only_when_publishing_again_can_do_no_harm(
    task: Standpoint, report: PublishReport | None, failure: Failure | None, chance: float
) -> None:
    made = decide(POLICY, task, Told(report, failure, NOW, chance))
    marked = task.submitted_at is not None or (report is not None and report.submitted)
    if not marked:
        assert not isinstance(made, Unconfirmed)
        return
    certain = failure is not None and not failure.ambiguous and failure.code not in HEALTH_OF
    if task.submitted_now and report is not None and not report.submitted and certain:
        # Who set the mark says that the call reached nobody.
        assert task.submitted_at is None or not isinstance(made, Unconfirmed)
        return
    assert not isinstance(made, Cancel)
    if isinstance(made, Fail):
        assert failure is not None
        assert (failure.code, failure.ambiguous) == ("rejected", False)
    if isinstance(made, Again) and made.clear_mark:
        assert report is not None
        assert report.finding is not None
        assert report.repeatable
        assert report.finding.presence is Presence.NOT_THERE or not report.finds
        quiet = timedelta(seconds=POLICY.call_seconds + report.quiet_seconds)
        assert task.submitted_at is not None
        assert task.submitted_at + quiet <= NOW


@given(standpoints, st.none() | reports, st.none() | failures, st.floats(0, 1, exclude_max=True))
def test_nothing_goes_on_for_ever(
    task: Standpoint, report: PublishReport | None, failure: Failure | None, chance: float
) -> None:
    spent = replace(task, executions=POLICY.executions, handed_back=False)
    made = decide(POLICY, spent, Told(report, failure, NOW, chance))
    # A quiet period ends by itself, once; all else is over.
    assert isinstance(made, Fail | Unconfirmed | Cancel) or (
        isinstance(made, Again) and made.code == "publish_quiet"
    )


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Standpoint(), Again),
        (Standpoint(executions=12), Fail),
        (Standpoint(cancel_requested=True), Cancel),
        (MARKED, Again),
        (replace(MARKED, cancel_requested=True), Again),
        (replace(MARKED, confirmations=8), Unconfirmed),
        (replace(MARKED, executions=12), Unconfirmed),
        (replace(MARKED, executions=12, cancel_requested=True), Unconfirmed),
    ],
)
def test_a_lost_execution_is_followed_by_another_until_there_were_too_many(
    task: Standpoint, expected: type[Ending]
) -> None:
    made = after_loss(POLICY, task, "its worker died")
    assert isinstance(made, expected)
    assert not (isinstance(made, Again) and made.clear_mark)


@pytest.mark.parametrize(
    ("failure", "health", "until"),
    [
        (EXPIRED, Health.EXPIRED, None),
        (CAPTCHA, Health.NEEDS_LOGIN, None),
        (SLOW_DOWN, Health.COOLING, NOW + timedelta(seconds=120)),
        (replace(SLOW_DOWN, retry_after=None), Health.COOLING, NOW + timedelta(seconds=900)),
    ],
)
def test_some_failures_say_how_the_account_is(
    failure: Failure, health: Health, until: datetime | None
) -> None:
    verdict = implied_verdict(POLICY, "a", 7, failure, NOW)
    assert verdict is not None
    assert (verdict.account_id, verdict.credential_version, verdict.code) == ("a", 7, failure.code)
    assert (verdict.health, verdict.until) == (health, until)


@pytest.mark.parametrize("failure", [None, BROKEN, REJECTED])
def test_other_failures_say_nothing_of_the_account(failure: Failure | None) -> None:
    assert implied_verdict(POLICY, "a", 1, failure, NOW) is None


@pytest.mark.parametrize(
    ("health", "expires", "until", "expected", "due"),
    [
        (Health.OK, None, None, Health.OK, 600),
        (Health.OK, 73 * 3600, None, Health.OK, 600),
        (Health.OK, 72 * 3600, None, Health.EXPIRING, 600),
        (Health.UNKNOWN, None, None, Health.UNKNOWN, 600),
        # Only a person helps: looking again would teach nothing.
        (Health.EXPIRED, None, None, Health.EXPIRED, None),
        (Health.NEEDS_LOGIN, None, None, Health.NEEDS_LOGIN, None),
        (Health.COOLING, None, 60, Health.COOLING, 60),
        (Health.COOLING, None, None, Health.COOLING, 900),
    ],
)
def test_a_verdict_says_how_the_account_is_and_when_it_is_looked_at_again(
    health: Health, expires: int | None, until: int | None, expected: Health, due: int | None
) -> None:
    def at(seconds: int | None) -> datetime | None:
        return None if seconds is None else NOW + timedelta(seconds=seconds)

    verdict = AccountVerdict("a", 1, health, until=at(until), expires_at=at(expires))
    state = account_after(POLICY, verdict, NOW, 600.0)
    assert (state.health, state.check_due_at) == (expected, at(due))
    assert state.cooling_until == (at(due) if expected is Health.COOLING else None)
