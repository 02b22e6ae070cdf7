"""Who may publish next: in turns between users, within every limit, and nobody waits for ever."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.pacing import OTHERS, PACES, Pace, pace_of
from backend.domain.publish_admission import (
    AccountFacts,
    Admission,
    Candidate,
    Places,
    PublishLimits,
    PublishNode,
    UserLoad,
    admit,
    admit_errands,
)
from backend.domain.publishing import Health

NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
WIDE = PublishLimits(in_flight=1000, per_minute=1000)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


ALL = frozenset({"zhihu", "webhook"})


def node(name: str, in_flight: int = 0, capacity: int = 1, platforms: frozenset[str] = ALL) -> PublishNode:
    return PublishNode(name, platforms, in_flight, capacity)


def tasks_of(user: str, count: int, *, account: str = "", start: int = 0) -> list[Candidate]:
    """Tasks of one user, the oldest first: on one account, or each on one of its own."""
    return [
        Candidate(f"{user}{number:03}", user, account or f"{user}-account-{number}")
        for number in range(start, start + count)
    ]


def accounts_for(tasks: list[Candidate], **values: object) -> dict[str, AccountFacts]:
    return {
        task.account_id: replace(AccountFacts(task.account_id, "zhihu"), **values)  # type: ignore[arg-type]
        for task in tasks
    }


def admitted(
    tasks: list[Candidate],
    *,
    users: dict[str, UserLoad] | None = None,
    accounts: dict[str, AccountFacts] | None = None,
    nodes: list[PublishNode] | None = None,
    limits: PublishLimits = WIDE,
) -> list[Admission]:
    places = Places(accounts or accounts_for(tasks), nodes or [node("n", capacity=1000)])
    return admit(tasks, users or {}, places, limits, NOW)


def ids(found: list[Admission]) -> list[str]:
    return [one.id for one in found]


def test_a_user_with_one_article_comes_second_however_many_another_has() -> None:
    tasks = [*tasks_of("a", 100), *tasks_of("b", 1)]
    assert ids(admitted(tasks))[:3] == ["a000", "b000", "a001"]


def test_who_was_served_longest_ago_gets_the_next_free_place() -> None:
    tasks = [*tasks_of("a", 3), *tasks_of("b", 3), *tasks_of("c", 3)]
    users = {"a": UserLoad(served_at=at(-1)), "b": UserLoad(served_at=at(-50))}
    nodes = [node("n", in_flight=3, capacity=4)]
    assert ids(admitted(tasks, users=users, nodes=nodes)) == ["c000"]
    users["c"] = UserLoad(served_at=at(0))
    assert ids(admitted(tasks, users=users, nodes=nodes)) == ["b000"]


def test_users_who_share_an_account_take_turns_on_it() -> None:
    tasks = [*tasks_of("a", 5, account="shared"), *tasks_of("b", 1, account="shared")]
    users = {"a": UserLoad(served_at=at(-1))}
    assert ids(admitted(tasks, users=users)) == ["b000"]


def test_a_users_own_order_is_confirmations_then_priority_then_age() -> None:
    tasks = [
        Candidate("1-old", "a", "w"),
        Candidate("2-urgent", "a", "x", priority=9),
        Candidate("3-submitted", "a", "y", confirms=True),
        Candidate("0-oldest", "a", "z"),
    ]
    assert ids(admitted(tasks)) == ["3-submitted", "2-urgent", "0-oldest", "1-old"]


def test_an_account_that_is_busy_does_not_hold_up_the_users_others() -> None:
    tasks = [*tasks_of("a", 3, account="busy"), *tasks_of("a", 1, account="idle", start=3)]
    accounts = accounts_for(tasks)
    accounts["busy"] = replace(accounts["busy"], occupied=True)
    assert ids(admitted(tasks, accounts=accounts)) == ["a003"]


@pytest.mark.parametrize(
    ("values", "lets"),
    [
        ({}, True),
        ({"health": Health.UNKNOWN}, True),
        ({"health": Health.EXPIRING}, True),
        ({"health": Health.EXPIRED}, False),
        ({"health": Health.NEEDS_LOGIN}, False),
        ({"health": Health.COOLING}, False),
        ({"is_active": False}, False),
        ({"occupied": True}, False),
        ({"free_at": at(0)}, True),
        ({"free_at": at(0.001)}, False),
        ({"node_id": "n"}, True),
        ({"node_id": "elsewhere"}, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("confirms", [False, True])
def test_what_an_account_lets_begin(values: dict[str, object], lets: bool, confirms: bool) -> None:
    task = Candidate("t", "a", "x", confirms=confirms)
    # Asking the platform submits nothing: the account's pace does not hold it up, everything else does.
    expected = lets or (confirms and "free_at" in values)
    assert ids(admitted([task], accounts=accounts_for([task], **values))) == (["t"] if expected else [])


def test_a_task_of_a_deleted_account_is_left_alone() -> None:
    assert admitted(tasks_of("a", 1), accounts={"other": AccountFacts("other", "zhihu")}) == []


def test_a_user_has_so_many_in_flight_and_so_many_new_a_minute() -> None:
    tasks = tasks_of("a", 50)
    limits = PublishLimits(in_flight=10, per_minute=20)
    assert len(admitted(tasks, limits=limits)) == 10
    full = {"a": UserLoad(in_flight=7)}
    assert len(admitted(tasks, users=full, limits=limits)) == 3
    quick = {"a": UserLoad(recent=(at(-61), *[at(-30)] * 18))}
    assert len(admitted(tasks, users=quick, limits=limits)) == 2


def test_a_confirmation_is_not_new_but_in_flight() -> None:
    asked = [replace(task, confirms=True) for task in tasks_of("a", 2)]
    limits = PublishLimits(in_flight=10, per_minute=20)
    assert len(admitted(asked, users={"a": UserLoad(recent=(at(-1),) * 20)}, limits=limits)) == 2
    assert admitted(asked, users={"a": UserLoad(in_flight=10)}, limits=limits) == []


def test_work_goes_to_the_least_loaded_node_that_has_the_publisher() -> None:
    nodes = [
        node("busy", 3, 4),
        node("free", 0, 4),
        node("other", 0, 9, frozenset({"webhook"})),
    ]
    found = admitted(tasks_of("a", 9), nodes=nodes)
    assert [one.node_id for one in found] == ["free", "free", "free", "busy", "free"]


def test_an_accounts_cookies_stay_on_their_node() -> None:
    tasks = tasks_of("a", 1)
    nodes = [node("free", 0, 4), node("home", 3, 4)]
    bound = accounts_for(tasks, node_id="home")
    assert [one.node_id for one in admitted(tasks, accounts=bound, nodes=nodes)] == ["home"]
    full = [node("free", 0, 4), node("home", 4, 4)]
    assert admitted(tasks, accounts=bound, nodes=full) == []


def test_errands_share_slots_and_nodes_with_tasks_and_ask_for_no_health() -> None:
    tasks = tasks_of("a", 2)
    accounts = accounts_for(tasks)
    sick = tasks[0].account_id
    accounts[sick] = replace(accounts[sick], health=Health.EXPIRED)
    places = Places(accounts, [node("n", capacity=2)])
    assert ids(admit_errands([("e", sick), ("again", sick), ("gone", "no such account")], places)) == ["e"]
    assert ids(admit(tasks, {}, places, WIDE, NOW)) == ["a001"]
    assert admit_errands([("late", tasks[1].account_id)], places) == []


# --- what holds whatever waits

USERS, ACCOUNTS, NODES = ("a", "b", "c"), tuple("uvwxyz"), ("n1", "n2")
candidates = st.lists(
    st.tuples(st.sampled_from(USERS), st.sampled_from(ACCOUNTS), st.integers(0, 3), st.booleans()),
    max_size=40,
).map(
    lambda rows: [
        Candidate(f"{number:03}", user, account, priority, confirms)
        for number, (user, account, priority, confirms) in enumerate(rows)
    ]
)
moments = st.integers(-90, 30).map(at)
loads = st.fixed_dictionaries(
    {
        user: st.builds(
            UserLoad,
            st.integers(0, 4),
            st.lists(st.integers(-90, -1).map(at), max_size=5).map(lambda found: tuple(sorted(found))),
            st.none() | st.integers(-90, -1).map(at),
        )
        for user in USERS
    }
)
accounts_known = st.fixed_dictionaries(
    {
        one: st.builds(
            AccountFacts,
            st.just(one),
            st.sampled_from(("zhihu", "webhook")),
            st.sampled_from(Health),
            st.booleans(),
            st.booleans(),
            st.none() | st.sampled_from(NODES),
            st.none() | moments,
        )
        for one in ACCOUNTS
    }
)
nodes_known = st.tuples(
    *(
        st.builds(
            PublishNode,
            st.just(one),
            st.frozensets(st.sampled_from(("zhihu", "webhook"))),
            st.integers(0, 3),
            st.integers(1, 4),
        )
        for one in NODES
    )
)
LIMITS = PublishLimits(in_flight=4, per_minute=3)


@given(candidates, loads, accounts_known, nodes_known)
def test_no_limit_is_ever_exceeded_and_nothing_that_fits_is_left(
    tasks: list[Candidate],
    users: dict[str, UserLoad],
    accounts: dict[str, AccountFacts],
    nodes: tuple[PublishNode, ...],
) -> None:
    found = admit(tasks, users, Places(accounts, nodes), LIMITS, NOW)
    by_id = {task.task_id: task for task in tasks}
    assert len(set(ids(found))) == len(found)
    assert len({one.account_id for one in found}) == len(found)
    for one in found:
        task, account = by_id[one.id], accounts[one.account_id]
        assert task.account_id == one.account_id
        assert account.is_active
        assert not account.occupied
        assert account.health.may_publish
        assert task.confirms or account.may_submit(NOW)
        assert account.node_id in {None, one.node_id}
    per_node = Counter(one.node_id for one in found)
    for node in nodes:
        assert per_node[node.id] == 0 or node.in_flight + per_node[node.id] <= node.capacity
        assert all(node.can(accounts[one.account_id].platform) for one in found if one.node_id == node.id)
    for user, load in users.items():
        mine = [by_id[one.id] for one in found if by_id[one.id].user_id == user]
        fresh = sum(1 for moment in load.recent if moment > at(-60))
        assert not mine or load.in_flight + len(mine) <= LIMITS.in_flight
        new = sum(1 for task in mine if not task.confirms)
        assert new == 0 or fresh + new <= LIMITS.per_minute
    # With what is left, a second look finds nothing: whoever waits, waits for a limit.
    later = {
        user: replace(
            load,
            in_flight=load.in_flight + sum(1 for one in found if by_id[one.id].user_id == user),
            recent=load.recent
            + (NOW,) * sum(1 for one in found if by_id[one.id].user_id == user and not one.confirms),
        )
        for user, load in users.items()
    }
    busy = {
        one: replace(account, occupied=account.occupied or one in {each.account_id for each in found})
        for one, account in accounts.items()
    }
    fuller = [replace(node, in_flight=node.in_flight + per_node[node.id]) for node in nodes]
    rest = [task for task in tasks if task.task_id not in ids(found)]
    assert admit(rest, later, Places(busy, fuller), LIMITS, NOW) == []


@given(candidates, st.integers(1, 3))
def test_everybody_gets_their_turn(tasks: list[Candidate], capacity: int) -> None:
    """Round after round of free places, each user waits for no more rounds than there are others, and everything ends."""
    users = {user: UserLoad() for user in USERS}
    accounts = {one: AccountFacts(one, "zhihu") for one in ACCOUNTS}
    left, clock, waited = list(tasks), NOW, Counter[str]()
    while left:
        clock += timedelta(seconds=61)
        found = admit(left, users, Places(accounts, [node("n", capacity=capacity)]), LIMITS, clock)
        assert found, "free places and nobody who gets them"
        served = {next(task.user_id for task in left if task.task_id == one.id) for one in found}
        for user in {task.user_id for task in left}:
            waited[user] = 0 if user in served else waited[user] + 1
            assert waited[user] < len(USERS)
        users |= {user: UserLoad(served_at=clock) for user in served}
        left = [task for task in left if task.task_id not in ids(found)]


# --- an account's pace


def test_an_accounts_own_pace_goes_before_its_platforms() -> None:
    assert pace_of("zhihu") == PACES["zhihu"]
    assert pace_of("zhihu", 0, None) == Pace(0.0, PACES["zhihu"].daily_limit)
    assert pace_of("zhihu", None, 3) == Pace(PACES["zhihu"].gap_seconds, 3)
    assert pace_of("somebody's plug-in") == OTHERS
