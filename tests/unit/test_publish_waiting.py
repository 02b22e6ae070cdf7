"""Why a publish task waits: the reason that lasts longest, with the time when it probably goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.domain.nodes import NodeFacts
from backend.domain.pacing import Pace
from backend.domain.publish_admission import AccountFacts, PublishLimits, UserLoad
from backend.domain.publish_waiting import (
    USUAL_SECONDS,
    AccountStory,
    Wait,
    WaitingTask,
    publishing_nodes,
    why_task_waits,
)
from backend.domain.publishing import Health
from backend.domain.waiting import Backoff, Scene

NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
LIMITS = PublishLimits(in_flight=2, per_minute=3)
NODE = NodeFacts(
    "n", "beijing", "beijing", 1, "attached", True, False, ("update",), 9, 9, 1.0, publishers=("zhihu",)
)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def account(**values: Any) -> AccountStory:
    told = {name: values.pop(name) for name in list(values) if name in AccountStory.__slots__}
    return AccountStory(replace(AccountFacts("a", "zhihu"), **values), "Ana", **told)


def wait(
    task: WaitingTask | None = None,
    *,
    of: AccountStory | None = None,
    user: UserLoad | None = None,
    nodes: tuple[NodeFacts, ...] = (NODE,),
    busy: int = 0,
    beats: int = 1,
) -> Wait:
    places = publishing_nodes(nodes, {"n": busy}, 2)
    scene = Scene(NOW, beats, nodes)
    return why_task_waits(
        task or WaitingTask("u"), user or UserLoad(), of or account(), places, LIMITS, scene
    )


def test_nothing_hinders_it_even_on_a_node_that_is_full_of_other_work() -> None:
    assert (wait().why.code, wait().expected_at) == ("why_publish_next", NOW)


@pytest.mark.parametrize(
    ("values", "code", "expected"),
    [
        ({"health": Health.EXPIRED}, "why_account_expired", None),
        ({"health": Health.NEEDS_LOGIN, "reason": "a captcha"}, "why_account_needs_login", None),
        ({"health": Health.COOLING, "cooling_until": at(90)}, "why_account_cooling_until", 90),
        ({"health": Health.COOLING}, "why_account_cooling", None),
        ({"is_active": False}, "why_account_off", None),
        ({"gap_until": at(40)}, "why_account_gap", 40),
        ({"gap_until": at(40), "day_until": at(400), "pace": Pace(60, 5)}, "why_account_day_full", 400),
        ({"gap_until": at(-1)}, "why_publish_next", 0),
        ({"occupied": True}, "why_account_busy", USUAL_SECONDS),
        ({"node_id": "gone"}, "why_publish_no_node", None),
    ],
    ids=str,
)
def test_what_an_account_makes_wait(values: dict[str, Any], code: str, expected: float | None) -> None:
    found = wait(of=account(**values))
    assert (found.why.code, found.expected_at) == (code, None if expected is None else at(expected))
    for language in ("en", "zh"):
        assert "{" not in found.why.sentence(language)


def test_a_captcha_is_named_to_the_person_who_must_solve_it() -> None:
    found = wait(of=account(health=Health.NEEDS_LOGIN, reason="a captcha"))
    assert "Ana needs a person (a captcha)" in found.why.sentence()


@pytest.mark.parametrize(
    ("task", "code", "expected"),
    [
        (WaitingTask("u", scheduled_at=at(99), backoff=Backoff(at(99))), "why_publish_scheduled", 99),
        (WaitingTask("u", backoff=Backoff(at(20), 1, "timed_out", "It timed out.")), "why_backoff", 20),
        (WaitingTask("u", confirms=True, backoff=Backoff(at(60))), "why_publish_quiet", 60),
        (WaitingTask("u", backoff=Backoff(at(5))), "why_not_before", 5),
        (WaitingTask("u", backoff=Backoff(at(-5))), "why_publish_next", 0),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_its_own_time_says(task: WaitingTask, code: str, expected: float) -> None:
    assert (wait(task).why.code, wait(task).expected_at) == (code, at(expected))


def test_a_users_limits_and_when_the_minute_is_over() -> None:
    full = wait(user=UserLoad(in_flight=2))
    assert (full.why.code, full.expected_at) == ("why_publish_user_full", at(USUAL_SECONDS))
    quick = UserLoad(recent=(at(-70), at(-50), at(-40), at(-10)))
    assert (wait(user=quick).why.code, wait(user=quick).expected_at) == ("why_publish_user_rate", at(10))
    # To ask whether it is there is nothing new.
    assert wait(WaitingTask("u", confirms=True), user=quick).why.code == "why_publish_next"
    assert wait(WaitingTask("u", confirms=True), of=account(gap_until=at(9))).why.code == "why_publish_next"


@pytest.mark.parametrize(
    ("ahead", "values", "seconds"),
    [
        (3, {"pace": Pace(0, 0)}, 3 * USUAL_SECONDS),
        (3, {"pace": Pace(60, 0), "gap_until": at(40)}, 40 + 3 * 60),
        (3, {"pace": Pace(60, 0), "occupied": True}, 4 * 60),
        (7, {"pace": Pace(60, 5), "used_today": 2}, 86_400),
        (7, {"pace": Pace(60, 5), "used_today": 5, "day_until": at(100)}, 100 + 86_400),
    ],
)
def test_those_before_it_are_counted_at_the_accounts_pace(
    ahead: int, values: dict[str, Any], seconds: float
) -> None:
    found = wait(WaitingTask("u", ahead=ahead), of=account(**values))
    assert (found.why.code, found.why.params["count"]) == ("why_account_queue", ahead)
    assert found.expected_at == at(seconds)


def test_nodes_that_are_full_away_or_someone_elses_home() -> None:
    assert wait(busy=2).why.code == "why_publish_full"
    silent = replace(NODE, silent_seconds=50.0)
    assert wait(nodes=(silent,)).why.code == "why_publish_no_node"
    home = wait(nodes=(silent,), of=account(node_id="n"))
    assert home.why.code == "why_account_node_away"
    assert "silent for 50 s" in home.why.sentence()
    parent = replace(NODE, node_type=0)
    assert wait(nodes=(parent,)).why.code == "why_publish_no_node"


@pytest.mark.parametrize(
    ("told", "gets"),
    [
        ({}, True),
        ({"publishers": None}, False),
        ({"publishers": ("webhook",)}, False),
        ({"node_type": 0}, False),
        ({"transport": "remote", "instance": "i", "protocol": 2, "kinds": ("publish", "account")}, True),
        ({"transport": "remote", "instance": "i", "protocol": 1, "kinds": ("publish", "account")}, False),
        ({"transport": "remote", "instance": "i", "protocol": 2, "kinds": ("update",)}, False),
        ({"transport": "remote"}, False),
    ],
    ids=str,
)
def test_a_node_gets_what_it_said_it_can_and_nothing_else(told: dict[str, Any], gets: bool) -> None:
    found = wait(nodes=(replace(NODE, **told),)).why.code
    assert found == ("why_publish_next" if gets else "why_publish_no_node")


def test_what_only_a_person_can_end_goes_before_what_ends_by_itself() -> None:
    late = WaitingTask("u", backoff=Backoff(at(10**6)))
    assert wait(late, of=account(health=Health.EXPIRED)).why.code == "why_account_expired"
    assert wait(late, beats=0).why.code == "why_no_beat"
    gone = why_task_waits(late, UserLoad(), None, [], LIMITS, Scene(NOW, 1, ()))
    assert (gone.why.code, gone.expected_at) == ("why_publish_account_gone", None)
