"""A WeRSS database moves in: once, without being touched, and whatever is left is said with its reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from backend.cli.werss_database import opened_werss
from backend.store import credentials
from backend.store.session import create_engine_for, read
from backend.store.tables import (
    Article,
    Delivery,
    Feed,
    MessageTask,
    MessageTaskFeed,
    Node,
    NodeCredential,
    User,
)
from tests.integration.cli.conftest import Cascade
from tests.servers import MariaDb
from tests.standins.werss import (
    DEFAULT_HASH,
    FEED,
    HASH,
    KEY,
    SECRET,
    WerssStandin,
    article,
    feed,
    node,
    task,
    user,
)

ALL = ("feeds", "articles", "users", "nodes", "tasks")


@pytest.fixture
def era(request: pytest.FixtureRequest) -> str:
    """What its tables are called; a test may ask for the plain names too."""
    return str(getattr(request, "param", "we_"))


@pytest.fixture
def werss(era: str, tmp_path: Path) -> Iterator[WerssStandin]:
    """A WeRSS database in a file."""
    standin = WerssStandin.in_file(tmp_path / "db.db", era)
    yield standin
    standin.close()


@pytest.fixture
def here(cli: Cascade, migrated_url: str) -> Cascade:
    """The command on a migrated database."""
    return replace(cli, environment={"DATABASE_URL": migrated_url})


def fill(werss: WerssStandin) -> None:
    """Two accounts, articles of which two are gone, users, tasks of which one says something else here, and a child."""
    werss.add("feeds", feed(), feed(1))
    gone = [article(900, status=1000), article(901, content="DELETED"), article(902, mp_id="MP_WXS_404")]
    werss.add("articles", *(article(number) for number in range(230)), *gone)
    werss.add(
        "users", user("admin", id="0", role="admin", password_hash=DEFAULT_HASH), user("Ana", role="editor")
    )
    werss.add("message_tasks", task(1), task(2, mps_id="[]"), task(3, message_template="{{ now | upper }}"))
    if werss.era:
        werss.add("cascade_nodes", node(), node("parent", id="p", node_type=0))


def run(cascade: Cascade, werss: WerssStandin, *words: str) -> dict[str, Any]:
    """What the import says."""
    said: dict[str, Any] = json.loads(cascade.ok("import-werss", werss.url, *words, "--json"))
    return said


def counts(said: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    """By kind: taken, already here, left."""
    return {
        kind: (one["taken"], one["already_here"], len(one["left"])) for kind, one in said["tables"].items()
    }


def rows(engine: Engine, table: Any) -> list[Any]:
    """Everything in a table of ours."""
    with Session(engine) as session:
        return list(session.scalars(select(table)))


@pytest.mark.parametrize("era", ["we_", ""], ids=["prefixed", "plain"], indirect=True)
def test_everything_moves_in_once_and_the_rest_is_left_with_a_reason(
    here: Cascade, werss: WerssStandin, engine: Engine
) -> None:
    fill(werss)
    nodes = (1, 0, 1) if werss.era else (0, 0, 0)
    expected = {
        "feeds": (2, 0, 0),
        "articles": (230, 0, 3),
        "users": (1, 0, 1),
        "nodes": nodes,
        "tasks": (2, 0, 1),
    }
    assert counts(run(here, werss)) == expected
    assert [rows(engine, table) for table in (Feed, Article, User, NodeCredential, MessageTask)] == [[]] * 5

    said = run(here, werss, "--apply")
    assert counts(said) == expected
    assert [one["code"] for one in said["tables"]["articles"]["left"]] == [
        "werss_deleted",
        "werss_content_deleted",
        "werss_no_feed",
    ]
    assert [one["code"] for one in said["tables"]["users"]["left"]] == ["werss_default_password"]
    assert len(rows(engine, Article)) == 230
    assert rows(engine, Delivery) == []

    again = counts(run(here, werss, "--apply"))
    assert again == {kind: (0, taken, left) for kind, (taken, _, left) in expected.items()}


def test_rows_keep_ids_times_passwords_and_credentials(
    here: Cascade, werss: WerssStandin, engine: Engine
) -> None:
    fill(werss)
    run(here, werss, "--apply")
    one = next(row for row in rows(engine, Feed) if row.id == FEED)
    assert (one.kind, one.faker_id, one.name) == ("wechat", "MzAwMDAwMDAwMQ==", "公众号 0")
    first = next(row for row in rows(engine, Article) if row.id == article(0)["id"])
    assert (first.feed_id, first.content) == (FEED, "<p>body 0</p>")
    assert first.first_stored_at == datetime(2026, 1, 2, 1, tzinfo=UTC)
    [ana] = rows(engine, User)
    assert (ana.name, ana.role, ana.password_hash) == ("ana", "operator", HASH)
    tasks = {row.id: row for row in rows(engine, MessageTask)}
    assert (tasks["1"].time_zone, tasks["1"].enabled, tasks["2"].all_feeds) == ("Asia/Shanghai", True, True)
    assert tasks["1"].next_fire_at is not None
    assert [row.feed_id for row in rows(engine, MessageTaskFeed)] == [FEED]
    known = read(engine, lambda session: credentials.authenticate(session, KEY, SECRET))
    assert known is not None
    assert (known.id, known.name, known.instance) == (node()["id"], "子节点1", "")


def test_what_a_person_changed_here_stays(here: Cascade, werss: WerssStandin, engine: Engine) -> None:
    fill(werss)
    run(here, werss, "--apply")
    with Session(engine) as session:
        changed = session.get_one(Feed, FEED)
        changed.name, changed.is_active = "mine", False
        session.get_one(Article, article(0)["id"]).title = "mine"
        session.commit()
    werss.add("articles", article(500))
    assert counts(run(here, werss, "--apply"))["articles"] == (1, 230, 3)
    with Session(engine) as session:
        assert (session.get_one(Feed, FEED).name, session.get_one(Feed, FEED).is_active) == ("mine", False)
        assert session.get_one(Article, article(0)["id"]).title == "mine"


def test_the_source_is_the_same_afterwards(cli: Cascade, tmp_path: Path) -> None:
    folder = tmp_path / "werss"
    folder.mkdir()
    standin = WerssStandin.in_file(folder / "db.db")
    with standin.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    fill(standin)
    standin.close()

    def state() -> dict[str, tuple[str, int]]:
        return {
            path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in folder.iterdir()
        }

    before = state()
    run(cli, standin, "--apply")
    assert state() == before
    with (
        opened_werss(standin.url) as source,
        source.engine.connect() as open_source,
        pytest.raises(DBAPIError, match="readonly"),
    ):
        open_source.exec_driver_sql("DELETE FROM we_feeds")


@pytest.mark.mariadb
def test_a_mysql_database_moves_in_read_only(cli: Cascade, mariadb: MariaDb) -> None:
    url = mariadb.url(mariadb.create_database())
    standin = WerssStandin(url)
    fill(standin)
    standin.close()
    # WeRSS may leave the driver out of its own setting.
    plain = replace(cli, environment={"WERSS_DATABASE_URL": url.replace("mysql+pymysql", "mysql")})
    said = json.loads(plain.ok("import-werss", "--apply", "--json"))
    assert counts(said)["articles"] == (230, 0, 3)
    with (
        opened_werss(url) as source,
        source.engine.connect() as open_source,
        pytest.raises(DBAPIError, match="READ ONLY"),
    ):
        open_source.exec_driver_sql("DELETE FROM we_feeds")


def test_names_and_keys_that_are_taken_are_left_or_changed(
    here: Cascade, werss: WerssStandin, engine: Engine
) -> None:
    here.ok("node", "add", "子节点1")
    werss.add("feeds", feed(), feed(1, faker_id=feed()["faker_id"], mp_name="twin"))
    werss.add("users", user("ana"), user("ANA ", id="other"))
    werss.add("cascade_nodes", node(), node("n2", id="second"), node("n3", id="third", api_key=None))
    said = run(here, werss, "--apply")
    assert counts(said) == {"feeds": (1, 0, 1), "articles": (0, 0, 0), "users": (1, 0, 1), "nodes": (2, 0, 1), "tasks": (0, 0, 0)}  # fmt: skip
    assert {one["code"] for one in said["tables"]["feeds"]["left"]} == {"werss_taken"}
    assert [one["code"] for one in said["tables"]["nodes"]["remarks"]] == [
        "werss_renamed",
        "werss_no_credentials",
    ]
    assert {row.name for row in rows(engine, Node)} >= {"子节点1", "子节点1 55440000", "n3"}


def test_a_name_that_only_the_database_takes_for_another_is_left(
    here: Cascade, werss: WerssStandin, engine: Engine
) -> None:
    werss.add("users", user("jose"), user("josé"))
    users = run(here, werss, "--apply")["tables"]["users"]
    assert users["taken"] == len(rows(engine, User))
    assert users["taken"] + len(users["left"]) == 2


@pytest.mark.parametrize("era", [""], indirect=True)
def test_of_both_eras_in_one_database_the_filled_one_counts(cli: Cascade, werss: WerssStandin) -> None:
    # A newer WeRSS makes its own tables beside those of the older one, whose rows stay where they are.
    newer = WerssStandin(werss.url, "we_")
    newer.add("cascade_nodes", node())
    newer.close()
    fill(werss)
    said = counts(run(cli, werss))
    assert (said["feeds"], said["articles"][0], said["nodes"]) == ((2, 0, 0), 230, (1, 0, 0))


def test_only_what_is_asked_for_is_taken(cli: Cascade, werss: WerssStandin) -> None:
    fill(werss)
    assert counts(run(cli, werss, "--tables", "users")) == {"users": (1, 0, 1)}
    # Without their feeds, articles have no place.
    assert counts(run(cli, werss, "--tables", "articles")) == {"articles": (0, 0, 233)}
    table = cli.run("import-werss", werss.url)
    assert table.stdout.splitlines()[-1] == "236"
    assert "werss" not in table.stdout.replace("import-werss", "")
    assert "--apply" in table.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "sqlite:///path/to/db.db"),
        (["oracle://x/y"], "sqlite:///path/to/db.db"),
        (["sqlite:////nowhere/db.db"], "no such file"),
        (["postgresql://u:secret@127.0.0.1:1/x"], "psycopg"),
        (["mysql://u:secret@127.0.0.1:1/x"], "127.0.0.1:1/x"),
        (["sqlite:///x", "--tables", "tags"], "tags"),
        (["sqlite:///x", "--time-zone", "Mars"], "Mars"),
    ],
)
def test_a_source_that_can_t_be_read_is_refused_in_one_sentence(
    cli: Cascade, words: list[str], said: str
) -> None:
    sentence = cli.refusal("import-werss", *words)
    assert said in sentence
    assert "secret" not in sentence
    assert not cli.data_dir.exists()


def test_a_database_of_something_else_is_refused(cli: Cascade, tmp_path: Path) -> None:
    other = create_engine_for(f"sqlite:///{tmp_path / 'other.db'}", pooled=False)
    with other.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE something (id INTEGER)")
    assert "holds no tables of WeRSS" in cli.refusal("import-werss", f"sqlite:///{tmp_path / 'other.db'}")
