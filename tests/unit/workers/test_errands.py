"""An errand does what it is for; what follows from it is decided where its verdict is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from backend.domain.orders import Outcome, WorkOrder
from backend.domain.ports import Checkpoint, Desk, HttpClient, Publisher, Standing
from backend.domain.publishing import AccountOrder, AccountVerdict, Credentials, Errand, Health, LoginPrompt
from backend.workers.account import Errands
from backend.workers.kit import Reporter

SOON = datetime(2026, 11, 26, tzinfo=UTC)
OLD = Credentials(fields={"username": "ana", "password": "p"})
FRESH = Credentials(fields={"username": "ana", "password": "p", "token": "t"})


@dataclass
class Platform:
    """A platform whose sessions are as told; it keeps what it was asked."""

    health: Health
    login_kinds: frozenset[str] = frozenset({"password"})
    wants_a_person: bool = False
    asked: list[str] = field(default_factory=list)

    def check_session(self, account_id: str, version: int, *_: object) -> AccountVerdict:
        self.asked.append("check")
        return AccountVerdict(account_id, version, self.health)

    def log_in(self, account_id: str, version: int, *told: Any) -> AccountVerdict:
        self.asked.append("log in")
        prompt: Callable[[LoginPrompt], None] = told[-1]
        if self.wants_a_person:
            prompt(LoginPrompt(account_id, "https://scan.me", SOON))
        return AccountVerdict(account_id, version, Health.OK, refreshed=FRESH)


@dataclass
class Reports:
    """Where prompts go."""

    shown: list[Checkpoint] = field(default_factory=list)

    def report(self, progress: Checkpoint) -> Standing:
        self.shown.append(progress)
        return Standing.HELD


def visit(platform: Platform, credentials: Credentials, errand: Errand = Errand.CHECK) -> Outcome:
    account = AccountOrder("a", "zhihu", errand, 3, credentials)
    order = WorkOrder("w", 1, "x", "account", "node:n:publish", 60.0, account=account)
    desk = Desk(cast(HttpClient, None), lambda _: None, lambda _: False, lambda: 60.0)
    reports = cast(Reporter, Reports())
    return Errands(order, account, cast(Publisher, platform), desk, reports).run()


def test_a_check_only_asks_and_a_login_only_logs_in() -> None:
    platform = Platform(Health.EXPIRED)
    checked = visit(platform, OLD)
    assert checked.verdict is not None
    assert (checked.verdict.health, platform.asked) == (Health.EXPIRED, ["check"])


def test_a_login_that_a_person_asked_for_shows_its_code() -> None:
    platform = Platform(Health.EXPIRED, frozenset({"qr"}), wants_a_person=True)
    outcome = visit(platform, OLD, Errand.LOGIN)
    assert platform.asked == ["log in"]
    assert outcome.verdict is not None
    assert outcome.verdict.health is Health.OK
