"""`cascade child join`, `--check`, `--once` and `sync`, against a parent that answers over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from werkzeug.serving import make_server

from backend.api.app import create_app
from backend.bootstrap import build_engine, load_settings
from backend.cli.child_diagnosis import clock_skew
from backend.store.tables import Node
from config import Settings
from tests.building import rows_of
from tests.integration.cli.conftest import Cascade
from tests.servers import free_port
from tests.standins.certificates import certificate
from tests.standins.odd_http import OddServer

HERE = {"CASCADE_EGRESS_ALLOW": "127.0.0.0/8"}


class Parent:
    """A parent's command line, and its HTTP server in a thread of this process."""

    def __init__(self, folder: Path) -> None:
        self.cli = Cascade(folder, dict(HERE))
        self.cli.ok("db", "upgrade")
        self.cli.ok("feed", "list")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> Settings:
        """As its server has them."""
        return load_settings(data_dir=self.cli.data_dir)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer until the end of the block."""
        server = make_server("127.0.0.1", self.port, create_app(self.settings), threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(10)
            server.server_close()

    def token(self) -> str:
        """A token for the node Lyon."""
        return self.cli.ok("node", "token", "Lyon").split()[-1]

    def node(self) -> Node:
        """Lyon, as the database has it."""
        engine = build_engine(self.settings, pooled=False)
        nodes: list[Node] = [one for one in rows_of(engine, Node) if one.name == "Lyon"]
        return nodes[0]


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Parent]:
    """A parent that answers."""
    found = Parent(tmp_path / "parent")
    with found.serving():
        yield found


@pytest.fixture
def child(tmp_path: Path) -> Cascade:
    """A machine that is no child yet."""
    return Cascade(tmp_path / "child", dict(HERE))


def join(child: Cascade, parent: Parent) -> str:
    """Join; what the command said."""
    result = child.run("child", "join", parent.url, parent.token())
    assert result.exit_code == 0, result.output
    return result.output


def section(child: Cascade) -> dict[str, object]:
    """What stands under `cascade` in the child's config.yaml."""
    found: dict[str, object] = yaml.safe_load((child.data_dir / "config.yaml").read_text())["cascade"]
    return found


def test_one_command_makes_a_child_and_shows_no_secret(parent: Parent, child: Cascade) -> None:
    child.data_dir.mkdir()
    (child.data_dir / "config.yaml").write_text("# ours\nlog_level: WARNING\n")
    said = join(child, parent)
    file = child.data_dir / "config.yaml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().startswith("# ours\nlog_level: WARNING\n")
    assert str(section(child)["api_key"]) in said
    assert str(section(child)["api_secret"]) not in said
    assert said.splitlines()[-1] == "ok"
    # The check leaves the node's place free for the child that starts next.
    assert parent.node().presence_at is None


def test_a_token_works_once_and_a_wrong_one_changes_nothing(
    parent: Parent, child: Cascade, tmp_path: Path
) -> None:
    token = parent.token()
    assert child.run("child", "join", parent.url, "-", input=f"{token}\n").exit_code == 0
    other = Cascade(tmp_path / "other", dict(HERE))
    assert "used already" in other.refusal("child", "join", parent.url, token)
    assert not (other.data_dir / "config.yaml").exists()


def test_a_token_is_not_spent_where_its_answer_can_t_be_kept(
    parent: Parent, child: Cascade, tmp_path: Path
) -> None:
    token, blocked = parent.token(), tmp_path / "a-file"
    blocked.write_text("")
    said = child.refusal("child", "join", parent.url, token, "--config", str(blocked / "config.yaml"))
    assert "can't be written" in said
    assert child.run("child", "join", parent.url, token).exit_code == 0


def test_an_environment_that_says_otherwise_is_named(parent: Parent, child: Cascade) -> None:
    child.environment["CASCADE_API_KEY"] = "CNfrombefore"
    result = child.run("child", "join", parent.url, parent.token())
    assert result.exit_code == 1
    assert "unset CASCADE_API_KEY" in result.output


def check(child: Cascade, problem: str) -> str:
    """`child --check`, which must find exactly this problem; what it says of it."""
    result = child.run("child", "--check")
    found = [line for line in result.stdout.splitlines() if line.startswith("FAIL")]
    assert [line.split()[1] for line in found] == [f"{problem}:"], result.output
    assert result.exit_code == 1
    fix = result.stdout.split(found[0], 1)[1].splitlines()[1]
    assert fix.strip().startswith("->")
    return f"{found[0]} {fix}"


def told_elsewhere(child: Cascade, url: str) -> None:
    """The same child, with another address of its parent."""
    child.environment["CASCADE_PARENT_URL"] = url


def test_the_check_says_what_is_wrong_on_the_way(parent: Parent, child: Cascade, tmp_path: Path) -> None:
    join(child, parent)
    told_elsewhere(child, "http://localhost:1")
    assert "refuses the connection" in check(child, "connection")
    context, _own = certificate(tmp_path)
    with OddServer({}, context) as server:
        told_elsewhere(child, server.url)
        assert "certificate" in check(child, "tls")
    told_elsewhere(child, parent.url)
    child.environment["CASCADE_API_SECRET"] = "CSwrongwrongwrong"
    assert "node credentials NAME" in check(child, "credentials")


def test_the_check_names_a_host_without_an_address(
    parent: Parent, child: Cascade, monkeypatch: pytest.MonkeyPatch
) -> None:
    join(child, parent)

    def unknown(*_: object, **__: object) -> list[object]:
        raise OSError(-2, "Name or service not known")

    # The tests' own guard lets no question leave this machine.
    monkeypatch.setattr("backend.cli.child_diagnosis.socket.getaddrinfo", unknown)
    told_elsewhere(child, "https://parent.invalid")
    assert "parent.invalid has no address" in check(child, "dns")


def test_the_check_sees_that_the_node_was_switched_off(parent: Parent, child: Cascade) -> None:
    join(child, parent)
    parent.cli.ok("node", "set", "Lyon", "--off")
    assert "switched on" in check(child, "credentials")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Thu, 01 Jan 1970 00:01:40 GMT", -0.5),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 89.5),
        ("soon", None),
        ("", None),
    ],
)
def test_the_clock_is_compared_with_the_middle_of_the_parent_s_second(
    header: str, expected: float | None
) -> None:
    assert clock_skew({"date": header}, 99.0, 101.0) == expected


def test_a_round_without_work_beats_and_leaves_and_a_parent_that_is_away_is_said(
    parent: Parent, child: Cascade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.workers.once.CLAIM_SECONDS", 0.0)
    join(child, parent)
    beats = parent.node().beat_count
    assert child.ok("child", "--once").startswith("0 pieces of work claimed, 0 worked")
    assert parent.node().beat_count > beats
    assert parent.node().presence_at is None
    told_elsewhere(child, "http://127.0.0.1:1")
    assert "does not answer" in child.refusal("child", "--once", code=1)


def test_a_sync_pulls_the_lists_and_says_when_nothing_changed(
    parent: Parent, child: Cascade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.workers.once.CLAIM_SECONDS", 0.0)
    parent.cli.ok("feed", "add", "http://127.0.0.1:9/feed.xml")
    join(child, parent)
    lines = child.run("child", "sync").stdout.splitlines()
    assert lines[:2] == ["1 feeds pulled", "0 message tasks pulled"]
    lines = child.run("child", "sync").stdout.splitlines()
    assert lines[:2] == ["feeds: unchanged", "message tasks: unchanged"]
    logs = child.rows("child", "sync-logs")
    assert sorted((one["operation"], one["data_count"], one["error"]) for one in logs) == [
        ("sync_feeds", 1, ""),
        ("sync_tasks", 0, ""),
    ]
