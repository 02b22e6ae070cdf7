"""Accounts and turns on the whole system: expired cookies cost nothing but a new login, and nobody's hundred hold up another's one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.publishing import ACCOUNTS, TASKS, WAIT_SECONDS, Publishing, running
from tests.e2e.system import Visitor
from tests.servers import wait_until

SETTINGS = {
    # One thing at a time, so that turns show.
    "CASCADE_PUBLISH_WORKERS": "1",
    "CASCADE_PUBLISH_PER_MINUTE": "1000",
    "CASCADE_WATCH_SECONDS": "0.5",
    "CASCADE_ALERT_CLEAR_SECONDS": "0.5",
}
UNHURRIED = {"min_gap_seconds": 0, "daily_limit": 0}


@pytest.fixture(scope="module")
def publishing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publishing]:
    """The system with one publish process, and its platforms."""
    with running(tmp_path_factory.mktemp("accounts"), **SETTINGS) as publishing:
        yield publishing


def add_account(visitor: Visitor, platform: str, name: str, credentials: dict[str, str]) -> str:
    body = {"platform": platform, "name": name, "credentials": credentials} | UNHURRIED
    return str(visitor.ask("POST", ACCOUNTS, json=body)["id"])


def submit(visitor: Visitor, account: str, titles: list[str]) -> None:
    for title in titles:
        visitor.ask("POST", TASKS, json={"title": title, "content": "Text.", "account_id": account})


def counted(visitor: Visitor, account: str, status: str) -> int:
    return int(visitor.ask("GET", TASKS, params={"account_id": account, "status": status})["total"])


def login_alarms(visitor: Visitor) -> list[dict[str, Any]]:
    query = {"state": "open", "rule": "alert_account_login"}
    return list(visitor.ask("GET", "/api/v1/alerts", params=query)["list"])


def health(visitor: Visitor, account: str) -> str:
    return str(visitor.ask("GET", f"{ACCOUNTS}/{account}")["health"])


@pytest.mark.timeout(600)
@pytest.mark.soak
@pytest.mark.parametrize("count", [50])
def test_expired_cookies_cost_no_task_and_one_alarm_and_new_ones_bring_all_of_them(
    publishing: Publishing, count: int
) -> None:
    name, zhihu = f"cara{count}", publishing.zhihu
    zhihu.add_account(name, secret=f"old {name}")
    with publishing.visitor() as visitor:
        account = add_account(visitor, "zhihu", name, {"cookies": f"z_c0=old {name}; _xsrf=x"})
        wait_until(lambda: health(visitor, account) == "ok", WAIT_SECONDS, "the first check")
        zhihu.add_account(name, secret=f"new {name}")
        titles = [f"{name} writes {number}" for number in range(count)]
        submit(visitor, account, titles)
        wait_until(lambda: counted(visitor, account, "held") == count, WAIT_SECONDS, "all of them held")
        wait_until(lambda: len(login_alarms(visitor)) == 1, WAIT_SECONDS, "the alarm")
        assert login_alarms(visitor)[0]["subject"] == account
        # A check of the old cookies hangs while a person replaces them: what it finds out is no longer true.
        checks = len(calls_of(publishing, "check"))
        zhihu.tell("slow", call="check", seconds=2.0, times=1)
        visitor.ask("POST", f"{ACCOUNTS}/{account}/check")
        wait_until(lambda: len(calls_of(publishing, "check")) > checks, WAIT_SECONDS, "the check that hangs")
        fresh = {"credentials": {"cookies": f"z_c0=new {name}; _xsrf=x"}}
        visitor.ask("PUT", f"{ACCOUNTS}/{account}/credentials", json=fresh)
        wait_until(
            lambda: counted(visitor, account, "success") == count, 10 * WAIT_SECONDS, "all of them there"
        )
        assert sorted(one.title for one in zhihu.journal() if one.account == name) == sorted(titles)
        assert counted(visitor, account, "failed") == counted(visitor, account, "unconfirmed") == 0
        assert health(visitor, account) == "ok"
        wait_until(lambda: not login_alarms(visitor), WAIT_SECONDS, "the end of the alarm")


def calls_of(publishing: Publishing, name: str) -> list[object]:
    zhihu = publishing.zhihu
    with zhihu.lock:
        return [one for one in zhihu.calls if zhihu.recognise(one)[0] == name]


@pytest.mark.timeout(600)
@pytest.mark.soak
@pytest.mark.parametrize("count", [100])
def test_a_single_article_gets_the_next_turn_however_many_another_user_has(
    publishing: Publishing, count: int
) -> None:
    hook, bob = publishing.hook, {"name": f"bob{count}", "password": "a long password for bob"}
    hook.tell("slow", call="publish", seconds=0.3)
    with publishing.visitor() as visitor, Visitor(publishing.system.url) as other:
        visitor.ask("POST", "/api/v1/users", json=bob | {"role": "operator"})
        login = {"username": bob["name"], "password": bob["password"]}
        told = other.ask("POST", "/api/v1/auth/login", json=login)
        other.session.headers["Authorization"] = f"Bearer {told['access_token']}"
        many = [hook_account(publishing, visitor, f"many{count}-{number}") for number in range(3)]
        one = hook_account(publishing, other, f"one{count}")
        for number in range(count):
            submit(visitor, many[number % 3], [f"many {number} of {count}"])
        before = len(hook.journal())
        assert len(hook.wait_for(before + 2, WAIT_SECONDS)) >= before + 2
        asked = time.time()
        submit(other, one, [f"one of {count}"])
        wait_until(lambda: counted(other, one, "success") == 1, WAIT_SECONDS, "bob's article")
        journal = hook.journal()
        mine = next(entry for entry in journal if entry.title == f"one of {count}")
        between = [entry for entry in journal if asked < entry.at < mine.at]
        # The one that was under way when he asked, and one that was placed in the same moment.
        assert len(between) <= 2, between
        wait_until(
            lambda: sum(counted(visitor, account, "success") for account in many) == count,
            10 * WAIT_SECONDS,
            "everybody's articles",
        )


def hook_account(publishing: Publishing, visitor: Visitor, name: str) -> str:
    publishing.hook.add_account(name, secret=f"secret of {name}")
    credentials = {"url": f"https://hooks.example.com/{name}", "secret": f"secret of {name}"}
    return add_account(visitor, "webhook", name, credentials)
