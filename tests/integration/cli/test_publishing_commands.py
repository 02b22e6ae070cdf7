"""`cascade publish` and `cascade account` on a store of their own: what they take, refuse and say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from backend.bootstrap import build_cipher, load_settings
from backend.store.session import create_engine_for
from backend.store.tables import PublishAccount, PublishTask
from tests.building import change, rows_of
from tests.e2e.publishing import PIXEL
from tests.integration.cli.conftest import Cascade

URL, SECRET = "https://hooks.example.com/in", "planted-secret"


@pytest.fixture
def database(cli: Cascade) -> Iterator[Engine]:
    """The command's own database."""
    cli.ok("init")
    engine = create_engine_for(f"sqlite:///{cli.data_dir / 'cascade.db'}", pooled=False)
    yield engine
    engine.dispose()


def add_hook(cli: Cascade, name: str = "hook", *more: str) -> str:
    """A web hook as an account, its secrets asked for; the account's id."""
    words = ("account", "add", name, "--platform", "webhook", "--ask", "url", "--ask", "secret", *more)
    return cli.ok(*words, input=f"{URL}\n{SECRET}\n")


def article(tmp_path: Path, text: str = "# Hello\n\nWords.", name: str = "hello.md") -> str:
    """An article file; its path."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def stored(cli: Cascade, engine: Engine) -> str:
    """The credentials of the one account, decrypted."""
    [row] = rows_of(engine, PublishAccount)
    return build_cipher(load_settings(data_dir=cli.data_dir)).decrypt(row.credentials)


def test_secrets_are_asked_for_or_read_from_files_and_never_shown(
    cli: Cascade, database: Engine, tmp_path: Path
) -> None:
    account = add_hook(cli)
    assert SECRET in stored(cli, database)
    fields = article(tmp_path, f'{{"url": "{URL}", "secret": "another-secret"}}', "fields.json")
    told = cli.run("account", "credentials", "hook", "--fields", fields)
    assert told.exit_code == 0, told.output
    assert "another-secret" in stored(cli, database)
    [row] = cli.rows("account", "list")
    assert (row["id"], row["name"], row["user_name"], row["health"]) == (account, "hook", "admin", "unknown")
    assert "secret" not in told.output + json.dumps(row)


def test_cookies_and_passwords_are_taken_from_files(cli: Cascade, database: Engine, tmp_path: Path) -> None:
    cookies = article(tmp_path, "z_c0=planted-cookie; _xsrf=x", "cookies.txt")
    password = article(tmp_path, "planted-password\nmore", "password.txt")
    words = ("--platform", "zhihu", "--cookies", cookies, "--username", "ana", "--password-file", password)
    cli.ok("account", "add", "ana", *words)
    assert "planted-cookie" in stored(cli, database)
    assert "planted-password" in stored(cli, database)
    assert "more" not in stored(cli, database)


def test_an_account_is_refused_with_what_it_lacks(cli: Cascade, database: Engine, tmp_path: Path) -> None:
    assert "--cookies" in cli.refusal("account", "add", "a", "--platform", "webhook")
    assert "webhook" in cli.refusal("account", "add", "a", "--platform", "nowhere")
    broken = article(tmp_path, "url: [planted-secret", "fields.yaml")
    refused = cli.refusal("account", "add", "a", "--platform", "webhook", "--fields", broken)
    assert "planted-secret" not in refused
    half = ("account", "add", "a", "--platform", "webhook", "--ask", "url")
    assert "secret" in cli.refusal(*half, input=f"{URL}\n")
    add_hook(cli)
    again = ("account", "add", "hook", "--platform", "webhook", "--ask", "url", "--ask", "secret")
    assert "hook" in cli.refusal(*again, input=f"{URL}\n{SECRET}\n")
    assert len(rows_of(database, PublishAccount)) == 1


def test_a_login_is_offered_only_where_there_is_one(cli: Cascade, database: Engine) -> None:
    add_hook(cli)
    assert "account credentials" in cli.refusal("account", "login", "hook")
    cli.ok("account", "check", "hook")
    [row] = rows_of(database, PublishAccount)
    assert row.errand_wanted == "check"


def test_an_article_file_becomes_a_task_once(cli: Cascade, database: Engine, tmp_path: Path) -> None:
    add_hook(cli)
    (tmp_path / "pixel.png").write_bytes(PIXEL)
    text = "---\ntags: [a, b]\nlayout: post\n---\n# Hello\n\n![x](pixel.png) `![y](no.png)`"
    file = article(tmp_path, text)
    told = cli.run("publish", file, "--account", "hook", "--priority", "5")
    assert told.exit_code == 0, told.output
    assert "pixel.png" in told.stderr
    assert "layout" in told.stderr
    assert "./cascade up" in told.stderr
    [row] = rows_of(database, PublishTask)
    assert told.stdout.splitlines()[-1] == row.id
    assert (row.title, row.tags, row.priority, row.state) == ("Hello", ["a", "b"], 5, "pending")
    assert row.content.startswith("![x](data:image/png;base64,")
    assert "![y](no.png)" in row.content
    assert row.id in cli.refusal("publish", file, "--account", "hook")
    assert cli.ok("publish", file, "--account", "hook", "--force") != row.id


def test_one_file_goes_to_several_accounts_and_a_bad_one_never_touches_the_others(
    cli: Cascade, database: Engine, tmp_path: Path
) -> None:
    add_hook(cli, "one")
    add_hook(cli, "other")
    accounts = ("--account", "one", "--account", "nobody", "--account", "other", "--account", "one")
    told = cli.run("publish", article(tmp_path), *accounts)
    assert told.exit_code == 1
    assert "nobody" in told.stderr
    rows = rows_of(database, PublishTask)
    assert sorted(told.stdout.split()) == sorted(row.id for row in rows)
    assert len(rows) == 2
    assert len({row.group_id for row in rows}) == 1


REFUSED = {
    "![x](missing.png)": "missing.png",
    "![x](/etc/hosts.png)": "relative",
    "![x](notes.txt)": "PNG",
    "---\ncover: cover.png\n---\nWords.": "cover",
    "---\ndraft: true\n---\nWords.": "draft",
    "---\ntitle: x\n": "---",
}


def test_an_article_is_refused_with_what_to_change(cli: Cascade, database: Engine, tmp_path: Path) -> None:
    add_hook(cli)
    for text, words in REFUSED.items():
        assert words in cli.refusal("publish", article(tmp_path, text), "--account", "hook")
    assert rows_of(database, PublishTask) == []


def test_a_file_that_is_not_there_is_named(cli: Cascade, tmp_path: Path) -> None:
    assert "missing.md" in cli.refusal("publish", str(tmp_path / "missing.md"), "--account", "hook")


def test_tasks_are_listed_shown_and_changed(cli: Cascade, database: Engine, tmp_path: Path) -> None:
    account = add_hook(cli)
    waiting = cli.ok("publish", article(tmp_path), "--account", "hook")
    failed = cli.ok(
        "publish", article(tmp_path, "# Other\n\nWords."), "--account", account, "--platform", "webhook"
    )
    change(database, PublishTask, failed, state="failed", error_code="rejected", attempts=5)
    assert [row["id"] for row in cli.rows("publish", "list")] == [failed, waiting]
    assert [row["id"] for row in cli.rows("publish", "list", "--status", "failed")] == [failed]
    story = json.loads(cli.ok("publish", "show", waiting, "--json"))
    assert [step["to_state"] for step in story["timeline"]] == ["pending"]
    assert cli.ok("publish", "cancel", waiting) == "cancelled"
    assert "failed" in cli.refusal("publish", "retry", waiting)
    assert cli.ok("publish", "retry", failed) == "pending"


def test_a_person_decides_what_nobody_knows(cli: Cascade, database: Engine, tmp_path: Path) -> None:
    add_hook(cli)
    task = cli.ok("publish", article(tmp_path), "--account", "hook")
    assert "--not-there" in cli.refusal("publish", "confirm", task)
    assert "pending" in cli.refusal("publish", "confirm", task, "--not-there")
    change(database, PublishTask, task, state="unconfirmed")
    assert cli.ok("publish", "confirm", task, "--url", "https://example.com/p/1") == "success"
    [row] = rows_of(database, PublishTask)
    assert row.result_url == "https://example.com/p/1"


def test_accounts_of_one_name_are_told_apart_by_platform_and_owner(
    cli: Cascade, database: Engine, tmp_path: Path
) -> None:
    cli.ok("user", "add", "ana", "--role", "operator", "--password-stdin", input="correct horse battery\n")
    add_hook(cli, "hook")
    hers = add_hook(cli, "hook", "--user", "ana")
    assert "hook" in cli.refusal("publish", article(tmp_path), "--account", "hook")
    cli.ok("publish", article(tmp_path), "--account", "hook", "--user", "ana")
    [row] = rows_of(database, PublishTask)
    assert row.account_id == hers
    assert "1" in cli.refusal("account", "remove", hers)
    cli.ok("publish", "cancel", row.id)
    assert cli.ok("account", "remove", hers) == hers


def test_waiting_makes_no_sense_when_nothing_runs(
    cli: Cascade, database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_hook(cli)
    monkeypatch.setattr("backend.cli.waiting.BEATLESS_SECONDS", 0.0)
    words = ("publish", article(tmp_path), "--account", "hook", "--wait")
    assert "./cascade up" in cli.refusal(*words, code=1)
    assert "./cascade up" in cli.refusal("account", "check", "hook", "--wait", code=1)
