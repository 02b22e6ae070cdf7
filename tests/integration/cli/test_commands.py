"""Each command on a data directory of its own, without anything running."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from backend.bootstrap import build_engine, load_settings
from backend.store.passwords import verify_password
from backend.store.schema import schema_state
from backend.store.session import read
from backend.store.users import find_user
from tests.integration.cli.conftest import Cascade
from tests.servers import MariaDb, RedisServer, free_port

OPML = """<?xml version="1.0" encoding="UTF-8"?>
<opml version="2.0"><head><title>t</title></head><body>
<outline text="folder">
<outline type="rss" text="A" xmlUrl="https://a.example/feed.xml"/>
<outline type="rss" text="B" xmlUrl="https://b.example/feed.xml"/>
</outline>
<outline type="rss" text="bad" xmlUrl="ftp://c.example/feed.xml"/>
<outline text="empty"/>
</body></opml>
"""


def test_the_first_command_makes_the_database_and_says_so(cli: Cascade) -> None:
    first = cli.run("feed", "add", "https://a.example/feed.xml")
    assert first.exit_code == 0
    assert str(cli.data_dir / "cascade.db") in first.stderr
    assert len(first.stdout.splitlines()) == 1
    second = cli.run("feed", "add", "https://b.example/feed.xml")
    assert not second.stderr
    assert stat.S_IMODE((cli.data_dir / "secret.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(cli.data_dir.stat().st_mode) == 0o700


def test_a_feed_is_added_once_and_listed(cli: Cascade) -> None:
    feed_id = cli.ok("feed", "add", "https://a.example/feed.xml", "--name", "公众号 [bold]")
    [row] = cli.rows("feed", "list")
    assert (row["id"], row["name"], row["url"]) == (feed_id, "公众号 [bold]", "https://a.example/feed.xml")
    assert feed_id in cli.refusal("feed", "add", "https://a.example/feed.xml")
    assert "公众号 [bold]" in cli.run("feed", "list").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "'nonsense' is not the address of a feed"),
        (["https://user:secret@a.example/"], "user name or password"),
        (["https://a.example/", "--kind", "carrier-pigeon"], "carrier-pigeon"),
    ],
)
def test_a_feed_that_can_t_be_is_refused_before_anything_is_made(
    cli: Cascade, words: list[str], said: str
) -> None:
    sentence = cli.refusal("feed", "add", *words)
    assert said in sentence
    assert "user:secret" not in sentence
    assert not cli.data_dir.exists()


def test_opml_is_imported_once_and_each_refused_line_is_named(cli: Cascade, tmp_path: Path) -> None:
    file = tmp_path / "feeds.opml"
    file.write_text(OPML)
    first = cli.run("feed", "import", str(file))
    assert (first.exit_code, first.stdout) == (0, "2\n")
    assert f"{file}:7: ftp://c.example/feed.xml" in first.stderr
    assert f"{file}:8: empty" in first.stderr
    assert cli.ok("feed", "import", "-", input=OPML) == "0"
    assert {row["name"] for row in cli.rows("feed", "list")} == {"A", "B"}


def test_files_that_can_t_be_read_are_refused(cli: Cascade, tmp_path: Path) -> None:
    assert "nowhere.opml" in cli.refusal("feed", "import", str(tmp_path / "nowhere.opml"))
    (tmp_path / "bad.opml").write_text("<opml>")
    assert "OPML" in cli.refusal("feed", "import", str(tmp_path / "bad.opml"))
    assert "nowhere.txt" in cli.refusal(
        "task", "add", "--name", "t", "--feeds", "all", "--template", "nowhere.txt"
    )


def test_a_task_keeps_its_receiver_secret(cli: Cascade, tmp_path: Path) -> None:
    feed_id = cli.ok("feed", "add", "https://a.example/feed.xml")
    (tmp_path / "template.txt").write_text("{{ feed.name }}", encoding="utf-8")
    task_id = cli.ok(
        *("task", "add", "--name", "早报", "--feed", feed_id, "--message-type", "1"),
        *("--template", str(tmp_path / "template.txt"), "--web-hook-url", "https://hook.example/token-123"),
        *("--headers", '{"X-Token": "t"}', "--cookies", "a=b", "--cron", "0 9 * * *"),
        *("--time-zone", "Asia/Shanghai"),
    )
    [row] = cli.rows("task", "list")
    assert (row["id"], row["name"], row["feeds"], row["receiver"]) == (task_id, "早报", 1, "hook.example")
    assert "token-123" not in cli.run("task", "list").output
    assert b"token-123" not in (cli.data_dir / "cascade.db").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Say which feeds"),
        (["--feeds", "all", "--feed", "x"], "Say which feeds"),
        (["--feed", "no-such-feed"], "feed_ids: 1 of the feeds do not exist"),
        (["--feeds", "all", "--cron", "whenever"], "cron_exp: 'whenever' is not a schedule"),
        (["--feeds", "all", "--time-zone", "Mars"], "time_zone: 'Mars'"),
        (["--feeds", "all", "--headers", "X: y"], "headers: "),
    ],
)
def test_a_task_that_can_t_be_is_refused_by_field(cli: Cascade, words: list[str], said: str) -> None:
    assert said in cli.refusal("task", "add", "--name", "t", *words)


def test_users_are_added_and_their_passwords_changed(cli: Cascade) -> None:
    user_id = cli.ok("user", "add", "Mia", "--role", "operator", "--password-stdin", input="first secret\n")
    assert cli.ok("user", "password", "mia", "--password-stdin", input="second secret\n") == user_id
    [row] = cli.rows("user", "list")
    assert (row["name"], row["role"]) == ("mia", "operator")
    assert "password" not in " ".join(row)
    engine = build_engine(load_settings(data_dir=cli.data_dir), pooled=False)
    known = read(engine, lambda session: find_user(session, "mia"))
    assert known is not None
    assert verify_password(known.password_hash, "second secret")
    assert known.user.token_version == 2


def test_a_password_is_asked_for_twice_and_never_shown(cli: Cascade) -> None:
    result = cli.run("user", "add", "mia", "--role", "viewer", input="a good secret\na good secret\n")
    assert result.exit_code == 0
    assert "a good secret" not in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "mia", "--role", "viewer", "--password-stdin"], "password: A password needs at least 8"),
        (["password", "nobody", "--password-stdin"], "There is no user nobody"),
    ],
)
def test_people_s_mistakes_are_sentences(cli: Cascade, words: list[str], said: str) -> None:
    assert said in cli.refusal("user", *words, input="short\n")


def test_a_user_is_given_another_role_switched_off_and_on_and_deleted(cli: Cascade) -> None:
    ana = cli.ok("user", "add", "ana", "--role", "admin", "--password-stdin", input="first secret\n")
    for words in (["role", "ana", "viewer"], ["disable", "ana"], ["delete", "ana"]):
        assert "ana is the last active admin" in cli.refusal("user", *words)
    cli.ok("user", "add", "ben", "--role", "admin", "--password-stdin", input="first secret\n")
    assert cli.ok("user", "role", "Ana", "viewer") == cli.ok("user", "disable", "ana") == ana
    assert [(row["role"], row["is_active"]) for row in cli.rows("user", "list")] == [
        ("viewer", False),
        ("admin", True),
    ]
    assert cli.ok("user", "enable", "ana") == cli.ok("user", "delete", "ana") == ana
    assert "There is no user ana" in cli.refusal("user", "enable", "ana")


def test_an_access_key_is_shown_once_listed_and_revoked(cli: Cascade) -> None:
    cli.ok("user", "add", "ana", "--role", "operator", "--password-stdin", input="first secret\n")
    pair = cli.ok("key", "add", "ana", "--name", "nightly", "--role", "viewer", "--days", "30")
    assert re.fullmatch(r"WK[A-Za-z0-9]{32}:SK[A-Za-z0-9]{32}", pair)
    [row] = cli.rows("key", "list", "--user", "ana")
    assert (row["user_name"], row["name"], row["role"]) == ("ana", "nightly", "viewer")
    assert row["access_key"] == pair.partition(":")[0]
    assert pair.partition(":")[2] not in cli.run("key", "list").output
    assert "may not do more than its user" in cli.refusal(
        "key", "add", "ana", "--name", "x", "--role", "admin"
    )
    assert cli.ok("key", "revoke", row["id"]) == row["id"]
    assert cli.rows("key", "list") == []
    assert "There is no access key" in cli.refusal("key", "revoke", row["id"])


def test_a_dispatch_without_anything_running_commits_and_says_when_work_starts(cli: Cascade) -> None:
    cli.ok("feed", "add", "https://a.example/feed.xml")
    cli.ok("task", "add", "--name", "t", "--feeds", "all")
    result = cli.run("dispatch", "--task", "t")
    assert result.exit_code == 0
    assert "the work starts with the next ./cascade up" in result.stderr
    [run] = json.loads(cli.run("status", "--json").stdout)["runs"]
    assert result.stdout.splitlines()[-1] == run["run_id"]
    assert run["items"] == {"waiting": 1}


def test_waiting_for_work_that_nobody_does_ends_at_once(cli: Cascade) -> None:
    cli.ok("feed", "add", "https://a.example/feed.xml")
    cli.ok("task", "add", "--name", "t", "--feeds", "all")
    assert "Nothing runs" in cli.refusal("dispatch", "--wait", code=1)
    assert json.loads(cli.run("status", "--json").stdout)["waiting"][0]["count"] == 1, (
        "the dispatch itself stands"
    )


def test_dispatching_what_does_not_exist_is_refused(cli: Cascade) -> None:
    assert "no-such-task" in cli.refusal("dispatch", "--task", "no-such-task")
    assert "no enabled message task" in cli.refusal("dispatch")


def test_errors_and_notes_are_chinese_under_a_chinese_locale(cli: Cascade) -> None:
    cli.environment["LANG"] = "zh_CN.UTF-8"
    assert "不是订阅源地址" in cli.refusal("feed", "add", "nonsense")
    assert "已创建数据库" in cli.run("feed", "list").stderr
    assert "找不到运行记录、工作项、分配任务、推送或发布任务 nothing" in cli.refusal("why", "nothing")


def test_nodes_say_in_chinese_why_they_get_no_work(cli: Cascade) -> None:
    cli.environment["LANG"] = "zh_CN.UTF-8"
    cli.ok("node", "add", "child")
    reasons = [one["reason"] for one in cli.rows("node", "list") if one["name"] == "child"]
    assert reasons
    assert all(re.search("[\u4e00-\u9fff]", one) for one in reasons)


def test_status_says_what_waits_and_why(cli: Cascade) -> None:
    cli.ok("feed", "add", "https://a.example/feed.xml")
    cli.ok("task", "add", "--name", "t", "--feeds", "all")
    cli.ok("dispatch")
    result = cli.run("status")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "not ready"
    assert "there is no node; add one with" in result.stdout
    assert "no beat was seen" in result.stdout


def test_status_tells_a_redis_that_does_not_answer_from_none(cli: Cascade) -> None:
    cli.ok("init")
    assert "there is no address" in cli.run("status").stdout
    cli.environment = {"REDIS_URL": "redis://127.0.0.1:9/0"}
    said = cli.run("status").stdout
    assert "does not answer" in said
    assert "there is no address" not in said


def test_status_and_check_make_nothing(cli: Cascade) -> None:
    assert "There is no database" in cli.run("status").stderr
    assert cli.run("status").exit_code == 1
    assert cli.run("check").exit_code == 1
    assert not cli.data_dir.exists()


def test_db_upgrade_brings_an_empty_database_to_this_version(cli: Cascade) -> None:
    assert cli.ok("db", "upgrade") == "current"
    assert cli.ok("db", "upgrade") == "current"
    engine = build_engine(load_settings(data_dir=cli.data_dir), pooled=False)
    assert schema_state(engine) == "current"


def test_another_version_s_schema_is_left_alone(cli: Cascade) -> None:
    cli.ok("db", "upgrade")
    engine = build_engine(load_settings(data_dir=cli.data_dir), pooled=False)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    cli.refusal("feed", "list")
    cli.refusal("db", "upgrade")
    assert schema_state(engine) == "unknown"


def test_a_data_directory_that_is_a_file_is_refused(cli: Cascade) -> None:
    cli.data_dir.write_text("")
    assert str(cli.data_dir) in cli.refusal("feed", "list")


def test_a_file_that_is_no_database_is_refused(cli: Cascade) -> None:
    cli.data_dir.mkdir()
    (cli.data_dir / "cascade.db").write_text("this is no database, however long it may be" * 100)
    assert "cascade.db" in cli.refusal("feed", "list")


@pytest.mark.parametrize("url", ["postgresql://u:the-secret@h/d", "mysql://u:the-secret@h/d", "the-secret"])
def test_a_database_that_we_do_not_speak_to_is_refused(cli: Cascade, url: str) -> None:
    cli.environment["DATABASE_URL"] = url
    sentence = cli.refusal("feed", "list")
    assert "DATABASE_URL" in sentence
    assert "the-secret" not in sentence


def test_a_database_that_does_not_answer_is_named_without_its_password(cli: Cascade) -> None:
    cli.environment["DATABASE_URL"] = f"mysql+pymysql://u:the-secret@127.0.0.1:{free_port()}/cascade"
    sentence = cli.refusal("feed", "list")
    assert "127.0.0.1" in sentence
    assert "the-secret" not in sentence


def test_a_wrong_database_password_is_a_sentence(cli: Cascade, mariadb: MariaDb) -> None:
    cli.environment["DATABASE_URL"] = f"mysql+pymysql://cascade:the-secret@127.0.0.1:{mariadb.port}/cascade"
    sentence = cli.refusal("feed", "list")
    assert "Access denied" in sentence
    assert "the-secret" not in sentence


def test_commands_work_on_mariadb_and_an_external_redis(
    cli: Cascade, mariadb: MariaDb, redis_server: RedisServer
) -> None:
    name = mariadb.create_database()
    cli.environment |= {"DATABASE_URL": mariadb.url(name), "REDIS_URL": redis_server.url}
    made = cli.run("feed", "add", "https://a.example/feed.xml")
    assert f"127.0.0.1:{mariadb.port}/{name}" in made.stderr
    cli.ok("task", "add", "--name", "t", "--feeds", "all")
    cli.ok("dispatch")
    found = {row["subject"]: row for row in json.loads(cli.run("check", "--json").stdout)}
    assert "MariaDB" in found["database"]["detail"]
    assert not found["redis"]["problem"]
    assert found["beat"]["problem"]
    mariadb.drop_database(name)
