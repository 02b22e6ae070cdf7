"""Publishing on the whole system: from files and over HTTP, on an attached node, as its users do it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from backend.store.cipher import Cipher
from backend.store.rotating import sealed_columns
from tests.e2e.publishing import ACCOUNTS, PIXEL, TASKS, Publishing, running, steps

COOKIES = "z_c0={secret}; _xsrf=x"
ARTICLE = """---
title: Queues that never get stuck
tags: [queues, python]
---

Text with a picture beside it:

![a pixel](pixel.png)
"""


@pytest.fixture(scope="module")
def publishing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publishing]:
    """The system as it comes, with its platforms."""
    with running(tmp_path_factory.mktemp("publishing")) as publishing:
        yield publishing


def add_writer(publishing: Publishing, name: str, *more: str) -> str:
    """An account on Zhihu, added with a file of cookies; its id."""
    publishing.zhihu.add_account(name, secret=f"z-c0-of-{name}")
    cookies = publishing.file(f"{name}.txt", COOKIES.format(secret=f"z-c0-of-{name}"))
    return publishing.command(
        *("account", "add", name, "--platform", "zhihu", "--cookies", cookies, "--min-gap", "0", *more)
    )


@pytest.mark.timeout(180)
def test_an_article_file_goes_from_pending_to_success(publishing: Publishing) -> None:
    add_writer(publishing, "ana")
    assert publishing.command("account", "check", "ana", "--wait").startswith("ok")
    (publishing.folder / "pixel.png").write_bytes(PIXEL)
    file = publishing.file("queues.md", ARTICLE)
    url = publishing.command("publish", file, "--platform", "zhihu", "--account", "ana", "--wait")
    # Others of this module publish there too.
    [published] = [one for one in publishing.zhihu.journal() if one.account == "ana"]
    assert (published.account, published.title) == ("ana", "Queues that never get stuck")
    assert url == f"https://zhuanlan.zhihu.com/p/{published.article_id}"
    assert PIXEL in publishing.zhihu.pictures.values()
    task = publishing.said[-1].splitlines()[0]
    story = json.loads(publishing.command("publish", "show", task, "--json"))
    assert steps(story) == ["pending", "queued", "running", "success"]
    assert story["result_url"] == url


@pytest.mark.timeout(180)
def test_over_http_a_task_shows_how_far_it_is_and_where_its_article_stands(publishing: Publishing) -> None:
    publishing.hook.add_account("hook", secret="the hook's secret")
    with publishing.visitor() as visitor:
        credentials = {"url": "https://hooks.example.com/in", "secret": "the hook's secret"}
        body = {"platform": "webhook", "name": "hook", "credentials": credentials}
        account = visitor.ask("POST", ACCOUNTS, json=body)["id"]
        publishing.hook.tell("slow", call="publish", account="hook", seconds=2.0, times=1)
        # The module's tests come in any order and share the receiver.
        publishing.hook.calls.clear()
        article = {"title": "Over HTTP", "content": "Text.", "account_id": account}
        task = visitor.ask("POST", TASKS, json=article)["id"]
        assert publishing.hook.wait_for_call("publish")
        under_way = publishing.story(visitor, task)
        assert under_way["status"] == "running"
        assert under_way["progress"]
        assert under_way["node_name"]
        story = publishing.wait_for_status(visitor, task, "success")
        assert steps(story) == ["pending", "queued", "running", "success"]
        assert story["result_url"].startswith("https://hooks.example.com/read/")
        mine = [one.title for one in publishing.hook.journal() if one.account == "hook"]
        assert mine == ["Over HTTP"]


@pytest.mark.timeout(180)
def test_what_waits_for_a_login_goes_on_when_somebody_has_scanned_the_code(publishing: Publishing) -> None:
    account = add_writer(publishing, "ben")
    publishing.zhihu.tell("expire", account="ben")
    file = publishing.file("held.md", "# Held\n\nText.")
    publishing.command("publish", file, "--account", "ben", "--wait", expect=1)
    with publishing.visitor() as visitor:
        [held] = visitor.ask("GET", TASKS, params={"account_id": account})["list"]
        assert held["status"] == "held"
        assert visitor.ask("GET", f"{ACCOUNTS}/{account}")["health"] == "expired"
        publishing.zhihu.heal()
        publishing.command("account", "login", "ben")
        shown = publishing.said[-1]
        assert "▀" in shown
        assert "zhihu" in shown
        story = publishing.wait_for_status(visitor, held["id"], "success")
        assert steps(story)[-4:] == ["pending", "queued", "running", "success"]
        assert visitor.ask("GET", f"{ACCOUNTS}/{account}")["health"] == "ok"


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_the_secret_key_changes_while_work_runs(publishing: Publishing) -> None:
    key = publishing.system.data_dir / "secret.key"
    old = key.read_text().strip()
    publishing.hook.add_account("turned", secret="another secret of a hook")
    with publishing.visitor() as visitor:
        credentials = {"url": "https://hooks.example.com/in", "secret": "another secret of a hook"}
        body = {"platform": "webhook", "name": "turned", "credentials": credentials}
        account = visitor.ask("POST", ACCOUNTS, json=body)["id"]
        publishing.hook.tell("slow", call="publish", account="turned", seconds=3.0, times=1)
        during = {"title": "During", "content": "Text.", "account_id": account}
        task = visitor.ask("POST", TASKS, json=during)["id"]
        publishing.wait_for_status(visitor, task, "running")
        publishing.command("secrets", "rotate", "--grace", "1")
    new = key.read_text().strip()
    assert new != old
    assert "," not in new
    engine, cipher = publishing.system.engine(), Cipher(new)
    with engine.execution_options(reading=True).connect() as connection:
        for one in sealed_columns():
            tokens = connection.scalars(select(one.column).where(one.column != "")).all()
            assert all(cipher.decrypt(token) for token in tokens), one.name
    engine.dispose()
    # The earlier login has ended with the old key.
    with publishing.visitor() as visitor:
        publishing.wait_for_status(visitor, task, "success")
        after = {"title": "Afterwards", "content": "Text.", "account_id": account}
        publishing.wait_for_status(visitor, visitor.ask("POST", TASKS, json=after)["id"], "success")
