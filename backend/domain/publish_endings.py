"""What an execution of a publish task may do, and what its end means for the task: pure.

`submitted_at` is the mark of the point of no return. It is set right before the call that publishes, and while it is set an execution
only asks the platform. It is cleared by a recorded decision alone: here, when the platform says that the article is not there, the quiet
period is over and publishing again is repeatable; or by a person.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from backend.domain.messages import render
from backend.domain.orders import Failure
from backend.domain.publishing import (
    AccountVerdict,
    Finding,
    Health,
    Mode,
    Presence,
    Published,
    PublishReport,
)
from backend.domain.retry import MAXIMUM_WAIT_SECONDS

SESSION_EXPIRED, LOGIN_REQUIRED, RATE_LIMITED, REJECTED = (
    "session_expired",
    "login_required",
    "rate_limited",
    "rejected",
)
HEALTH_OF: dict[str, Health] = {
    SESSION_EXPIRED: Health.EXPIRED,
    LOGIN_REQUIRED: Health.NEEDS_LOGIN,
    RATE_LIMITED: Health.COOLING,
}
EXPIRING = timedelta(hours=72)
STALE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PublishPolicy:
    """How often, and when again.

    `attempts` bounds failures that could pass, `confirmations` how often the platform is asked in vain, `executions` everything
    together, lost workers and held accounts too. `call_seconds`: so long after `submitted_at` the call may still begin, because
    a process checks its own deadline, which is shorter than its lease. `cooling_seconds`: for a platform that says no time.
    """

    attempts: int = 5
    confirmations: int = 8
    executions: int = 12
    base_seconds: float = 30.0
    call_seconds: float = 45.0
    cooling_seconds: float = 900.0
    recheck_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Standpoint:
    """What the store knows of the task when an execution of it ends; every count includes this execution.

    `failures` are those that could have passed. `account_holds`: the account can't be used now, with all that this execution found out.
    `submitted_now`: the mark was set by this execution, so that it made the call itself.
    """

    submitted_at: datetime | None = None
    submitted_now: bool = False
    executions: int = 1
    confirmations: int = 0
    failures: int = 0
    cancel_requested: bool = False
    handed_back: bool = False
    account_holds: bool = False


@dataclass(frozen=True, slots=True)
class Succeed:
    """It is there."""

    published: Published


@dataclass(frozen=True, slots=True)
class Fail:
    """It is not there and will not be without a person. `clear_mark`: as in `Again`."""

    code: str
    message: str
    clear_mark: bool = False


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Nobody knows whether it is there; a person looks."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Its account can't be used, and says why; it goes on by itself when the account is healthy."""


@dataclass(frozen=True, slots=True)
class Again:
    """It waits for another execution, so many seconds at least. `clear_mark`: that one may publish, else what was
    submitted is only confirmed."""

    seconds: float
    code: str
    message: str
    clear_mark: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """It was asked to stop, and nothing was submitted."""


Ending = Succeed | Fail | Unconfirmed | Hold | Again | Cancel


def mode_of(submitted_at: datetime | None) -> Mode:
    """What an execution that begins now may do, whatever caused it."""
    return Mode.PUBLISH if submitted_at is None else Mode.CONFIRM


@dataclass(frozen=True, slots=True)
class Told:
    """What an execution told of its end; `chance` in [0, 1) spreads what waits."""

    report: PublishReport | None
    failure: Failure | None
    now: datetime
    chance: float = 0.5

    @property
    def published(self) -> Published | None:
        """The article, made now or found."""
        if self.report is None:
            return None
        finding = self.report.finding
        if finding is not None and finding.presence is Presence.THERE:
            return finding.published or Published("", "")
        return self.report.published

    @property
    def submitted(self) -> bool:
        """Whether the call that publishes was begun in this execution."""
        return self.report is not None and self.report.submitted


def decide(policy: PublishPolicy, task: Standpoint, told: Told) -> Ending:
    """What follows for the task. An article that is there is a success, whatever else was asked or went wrong."""
    if told.published is not None:
        return Succeed(told.published)
    if task.submitted_at is None and not told.submitted:
        return _untouched(policy, task, told)
    if _was_not_sent(task, told):
        # The recorded decision that clears the mark: who set it says that the call was never made.
        ending = _untouched(policy, task, told)
        return replace(ending, clear_mark=True) if isinstance(ending, Again | Fail) else ending
    return _doubtful(policy, task, told)


def _was_not_sent(task: Standpoint, told: Told) -> bool:
    """Whether the execution that set the mark says that nothing was sent after it."""
    failure = told.failure
    certain = failure is not None and not failure.ambiguous and failure.code not in HEALTH_OF
    return task.submitted_now and told.report is not None and not told.submitted and certain


def _untouched(policy: PublishPolicy, task: Standpoint, told: Told) -> Ending:
    """Nothing was submitted: whatever happened may be repeated."""
    if task.cancel_requested:
        return Cancel()
    if task.handed_back:
        return Again(0.0, "publish_handed_back", render("publish_handed_back", "en", {}))
    failure = told.failure or Failure("publish_no_result", render("publish_no_result", "en", {}))
    spent = task.executions >= policy.executions
    if failure.code in HEALTH_OF and not spent:
        return _held(task, failure)
    if failure.permanent or spent or task.failures >= policy.attempts:
        return Fail(failure.code, failure.message)
    if task.account_holds:
        return Hold()
    return _later(policy, task.failures, failure, told.chance)


def _doubtful(policy: PublishPolicy, task: Standpoint, told: Told) -> Ending:
    """It was submitted: only an answer of the platform says more, and spent attempts never mean that it failed."""
    if task.handed_back:
        return Again(0.0, "publish_handed_back", render("publish_handed_back", "en", {}))
    spent = task.confirmations >= policy.confirmations or task.executions >= policy.executions
    if told.report is not None and told.report.finding is not None:
        return _found(policy, task, told, told.report, told.report.finding, spent=spent)
    failure = told.failure or Failure("publish_no_result", render("publish_no_result", "en", {}))
    if (task.submitted_now or told.submitted) and failure.code == REJECTED and not failure.ambiguous:
        # The platform's own no to this very call; the mark stays, so that trying again begins with a look.
        return Fail(failure.code, failure.message)
    if spent:
        return Unconfirmed(failure.code, failure.message)
    return _ask_again(policy, task, told, failure)


def _ask_again(policy: PublishPolicy, task: Standpoint, told: Told, failure: Failure) -> Ending:
    """The platform did not say; it is asked once more."""
    if failure.code in HEALTH_OF:
        return _held(task, failure)
    if task.submitted_now or told.submitted:
        quiet = told.report.quiet_seconds if told.report else PublishReport("").quiet_seconds
        message = render("publish_doubtful", "en", {"detail": failure.message})
        return Again(max(quiet, failure.retry_after or 0.0), "publish_doubtful", message)
    if failure.permanent:
        return Unconfirmed(failure.code, failure.message)
    return _later(policy, task.confirmations, failure, told.chance)


def _found(
    policy: PublishPolicy,
    task: Standpoint,
    told: Told,
    report: PublishReport,
    finding: Finding,
    *,
    spent: bool,
) -> Ending:
    """The platform was asked, and the article is not there or nobody knows."""
    since = task.submitted_at or told.now
    quiet_ends = since + timedelta(seconds=policy.call_seconds + report.quiet_seconds)
    if told.now < quiet_ends:
        seconds = (quiet_ends - told.now).total_seconds()
        return Again(seconds, "publish_quiet", render("publish_quiet", "en", {"seconds": round(seconds)}))
    absent = finding.presence is Presence.NOT_THERE
    if report.repeatable and (absent or not report.finds) and not spent:
        return Again(0.0, "publish_not_there", render("publish_not_there", "en", {}), clear_mark=True)
    if absent:
        return Unconfirmed("publish_absent", render("publish_absent", "en", {}))
    reason = finding.reason or "-"
    return Unconfirmed("publish_unknown", render("publish_unknown", "en", {"detail": reason}))


def _held(task: Standpoint, failure: Failure) -> Hold | Again:
    if task.account_holds:
        return Hold()
    # It was said of credentials that are no longer the account's: with the new ones it is tried at once.
    seconds = max(STALE_SECONDS, failure.retry_after or 0.0)
    return Again(seconds, "credentials_replaced", render("credentials_replaced", "en", {}))


def _until(policy: PublishPolicy, failure: Failure, now: datetime) -> datetime:
    return now + timedelta(seconds=failure.retry_after or policy.cooling_seconds)


def _later(policy: PublishPolicy, count: int, failure: Failure, chance: float) -> Again:
    """The wait doubles with each failure, is spread over 50-150 % and never shorter than the platform asked for."""
    wait = min(policy.base_seconds * 2 ** max(0, count - 1) * (0.5 + chance), MAXIMUM_WAIT_SECONDS)
    seconds = max(wait, failure.retry_after or 0.0)
    message = render("publish_later", "en", {"seconds": round(seconds), "detail": failure.message})
    return Again(seconds, failure.code, message)


def after_loss(policy: PublishPolicy, task: Standpoint, cause: str) -> Fail | Unconfirmed | Again | Cancel:
    """What follows when an execution was lost: its worker died or froze, and nobody knows how far it came."""
    if task.submitted_at is None:
        if task.cancel_requested:
            return Cancel()
        if task.executions >= policy.executions:
            return Fail("worker_died", render("publish_lost", "en", {"count": task.executions}))
        return Again(0.0, "lost", f"lost: {cause}")
    if task.confirmations >= policy.confirmations or task.executions >= policy.executions:
        return Unconfirmed("worker_died", render("publish_lost", "en", {"count": task.executions}))
    return Again(0.0, "lost", f"lost: {cause}")


def implied_verdict(
    policy: PublishPolicy, account_id: str, version: int, failure: Failure | None, now: datetime
) -> AccountVerdict | None:
    """What a failure says of the account, where the execution brought no verdict of its own."""
    health = HEALTH_OF.get(failure.code) if failure else None
    if failure is None or health is None:
        return None
    until = _until(policy, failure, now) if health is Health.COOLING else None
    return AccountVerdict(account_id, version, health, failure.code, failure.message, until)


def learnt(
    policy: PublishPolicy,
    account_id: str,
    version: int | None,
    told: AccountVerdict | None,
    failure: Failure | None,
    now: datetime,
) -> AccountVerdict | None:
    """What an execution found out about its account: its verdict, unless it ended with a failure that says worse of the account.

    A login that was good when it was looked at may be refused a call later; what was learnt besides (renewed cookies) is kept.
    """
    if version is None or (told is not None and not told.health.may_publish):
        return told
    worse = implied_verdict(policy, account_id, version, failure, now)
    if worse is None or told is None:
        return worse or told
    return replace(worse, expires_at=told.expires_at, profile=told.profile, refreshed=told.refreshed)


@dataclass(frozen=True, slots=True)
class AccountState:
    """How an account is after a verdict, and when it is looked at again (empty: when a person did something)."""

    health: Health
    code: str
    reason: str
    cooling_until: datetime | None = None
    check_due_at: datetime | None = None
    expires_at: datetime | None = field(default=None)


def account_after(
    policy: PublishPolicy, verdict: AccountVerdict, now: datetime, check_seconds: float
) -> AccountState:
    """The account's state after a verdict about its current credentials; a good one is checked again after `check_seconds`."""
    health, until = verdict.health, verdict.until
    if health is Health.OK and verdict.expires_at is not None and verdict.expires_at <= now + EXPIRING:
        health = Health.EXPIRING
    if health is Health.COOLING:
        until = until or now + timedelta(seconds=policy.cooling_seconds)
    due = {
        Health.EXPIRED: None,
        Health.NEEDS_LOGIN: None,
        Health.COOLING: until,
    }.get(health, now + timedelta(seconds=check_seconds))
    return AccountState(
        health,
        verdict.code,
        verdict.reason,
        until if health is Health.COOLING else None,
        due,
        verdict.expires_at,
    )
