"""No secret anywhere in clear: recognizable credentials are planted, everything is done with them, failures included,
and then every place is searched that somebody else might see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.leaks import Overheard, Planted, Search
from tests.e2e.publishing import ACCOUNTS, TASKS, Publishing, running
from tests.e2e.system import Visitor

COOKIE = Planted("the cookie", "planted-z_c0-2|1:0|10:1764057600|4:z_c0|80:Mi4xQ0F")
RENEWED = Planted("the renewed cookie", "planted-renewed-z_c0-9f8e7d6c5b4a")
PASSWORD = Planted("the password", 'planted-pässword "with quotes" & Ünïcode 9+/=')
TOKEN = Planted("the token", "planted-token-eyJhbGciOiJIUzI1NiJ9")
HOOK_SECRET = Planted("the hook's secret", "planted-hook-secret-SEC0123456789")
HOOK_URL = Planted("the hook's address", "planted-key-in-the-address-0a1b2c3d4e")
SECRETS = (COOKIE, RENEWED, PASSWORD, TOKEN, HOOK_SECRET, HOOK_URL)


@pytest.fixture(scope="module")
def publishing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publishing]:
    """The system as it comes, with its platforms, at its most talkative."""
    with running(tmp_path_factory.mktemp("secrets")) as publishing:
        yield publishing


def make_accounts(publishing: Publishing, visitor: Visitor) -> dict[str, str]:
    """Accounts by HTTP and from the command line, each with something planted; their ids."""
    publishing.zhihu.add_account("ana", secret=COOKIE.value)
    publishing.hook.add_account("hook", secret=HOOK_SECRET.value)
    more = {"username": "ana", "password": PASSWORD.value, "token": TOKEN.value}
    cookies = [{"name": "z_c0", "value": COOKIE.value}, {"name": "_xsrf", "value": "x"}]
    writer = {"platform": "zhihu", "name": "ana", "credentials": {"cookies": cookies} | more}
    fields = publishing.file(
        "fields.yaml",
        f"url: https://hooks.example.com/in?key={HOOK_URL.value}\nsecret: {HOOK_SECRET.value}\n",
    )
    made = {
        "ana": visitor.ask("POST", ACCOUNTS, json=writer | {"min_gap_seconds": 0})["id"],
        "hook": publishing.command("account", "add", "hook", "--platform", "webhook", "--fields", fields),
    }
    Path(fields).unlink()
    # Refused, with everything in it.
    visitor.ask("POST", ACCOUNTS, json=writer, expect=409)
    visitor.ask("POST", ACCOUNTS, json=writer | {"platform": "nowhere"}, expect=422)
    broken = {"cookies": f"{COOKIE.value}\n{PASSWORD.value}", "password": [PASSWORD.value]}
    visitor.ask("POST", ACCOUNTS, json=writer | {"name": "b", "credentials": broken}, expect=422)
    return made


def publish(publishing: Publishing, visitor: Visitor, account: str, title: str, *ends: str) -> str:
    """An article, until it was begun and is in one of the states; the task's id."""
    body = {"title": title, "content": "Text.", "account_id": account}
    task = str(visitor.ask("POST", TASKS, json=body)["id"])
    publishing.wait_for_status(visitor, task, "running", "held", *set(ends) - {"pending"})
    publishing.wait_for_status(visitor, task, *ends)
    return task


def go_wrong(publishing: Publishing, visitor: Visitor, accounts: dict[str, str]) -> None:
    """Every way of failing, with platforms that repeat what they were sent."""
    said = " ".join(one.value for one in (COOKIE, PASSWORD, TOKEN))
    hook_said = f"{HOOK_SECRET.value} {HOOK_URL.value}"
    publishing.zhihu.tell("refuse", call="publish", times=1, text=said)
    publish(publishing, visitor, accounts["ana"], "refused", "failed")
    publishing.hook.tell("refuse", times=1, text=hook_said)
    publish(publishing, visitor, accounts["hook"], "refused by the hook", "failed")
    # Nobody knows what came of it: it is asked again after a minute, for which no test waits.
    publishing.hook.tell("fail", times=1, text=hook_said)
    publish(publishing, visitor, accounts["hook"], "in doubt", "pending")
    publishing.zhihu.tell("do_and_break", call="publish", times=1)
    publish(publishing, visitor, accounts["ana"], "broken", "success", "pending")
    publishing.zhihu.tell("rate_limit", call="draft", times=1, seconds=1, text=said)
    publish(publishing, visitor, accounts["ana"], "too fast", "success", "held")
    publishing.zhihu.tell("expire")
    held = publish(publishing, visitor, accounts["ana"], "expired", "held")
    publishing.zhihu.heal()
    publishing.zhihu.add_account("ana", secret=RENEWED.value)
    cookies = publishing.file("fresh.json", f'{{"z_c0": "{RENEWED.value}", "_xsrf": "x"}}')
    publishing.command("account", "credentials", "ana", "--cookies", cookies)
    Path(cookies).unlink()
    publishing.wait_for_status(visitor, held, "success")


def read_everything(visitor: Visitor, accounts: dict[str, str]) -> None:
    """What can be asked about it all."""
    for path in (
        ACCOUNTS,
        TASKS,
        *(f"{ACCOUNTS}/{one}" for one in accounts.values()),
        *(f"{ACCOUNTS}/{one}/visits" for one in accounts.values()),
        *(f"{TASKS}/{one['id']}" for one in visitor.ask("GET", TASKS)["list"]),
        "/api/v1/cascade/allocations?kind=all",
        "/api/v1/cascade/failures",
        "/api/v1/alerts?state=all",
        "/openapi.json",
    ):
        visitor.session.get(f"{visitor.url}{path}", timeout=20)


@pytest.mark.timeout(300)
def test_no_secret_is_in_clear_anywhere(publishing: Publishing, tmp_path: Path) -> None:
    search = Search(SECRETS)
    with publishing.system.redis() as redis, Overheard(redis) as heard, publishing.visitor() as visitor:
        accounts = make_accounts(publishing, visitor)
        publishing.zhihu.tell("slow", call="publish", seconds=1.5, times=1)
        body = {"title": "under way", "content": "Text.", "account_id": accounts["ana"]}
        task = visitor.ask("POST", TASKS, json=body)["id"]
        assert publishing.zhihu.wait_for_call("publish")
        search.processes(publishing.system)
        search.redis(redis)
        publishing.wait_for_status(visitor, task, "success")
        publish(publishing, visitor, accounts["hook"], "hooked", "success")
        go_wrong(publishing, visitor, accounts)
        read_everything(visitor, accounts)
        search.redis(redis)
    for number, command in enumerate(heard.commands):
        search.look("monitor", str(number), command)
    for number, text in enumerate(publishing.said):
        search.look("answer", str(number), text.encode())
    search.processes(publishing.system)
    engine = publishing.system.engine()
    search.database(engine)
    engine.dispose()
    search.files(publishing.system.data_dir, publishing.system.stdout, publishing.system.stderr)
    assert search.found == []
    assert all(search.looked_at[kind] > 20 for kind in ("database", "redis", "monitor", "answer", "process"))
    assert search.looked_at["file"] > 3
    # They were used in truth, and the search finds what is there.
    assert any(COOKIE.value in call.headers.get("cookie", "") for call in publishing.zhihu.calls)
    assert any(HOOK_URL.value in call.query.get("key", "") for call in publishing.hook.calls)
    (tmp_path / "note").write_text(f"a forgotten note: {PASSWORD.value}")
    search.files(tmp_path / "note")
    assert search.found == [f"the password in file {tmp_path / 'note'}"]
