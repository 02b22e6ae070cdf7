"""Why a publish task waits, and when it will probably go on: pure, over facts that the store reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from backend.domain.nodes import NodeFacts, availability
from backend.domain.pacing import DAY_SECONDS, Pace
from backend.domain.protocol import given_kinds, why_not
from backend.domain.publish_admission import (
    RATE_SECONDS,
    AccountFacts,
    PublishLimits,
    PublishNode,
    UserLoad,
    serves,
)
from backend.domain.publishing import Health
from backend.domain.waiting import Backoff, Scene
from backend.domain.why import Why

# What a publish usually takes, for expectations only.
USUAL_SECONDS = 30.0

HELD_BY = {
    Health.EXPIRED: "why_account_expired",
    Health.NEEDS_LOGIN: "why_account_needs_login",
    Health.COOLING: "why_account_cooling",
}


@dataclass(frozen=True, slots=True)
class AccountStory:
    """What people hear of an account beside what admission decides from: its name, its health in words, and its pace.

    `gap_until` and `day_until` are when its gap and its daily limit let it submit again; `used_today` counts its
    submissions of the last 24 hours.
    """

    facts: AccountFacts
    name: str
    reason: str = ""
    cooling_until: datetime | None = None
    pace: Pace = field(default_factory=Pace)
    gap_until: datetime | None = None
    day_until: datetime | None = None
    used_today: int = 0


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """A task that waits. `ahead` are those of its account that come first; `backoff` holds its `not_before`."""

    user_id: str
    confirms: bool = False
    scheduled_at: datetime | None = None
    backoff: Backoff = field(default_factory=Backoff)
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Why it waits, and when it probably goes on; `None`: not before somebody does something."""

    why: Why
    expected_at: datetime | None = None


def hold_reason(health: Health, account: str, until: datetime | None = None, reason: str = "") -> Why:
    """Why an account that is not healthy holds its tasks, and what to do."""
    if health is Health.COOLING and until is not None:
        return Why("why_account_cooling_until", {"account": account, "moment": until})
    return Why(HELD_BY[health], {"account": account, "detail": f" ({reason})" if reason else ""})


def publishing_nodes(
    nodes: Sequence[NodeFacts], in_flight: Mapping[str, int], slots: int
) -> list[PublishNode]:
    """The nodes that may be given publish and account work now, with what they have of it."""
    return [
        PublishNode(node.id, platforms, in_flight.get(node.id, 0), slots)
        for node in nodes
        if (platforms := platforms_of(node)) and hindrance(node) is None
    ]


def platforms_of(node: NodeFacts) -> frozenset[str]:
    """The platforms that the node said it publishes on; of remote ones, those that also do publish work."""
    if node.node_type == 0:
        return frozenset()
    if node.transport != "attached" and (
        node.speaker is None or not {"publish", "account"} <= given_kinds(node.speaker)
    ):
        return frozenset()
    return frozenset(node.publishers or ())


def hindrance(node: NodeFacts) -> Why | None:
    """Why the node gets no publish work; how full it is with other work does not matter."""
    return availability(replace(node, in_flight=0, max_capacity=1)).why


def why_task_waits(
    task: WaitingTask,
    user: UserLoad,
    account: AccountStory | None,
    places: Sequence[PublishNode],
    limits: PublishLimits,
    scene: Scene,
) -> Wait:
    """The reason that lasts longest, of all that hold; those that only a person can end come first."""
    if account is None:
        return Wait(Why("why_publish_account_gone"))
    for why in (_account_hinders(account), _no_node(account, places, scene), _no_beat(scene)):
        if why is not None:
            return Wait(why, account.cooling_until if why.code == "why_account_cooling_until" else None)
    bounds = [
        *_own_time(task, scene.now),
        *_users_limits(task, user, limits, scene.now),
        *_accounts_pace(task, account),
        *_turn(task, account, places, scene.now),
    ]
    late = [one for one in bounds if one.expected_at is not None and one.expected_at > scene.now]
    if not late:
        return Wait(Why("why_publish_next"), scene.now)
    return max(late, key=lambda one: one.expected_at or scene.now)


def _account_hinders(account: AccountStory) -> Why | None:
    if not account.facts.is_active:
        return Why("why_account_off", {"account": account.name})
    if account.facts.health.may_publish:
        return None
    return hold_reason(account.facts.health, account.name, account.cooling_until, account.reason)


def _no_beat(scene: Scene) -> Why | None:
    return None if scene.beats else Why("why_no_beat")


def _no_node(account: AccountStory, places: Sequence[PublishNode], scene: Scene) -> Why | None:
    if any(serves(node, account.facts) for node in places):
        return None
    home = scene.node(account.facts.node_id) if account.facts.node_id else None
    if home is not None:
        platform = account.facts.platform
        why = hindrance(home) or (home.speaker and why_not(home.speaker, "publish", platform))
        why = why or Why("node_without_platform", {"platform": platform})
        return Why("why_account_node_away", {"account": account.name, "node": home.name, "why": why})
    return Why("why_publish_no_node", {"platform": account.facts.platform})


def _own_time(task: WaitingTask, now: datetime) -> list[Wait]:
    until = task.backoff.not_before
    if until is None or until <= now:
        return []
    if task.confirms:
        return [Wait(Why("why_publish_quiet", {"moment": until}), until)]
    if task.backoff.error_code and until != task.scheduled_at:
        error = (task.backoff.error_message or task.backoff.error_code).rstrip(". ")
        facts = {"moment": until, "attempt": task.backoff.attempts, "error": error}
        return [Wait(Why("why_backoff", facts), until)]
    code = "why_publish_scheduled" if until == task.scheduled_at else "why_not_before"
    return [Wait(Why(code, {"moment": until}), until)]


def _users_limits(task: WaitingTask, user: UserLoad, limits: PublishLimits, now: datetime) -> list[Wait]:
    found = []
    if user.in_flight >= limits.in_flight:
        facts = {"count": user.in_flight, "limit": limits.in_flight}
        found.append(Wait(Why("why_publish_user_full", facts), now + timedelta(seconds=USUAL_SECONDS)))
    since = now - timedelta(seconds=RATE_SECONDS)
    recent = [moment for moment in user.recent if moment > since]
    if not task.confirms and len(recent) >= limits.per_minute > 0:
        until = recent[-limits.per_minute] + timedelta(seconds=RATE_SECONDS)
        rate: dict[str, object] = {"limit": limits.per_minute, "moment": until}
        found.append(Wait(Why("why_publish_user_rate", rate), until))
    return found


def _accounts_pace(task: WaitingTask, account: AccountStory) -> list[Wait]:
    if task.confirms:
        return []
    name, pace = account.name, account.pace
    day: dict[str, object] = {"account": name, "limit": pace.daily_limit}
    gap: dict[str, object] = {"account": name, "seconds": f"{pace.gap_seconds:.0f}"}
    return [
        Wait(Why(code, facts | {"moment": until}), until)
        for code, facts, until in (
            ("why_account_day_full", day, account.day_until),
            ("why_account_gap", gap, account.gap_until),
        )
        if until is not None
    ]


def _turn(
    task: WaitingTask, account: AccountStory, places: Sequence[PublishNode], now: datetime
) -> list[Wait]:
    name: dict[str, object] = {"account": account.name}
    if task.ahead:
        expected = _after_others(task.ahead, account, now)
        return [Wait(Why("why_account_queue", name | {"count": task.ahead}), expected)]
    soon = now + timedelta(seconds=USUAL_SECONDS)
    if account.facts.occupied:
        return [Wait(Why("why_account_busy", name), soon)]
    able = [node for node in places if serves(node, account.facts)]
    if all(node.in_flight >= node.capacity for node in able):
        taken, capacity = sum(node.in_flight for node in able), sum(node.capacity for node in able)
        return [Wait(Why("why_publish_full", {"taken": taken, "capacity": capacity}), soon)]
    return []


def _after_others(ahead: int, account: AccountStory, now: datetime) -> datetime:
    """When those before it will probably have had their turn, at the account's pace and within its days."""
    pace = account.pace
    start = max(moment for moment in (now, account.gap_until, account.day_until) if moment is not None)
    used = 0 if account.day_until is not None and account.day_until > now else account.used_today
    days = (used + ahead) // pace.daily_limit if pace.daily_limit else 0
    seconds = days * DAY_SECONDS or (ahead + account.facts.occupied) * max(pace.gap_seconds, USUAL_SECONDS)
    return start + timedelta(seconds=seconds)
