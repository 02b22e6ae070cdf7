"""When a failed attempt is tried again: pure, with chance and limits as arguments."""

from __future__ import annotations

from dataclasses import dataclass

from backend.domain.orders import Failure

MAXIMUM_WAIT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Try again after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Never again: the failure is permanent or the attempts are spent."""


@dataclass(frozen=True, slots=True)
class AskAPerson:
    """Nobody knows whether it happened, and repeating it could do harm."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits of one kind of work. `base_seconds` doubles with each attempt; waits stay below an hour."""

    attempts: int
    base_seconds: float

    def decide(self, failure: Failure, attempt: int, chance: float) -> RetryIn | GiveUp:
        """What follows the `attempt`-th failed attempt (counted from 1); `chance` in [0, 1) is the jitter.

        The wait is `base * 2^(attempt-1)`, spread over 50–150 %, and never shorter than the other side asked for.
        """
        if failure.permanent or attempt >= self.attempts:
            return GiveUp()
        wait = min(self.base_seconds * 2 ** (attempt - 1) * (0.5 + chance), MAXIMUM_WAIT_SECONDS)
        return RetryIn(max(wait, failure.retry_after or 0.0))


def decide_item(policy: RetryPolicy, failure: Failure, attempt: int, chance: float) -> RetryIn | GiveUp:
    """What follows a failed work item.

    A run does not wait for a feed that must be left alone for longer than an hour: its task's next run would too.
    """
    if (failure.retry_after or 0.0) > MAXIMUM_WAIT_SECONDS:
        return GiveUp()
    return policy.decide(failure, attempt, chance)


def decide_delivery(
    policy: RetryPolicy, failure: Failure, attempt: int, chance: float, *, repeatable: bool
) -> RetryIn | GiveUp | AskAPerson:
    """What follows a failed delivery: an unknown end is repeated only where the receiver can tell a repeat."""
    if failure.ambiguous and not repeatable:
        return AskAPerson()
    return policy.decide(failure, attempt, chance)


def restart_wait(failures: int, chance: float) -> float:
    """Seconds before a process that died `failures` times in a row is started again: 0.5, 1, 2 … at most 30."""
    # The exponent is bounded first: a part that dies for a whole night must not overflow the power.
    return min(30.0, 0.5 * 2.0 ** min(max(0, failures - 1), 6)) * (0.75 + chance / 2)
