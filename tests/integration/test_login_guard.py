"""Wrong passwords are counted by all processes together, and by each alone while Redis is away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from backend.api.login_guard import REMEMBERED, WRONG_PASSWORDS, LoginGuard, MemoryCounter
from backend.dispatch.broker import connect
from backend.domain.errors import TooManyRequests
from tests.building import together
from tests.servers import RedisServer, free_port, wait_until

MakeGuard = Callable[..., LoginGuard]


@pytest.fixture
def make_guard(redis_server: RedisServer) -> Iterator[MakeGuard]:
    """Guards as processes have them: each with a client of its own."""
    made: list[LoginGuard] = []

    def make(lock_seconds: float = 60, url: str = "") -> LoginGuard:
        made.append(LoginGuard(connect(url or redis_server.url, retries=0, answer_seconds=0.5), lock_seconds))
        return made[-1]

    yield make
    for guard in made:
        guard.close()


def guess(guard: LoginGuard, name: str = "ana", address: str = "192.0.2.1", *, right: bool = False) -> str:
    """What a login meets: `checked`, or the code of its refusal."""
    try:
        with guard.checking(name, address) as check:
            if right:
                check.right()
            else:
                check.wrong()
    except TooManyRequests as refused:
        return refused.code
    return "checked"


def test_five_wrong_passwords_lock_the_name_and_address_for_every_process(make_guard: MakeGuard) -> None:
    here, there = make_guard(), make_guard()
    assert [guess(one) for one in (here, there, here, there, here)] == ["checked"] * 5
    assert (guess(here), guess(there, right=True)) == ("login_locked", "login_locked")
    assert guess(there, name="ben") == "checked"
    assert guess(there, address="192.0.2.2") == "checked"


def test_a_lock_says_how_long_it_lasts_and_then_ends(make_guard: MakeGuard) -> None:
    guard = make_guard(0.5)
    for _ in range(WRONG_PASSWORDS):
        guess(guard)
    with pytest.raises(TooManyRequests) as refused, guard.checking("ana", "192.0.2.1"):
        pytest.fail("it was let through")
    assert refused.value.retry_after == 1
    wait_until(lambda: guess(guard, right=True) == "checked", 5, "the end of the lock")


def test_the_right_password_forgets_the_wrong_ones(make_guard: MakeGuard) -> None:
    guard = make_guard()
    for _ in range(3):
        assert [guess(guard) for _ in range(WRONG_PASSWORDS - 1)] == ["checked"] * 4
        assert guess(guard, right=True) == "checked"


def test_of_many_guesses_at_once_five_are_checked(make_guard: MakeGuard) -> None:
    guards = [make_guard(), make_guard()]
    met = together(*(lambda guard=guards[number % 2]: guess(guard) for number in range(24)))
    assert met.count("checked") == WRONG_PASSWORDS
    assert set(met) == {"checked", "login_locked"}


def test_many_right_passwords_at_once_wait_for_each_other_and_pass(make_guard: MakeGuard) -> None:
    guard = make_guard()
    met = together(*[lambda: guess(guard, right=True)] * 16)
    assert met == ["checked"] * 16


@pytest.mark.parametrize("shared", [True, False])
def test_who_waits_too_long_for_other_checks_is_told_to_come_again(
    redis_server: RedisServer, shared: bool
) -> None:
    redis = connect(redis_server.url, retries=0) if shared else None
    with ExitStack() as under_way, closing(LoginGuard(redis, 60, busy_seconds=0.1)) as guard:
        for _ in range(WRONG_PASSWORDS):
            under_way.enter_context(guard.checking("ana", "192.0.2.1"))
        assert guess(guard) == "login_busy"
        assert guess(guard, name="ben") == "checked"
        under_way.close()
        assert guess(guard) == "checked"


def test_a_check_that_fails_by_itself_counts_as_nothing(make_guard: MakeGuard) -> None:
    guard = make_guard()
    for _ in range(WRONG_PASSWORDS + 1):
        with pytest.raises(ZeroDivisionError), guard.checking("ana", "192.0.2.1"):
            raise ZeroDivisionError
    assert guess(guard) == "checked"


def test_while_redis_is_away_each_process_counts_for_itself(make_guard: MakeGuard) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    here, there = make_guard(url=nowhere), make_guard(url=nowhere)
    assert [guess(here) for _ in range(WRONG_PASSWORDS)] == ["checked"] * 5
    assert (guess(here), guess(there, right=True)) == ("login_locked", "checked")


def test_a_frozen_redis_does_not_hold_up_logins(make_guard: MakeGuard, redis_server: RedisServer) -> None:
    guard = make_guard()
    assert guess(guard) == "checked"
    with redis_server.frozen():
        assert [guess(guard) for _ in range(WRONG_PASSWORDS)] == ["checked"] * 5
        assert guess(guard) == "login_locked"


def test_without_redis_the_lock_works_and_ends() -> None:
    moment = [1000.0]
    counter = MemoryCounter(60, clock=lambda: moment[0])
    for _ in range(WRONG_PASSWORDS):
        assert counter.admit("a") is None
        counter.conclude("a", "wrong")
    moment[0] += 20
    assert counter.admit("a") == 40
    moment[0] += 40
    assert counter.admit("a") is None


def test_the_memory_is_bounded() -> None:
    counter = MemoryCounter(60)
    for number in range(REMEMBERED + 100):
        counter.admit(str(number))
    assert len(counter) == REMEMBERED


def test_nothing_that_names_a_person_is_kept_in_redis(
    make_guard: MakeGuard, redis_server: RedisServer
) -> None:
    guess(make_guard(), name="ana")
    with closing(redis_server.client()) as client:
        keys = client.keys("*")
        assert keys
        assert all(b"ana" not in key and client.pttl(key) > 0 for key in keys)
