"""The decisions about the embedded Redis that need no server."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import ConnectionPool

from backend.cli.embedded_redis import EmbeddedRedis, configuration, parse_version, understand

PATHS = st.text(
    st.characters(exclude_categories=["C"], exclude_characters="/"), min_size=1, max_size=30
).filter(lambda name: name not in {".", ".."})


@pytest.mark.parametrize(
    ("shown", "version"),
    [
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0", (7, 0)),
        ("Valkey server v=9.1.2 sha=00000000:0 malloc=libc bits=64", (9, 1)),
        ("Redis server v=6.2.14 sha=0", (6, 2)),
        ("Redis server version 2.4.10 (00000000:0)", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_a_server_tells_its_version(shown: str, version: tuple[int, int]) -> None:
    assert parse_version(shown) == version


@given(PATHS)
def test_a_socket_of_any_name_comes_back_out_of_the_url(name: str) -> None:
    socket = Path("/run") / name / "redis.sock"
    server = EmbeddedRedis(Path("redis-server"), Path("/run"), socket, "the-password")
    options = ConnectionPool.from_url(server.url).connection_kwargs
    assert options["path"] == str(socket)
    assert options["password"] == "the-password"


def test_the_password_is_not_in_the_server_s_representation() -> None:
    server = EmbeddedRedis(Path("redis-server"), Path("/run"), Path("/run/redis.sock"), "the-password")
    assert "the-password" not in repr(server)
    assert "the-password" not in " ".join(server.recipe({}, 0).command)


def test_the_configuration_keeps_what_is_queued_and_evicts_nothing() -> None:
    lines = configuration(
        EmbeddedRedis(Path("s"), Path('/a "b"'), Path("/a/redis.sock"), "pw", "WARNING")
    ).splitlines()
    assert {"port 0", "appendonly yes", 'save ""', "maxmemory-policy noeviction", "unixsocketperm 600"} <= {
        *lines
    }
    assert 'dir "/a \\"b\\""' in lines
    assert "loglevel warning" in lines


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        (
            "7:M 22 Nov 2026 16:41:25.301 * Ready to accept connections",
            logging.INFO,
            "Ready to accept connections",
        ),
        (
            "7:M 22 Nov 2026 16:41:25.301 # Can't save in background",
            logging.WARNING,
            "Can't save in background",
        ),
        (
            "7:M 22 Nov 2026 16:41:25.301 # Redis version=7.0.15, bits=64",
            logging.INFO,
            "Redis version=7.0.15, bits=64",
        ),
        ("7:M 22 Nov 2026 16:41:25.301 - Accepted 1.2.3.4:5", logging.DEBUG, "Accepted 1.2.3.4:5"),
        ("*** FATAL CONFIG FILE ERROR ***", logging.WARNING, "*** FATAL CONFIG FILE ERROR ***"),
        ("  ", logging.WARNING, ""),
    ],
)
def test_the_server_s_lines_get_our_levels(line: str, level: int, text: str) -> None:
    assert understand(line) == (level, text)
