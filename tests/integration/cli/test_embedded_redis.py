"""The embedded Redis as a real server: it keeps data, wants its password, and lives in any directory."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from backend.cli import embedded_redis
from backend.cli.embedded_redis import EmbeddedRedis, choose_program, packaged_program, prepare, version_of
from backend.cli.parts import Part
from backend.cli.system import Size, System
from backend.domain.errors import ConfigurationError
from config import load
from tests.servers import wait_until


@contextmanager
def running(server: EmbeddedRedis) -> Iterator[Part]:
    """The server, answering; killed at the end when it still runs."""
    part = Part(server.recipe(os.environ, 0))
    try:
        wait_until(lambda: server.answers() or part.has_ended(), 20, "an answer")
        part.read()
        assert not part.has_ended(), list(server.words)
        yield part
    finally:
        part.clear()


def stop(part: Part) -> None:
    """As the supervisor does it."""
    part.ask_to_stop()
    wait_until(part.has_ended, 10, "the end of the server")


@pytest.fixture(params=["machine", "package"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> EmbeddedRedis:
    """A prepared server: once the machine's own program, once the one from the package."""
    made = prepare(tmp_path, "INFO")
    packaged = packaged_program()
    assert packaged is not None
    return made if request.param == "machine" else replace(made, program=packaged)


def test_what_is_queued_survives_a_stop_and_a_start(server: EmbeddedRedis) -> None:
    with running(server) as part, Redis.from_url(server.url) as client:
        client.lpush("rq:queue:node:a", "job")
        stop(part)
    with running(server), Redis.from_url(server.url) as client:
        assert client.lrange("rq:queue:node:a", 0, -1) == [b"job"]


def test_what_is_queued_survives_a_kill(server: EmbeddedRedis) -> None:
    with running(server) as part, Redis.from_url(server.url) as client:
        client.lpush("queue", "job")
        # Until a second has passed only the kernel has it; that is enough when a process dies.
        os.kill(part.pid, signal.SIGKILL)
        wait_until(part.has_ended, 10, "the end of the server")
    with running(server), Redis.from_url(server.url) as client:
        assert client.lrange("queue", 0, -1) == [b"job"]


def test_nobody_gets_in_without_the_password(server: EmbeddedRedis) -> None:
    with running(server), Redis(unix_socket_path=str(server.socket)) as client:
        with pytest.raises(AuthenticationError):
            client.ping()
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o600


def test_files_with_the_password_are_for_their_owner_only(tmp_path: Path) -> None:
    server = prepare(tmp_path, "INFO")
    for path in (server.configuration_file, tmp_path / "redis.url"):
        assert server.password in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_password_stays_the_same_over_restarts(tmp_path: Path) -> None:
    assert prepare(tmp_path, "INFO").url == prepare(tmp_path, "INFO").url


@pytest.mark.parametrize(
    "name", ["with space", 'quo"te', "back\\slash", "数据", "percent%20", "hash#and?", "x" * 120]
)
def test_it_runs_in_any_directory(tmp_path: Path, name: str) -> None:
    server = prepare(tmp_path / name, "WARNING")
    try:
        with running(server), Redis.from_url(server.url) as client:
            client.set("key", "value")
        assert (server.folder / "appendonlydir").exists() or (server.folder / "appendonly.aof").exists()
    finally:
        server.cleaned_up()
    assert len(os.fsencode(server.socket)) <= 100
    assert server.scratch is None or not server.scratch.exists()


def test_a_server_that_outlived_its_supervisor_is_shut_down(tmp_path: Path) -> None:
    with running(prepare(tmp_path, "INFO")) as part:
        assert embedded_redis.end_leftover(tmp_path)
        wait_until(part.has_ended, 10, "the end of the server")
    assert not embedded_redis.end_leftover(tmp_path)


def program(folder: Path, shown: str) -> str:
    """A program that only tells a version."""
    path = folder / "redis-server"
    path.write_text(f"#!/bin/sh\necho '{shown}'\n")
    path.chmod(0o755)
    return str(path)


def test_the_machine_s_server_is_used_only_when_it_is_new_enough(tmp_path: Path) -> None:
    packaged = Path("/package/valkey-server")
    old = program(tmp_path, "Redis server v=6.0.16 sha=00000000:0")
    assert choose_program(old, packaged) == packaged
    new = program(tmp_path, "Redis server v=6.2.0 sha=00000000:0")
    assert choose_program(new, packaged) == Path(new)
    assert choose_program(None, packaged) == packaged
    assert choose_program(None, None) is None
    assert version_of("/nowhere/redis-server") == (0, 0)


def test_a_server_that_can_t_start_is_one_sentence_with_its_own_reason(tmp_path: Path) -> None:
    prepare(tmp_path, "INFO")
    damaged = tmp_path / "redis" / "appendonlydir"
    damaged.mkdir()
    (damaged / "appendonly.aof.manifest").write_text("nonsense\n")
    (tmp_path / "redis" / "appendonly.aof").write_text("nonsense\n")
    settings = load({}, data_dir=tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        System(settings, Size(0, 1, 1)).run()
    assert caught.value.code == "redis_failed"
    assert str(tmp_path / "redis") in str(caught.value)
    assert "it said nothing" not in str(caught.value)
