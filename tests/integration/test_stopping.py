"""SIGTERM to the parent's HTTP server and to a beat: what runs ends with a true answer, and nobody has to be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine

from backend.store import recovery
from backend.store.session import read
from config import ROOT
from tests.integration.api.playing import make_child
from tests.integration.test_child_waiting import CLAIM, header
from tests.servers import RedisServer, wait_until
from tests.serving import serving

pytestmark = pytest.mark.parametrize("backend", ["sqlite"])


def test_a_long_poll_is_answered_when_its_parent_is_stopped(
    engine: Engine, migrated_url: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    _, pair = make_child(engine, "poller")
    with (
        serving(tmp_path, migrated_url, redis_server.url, processes=1, threads=4) as parent,
        ThreadPoolExecutor(1) as pool,
    ):
        poll = pool.submit(parent.call, "POST", f"{CLAIM}?wait=30", authorization=header(pair))
        process = psutil.Process(parent.pid)
        wait_until(lambda: bool(_connections(process)), 20, "the poll's connection")
        began = time.monotonic()
        os.kill(parent.pid, signal.SIGTERM)
        answer = poll.result(20)
        # Not the 30 s that it asked for, and not the end of a killed process: an answer that says "nothing".
        assert time.monotonic() - began < 15
        assert (answer.status, answer.data) == (200, None)
        wait_until(
            lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 20, "its end"
        )
    assert "SIGKILL" not in parent.log.read_text(errors="replace")


def _connections(process: psutil.Process) -> list[object]:
    found: list[object] = []
    for child in process.children():
        found += [one for one in child.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]
    return found


def test_a_beat_that_is_stopped_says_goodbye(
    engine: Engine, migrated_url: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    environment = os.environ | {
        "CASCADE_DATA_DIR": str(tmp_path),
        "CASCADE_SECRET_KEY": "a key for tests only",
        "DATABASE_URL": migrated_url,
        "REDIS_URL": redis_server.url,
    }
    command = [sys.executable, "-m", "backend.dispatch.beat"]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as beat:
        wait_until(lambda: read(engine, recovery.live_beats) == 1, 30, "the beat")
        beat.send_signal(signal.SIGTERM)
        assert beat.wait(15) == 0
    assert read(engine, recovery.live_beats) == 0
