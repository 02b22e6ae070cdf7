"""`./cascade up` from the outside: ready, guarded, restarting, and gone when it is told to go."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.running import LAUNCH, Up, environment, living
from tests.servers import MariaDb, RedisServer, free_port, wait_until
from tests.standins.feeds import FeedServer

pytestmark = pytest.mark.timeout(300)
PARTS = {
    "redis": r"redis-server|valkey-server",
    "parent": r"gunicorn\.conf\.py",
    "beat": r"backend\.dispatch\.beat",
    "workers": r"--workers 1$",
    "node-1": r"--node node-1$",
}


# Redis, gunicorn with two workers, the beat; for each of the two nodes a supervisor, a worker and a presence.
PROCESSES = 11


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A running system that the tests of this module share; none of them stops it."""
    folder = tmp_path_factory.mktemp("up")
    words = ["--nodes", "1", "--workers", "1", "--capacity", "20"]
    limits = {"CASCADE_EGRESS_ALLOW": "127.0.0.0/8", "CASCADE_ITEM_ATTEMPTS": "1"}
    with Up(folder / "var", *words, **limits) as up:
        up.wait_ready()
        # Ready is what serves people; the node's own workers may come a moment later.
        wait_until(lambda: len(list(up.look())) >= PROCESSES, 60, "every process of the system")
        wait_until(lambda: " node-1[" in up.log, 60, "a word of the node")
        yield up


def test_it_says_ready_when_it_is(system: Up) -> None:
    assert system.lines[-1] == f"ready http://127.0.0.1:{system.port}"
    status, _ = system.get("/readyz")
    assert status == 200


def test_the_admin_s_password_is_shown_once_works_and_is_in_no_log(system: Up) -> None:
    [line] = [one for one in system.lines if "admin" in one]
    password = line.rsplit(" ", 1)[1]
    body = {"username": "admin", "password": password}
    status, answer = system.request("POST", "/api/v1/auth/login", body)
    assert status == 200
    assert answer["data"]["access_token"]
    assert password not in system.log


def test_every_part_runs_and_no_secret_is_on_a_command_line(system: Up) -> None:
    assert all(system.part(sign) for sign in PARTS.values())
    secrets = [
        (system.data_dir / "secret.key").read_text().strip(),
        (system.data_dir / "redis.url").read_text().split("@")[0].removeprefix("unix://:"),
    ]
    lines = [" ".join(one.cmdline()) for one in system.look()]
    assert len(lines) >= PROCESSES
    assert not [line for line in lines if any(secret in line for secret in secrets)]
    assert not [secret for secret in secrets if secret in system.log]


def test_every_line_of_the_log_says_which_part_speaks(system: Up) -> None:
    heads = [line.split(" ")[3] for line in system.log.splitlines() if line[:2] == "20"]
    assert {head.split("[")[0] for head in heads} >= {"up", "parent", "beat", "node-1"}
    assert len(heads) == len(system.log.splitlines())


def test_a_second_up_on_the_same_directory_is_refused(system: Up) -> None:
    sentence = refusal("up", "--data-dir", str(system.data_dir), "--port", str(free_port()))
    assert str(system.process.pid) in sentence
    assert str(system.data_dir) in sentence


def test_the_port_of_a_running_system_is_refused_to_another(system: Up, tmp_path: Path) -> None:
    sentence = refusal("up", "--data-dir", str(tmp_path / "other"), "--port", str(system.port))
    assert f"Port {system.port} on 127.0.0.1 is taken" in sentence


def test_status_and_check_find_everything_in_order(system: Up) -> None:
    wait_until(lambda: system.run("check").returncode == 0, 30, "a check without problems")
    assert system.run("check").stdout.splitlines()[-1] == "ok"
    status = system.run("status")
    assert (status.returncode, status.stdout.splitlines()[-1]) == (0, "ready")
    assert "node-1" in status.stdout


@pytest.mark.parametrize("name", PARTS)
def test_a_killed_part_comes_back(system: Up, name: str) -> None:
    before = system.part(PARTS[name])
    assert before is not None
    children = before.children(recursive=True)
    before.kill()

    def replaced() -> bool:
        now = system.part(PARTS[name])
        return now is not None and now.pid != before.pid and system.get("/readyz")[0] == 200

    wait_until(replaced, 60, f"another {name}")
    assert not living(children), "what the killed part had started must not stay"
    system.look()


def test_a_dispatch_is_waited_for_and_tells_what_failed(system: Up, tmp_path: Path) -> None:
    with FeedServer(12, broken=3, articles=2) as feeds:
        (tmp_path / "feeds.opml").write_text(feeds.opml())
        assert system.run("feed", "import", str(tmp_path / "feeds.opml")).stdout == "12\n"
        task = system.run("task", "add", "--name", "t", "--feeds", "all").stdout.strip()
        done = system.run("dispatch", "--task", task, "--wait")
        assert done.returncode == 1, done.stderr
        assert "9 feeds done, 3 failed" in done.stdout
        assert "18 articles, 18 new" in done.stdout
        assert all(feeds.feed_url(number) in done.stdout for number in (9, 10, 11))
        good = system.run("feed", "add", feeds.feed_url(0) + "?again").stdout.strip()
        only = system.run("task", "add", "--name", "good", "--feed", good).stdout.strip()
        fine = system.run("dispatch", "--task", only, "--wait")
        assert fine.returncode == 0, fine.stdout + fine.stderr
        assert len(fine.stdout.splitlines()[-1]) == 36, "the run's id is the last line"
        assert "1 of 1 ended, 0 failed" in fine.stderr
        code, shown = system.run_on_terminal("dispatch", "--task", only, "--wait")
        assert code == 0
        assert "━" in shown, "a terminal gets a bar"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_within_ten_seconds(tmp_path: Path, how: signal.Signals) -> None:
    given = {"CASCADE_ADMIN_PASSWORD": "a given secret"}
    with Up(tmp_path / "var", "--nodes", "2", **given) as up:
        up.wait_ready()
        assert "a given secret" not in up.log + "".join(up.lines)
        code, seconds = up.end(how)
        assert code == 0, up.log
        assert seconds < 10
        assert not living(up.family)
    with Up(tmp_path / "var", "--nodes", "0") as again:
        again.wait_ready()
        assert [line for line in again.lines if "admin" in line] == [], "the user is made once"
        assert again.part("--node") is None
        assert (
            again.request("POST", "/api/v1/auth/login", {"username": "admin", "password": "a given secret"})[
                0
            ]
            == 200
        )


def test_a_stop_while_it_starts_leaves_nobody_behind(tmp_path: Path) -> None:
    with Up(tmp_path / "var") as up:
        wait_until(lambda: len(up.look()) >= 4, 30, "some parts")
        code, seconds = up.end(signal.SIGTERM)
        assert code == 0, up.log
        assert seconds < 10
        assert not living(up.family)


def test_a_killed_supervisor_leaves_no_orphans_and_the_next_start_works(tmp_path: Path) -> None:
    with Up(tmp_path / "var", "--nodes", "1") as up:
        up.wait_ready()
        up.end(signal.SIGKILL)
        wait_until(lambda: not living(up.family), 20, "the end of every process")
    with Up(tmp_path / "var", "--nodes", "1") as again:
        again.wait_ready()


def test_it_runs_on_mariadb_and_an_external_redis(
    tmp_path: Path, mariadb: MariaDb, redis_server: RedisServer
) -> None:
    name = mariadb.create_database()
    told = {"DATABASE_URL": mariadb.url(name), "REDIS_URL": redis_server.url, "LANG": "zh_CN.UTF-8"}
    with Up(tmp_path / "var", "--nodes", "1", "--host", "0.0.0.0", **told) as up:
        up.wait_ready()
        assert up.lines[-1] == f"ready http://127.0.0.1:{up.port}"
        assert up.part("redis-server") is None
        assert not (tmp_path / "var" / "cascade.db").exists()
        assert up.end(signal.SIGINT)[0] == 0
        assert not living(up.family)
    mariadb.drop_database(name)


# what is refused


def refusal(*words: str, **told: str) -> str:
    """Run a command that must be refused: code 2, one sentence, nothing on stdout, and nothing left running."""
    done = subprocess.run(
        [*LAUNCH, *words], env=environment(**told), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert not done.stdout
    assert "Traceback" not in done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("cascade: ")]
    assert len(sentences) == 1, done.stderr
    return sentences[0]


def started(data_dir: Path) -> list[psutil.Process]:
    """Processes that work on the data directory."""
    found = []
    for process in psutil.process_iter(["environ", "cmdline"]):
        told = {**(process.info["environ"] or {})}.get("CASCADE_DATA_DIR")
        if told == str(data_dir) or str(data_dir) in " ".join(process.info["cmdline"] or ()):
            found.append(process)
    return living(found)


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"Port {port} on 127.0.0.1 is taken" in refusal(
            "up", "--data-dir", str(tmp_path / "var"), "--port", str(port)
        )
    assert not started(tmp_path / "var")


@pytest.mark.parametrize("below", ["", "var"])
def test_a_directory_that_can_t_be_written_is_refused(tmp_path: Path, below: str) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert str(blocked) in refusal("up", "--data-dir", str(blocked / below), "--port", str(free_port()))
    assert "/proc/cascade" in refusal("up", "--data-dir", "/proc/cascade", "--port", str(free_port()))


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    words = ["up", "--data-dir", str(tmp_path / "var"), "--port", str(free_port())]
    assert "192.0.2.7" in refusal(*words, "--host", "192.0.2.7")


def test_a_child_s_machine_is_told_the_child_s_command(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("cascade:\n  enabled: true\n  node_type: child\n")
    words = ["up", "--data-dir", str(tmp_path / "var"), "--config", str(config)]
    assert "./cascade child" in refusal(*words)
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"CASCADE_PORT": "eighty"}, "CASCADE_PORT"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL"),
        ({"CASCADE_CONFIG": "/nowhere/config.yaml"}, "/nowhere/config.yaml"),
        ({"CASCADE_ADMIN_PASSWORD": "short"}, "CASCADE_ADMIN_PASSWORD"),
        ({"DATABASE_URL": "mysql+pymysql://u:the-secret@127.0.0.1:{port}/d"}, "127.0.0.1:{port}"),
        ({"REDIS_URL": "redis://:the-secret@127.0.0.1:{port}/0"}, "127.0.0.1:{port}"),
        ({"REDIS_URL": "the-secret"}, "REDIS_URL"),
        ({"DATABASE_URL": "the-secret"}, "DATABASE_URL"),
    ],
)
def test_settings_that_can_t_work_are_refused_and_nothing_stays(
    tmp_path: Path, told: dict[str, str], said: str
) -> None:
    port = str(free_port())
    given = {name: value.format(port=port) for name, value in told.items()}
    words = ["up", "--data-dir", str(tmp_path / "var")]
    if "CASCADE_PORT" not in told:
        words += ["--port", str(free_port())]
    sentence = refusal(*words, **given)
    assert said.format(port=port) in sentence
    assert "the-secret" not in sentence
    assert not started(tmp_path / "var")


def test_the_lock_is_gone_with_its_process_whatever_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "up.lock").write_text(f"{os.getpid()}\n")
    with Up(tmp_path / "var", "--nodes", "0") as up:
        up.wait_ready()
