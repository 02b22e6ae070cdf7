"""One worker with sources that misbehave: stuck ones end the process, ones that take a connection are caught."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy import Engine

from backend.dispatch.queues import JOB_FUNCTION, job_id
from backend.dispatch.repairs import recover_expired
from backend.store import recovery
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import Allocation, Pulse, WorkItem
from tests.building import change, counted, row_of, rows_of
from tests.integration.workers.running import QUEUE, NodeProcess, plan
from tests.servers import RedisServer, wait_until
from tests.standins.feeds import FeedServer

PROGRAM = (sys.executable, "-m", "tests.integration.workers.worker_program")


def worker(tmp_path: Path, url: str, redis: RedisServer, mode: str, **told: str) -> NodeProcess:
    """The program in a mode, with short leases."""
    leases = {"CASCADE_LEASE_SECONDS": "3", "CASCADE_RENEW_SECONDS": "1"}
    return NodeProcess(tmp_path / "var", url, redis.url, command=(*PROGRAM, mode), **leases, **told)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_worker_that_is_stuck_beyond_rq_s_time_out_ends_and_its_work_is_recovered(
    tmp_path: Path, migrated_url: str, engine: Engine, redis_server: RedisServer, redis_client: Redis
) -> None:
    with FeedServer(1, broken=0) as server:
        plan(engine, None, server)
        [allocation] = rows_of(engine, Allocation)
        Queue(QUEUE, connection=redis_client, serializer=JSONSerializer).enqueue_call(
            JOB_FUNCTION, args=(allocation.id, 1), timeout=2, job_id=job_id(allocation.id, 1)
        )
        with worker(tmp_path, migrated_url, redis_server, "block") as stuck:
            assert stuck.process.wait(30) == 70
            assert "RQ's time-out" in stuck.log
            assert counted(engine, Allocation) == {"executing": 1}
            transact(engine, lambda session: recovery.stamp_pulse(session, "beat", 3.0))
            change(engine, Pulse, recover_after=now(-1))
            wait_until(lambda: recover_expired(engine, 3) == 1, 10, "the end of the lease")
    assert row_of(engine, Allocation).error_code == "lost"
    assert (row_of(engine, WorkItem).state, row_of(engine, WorkItem).batch_limit) == ("waiting", 1)


def test_a_source_that_takes_a_connection_in_phase_two_fails_and_is_named(
    tmp_path: Path, migrated_url: str, engine: Engine, redis_server: RedisServer, redis_client: Redis
) -> None:
    with (
        FeedServer(1, broken=0) as server,
        worker(tmp_path, migrated_url, redis_server, "connect", CASCADE_ITEM_ATTEMPTS="1") as process,
    ):
        plan(engine, redis_client, server)
        wait_until(lambda: counted(engine, WorkItem) == {"failed": 1}, 30, "the end of the item")
        item = row_of(engine, WorkItem)
        assert item.error_code == "unexpected_error"
        assert "HeldConnection" in item.error_message
        assert "worker_program.py" in process.log
        assert counted(engine, Allocation) == {"completed": 1}
        process.process.terminate()
        assert process.process.wait(20) == 0


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_second_request_to_stop_does_not_cut_off_what_the_first_one_gave_time_to(
    tmp_path: Path, migrated_url: str, engine: Engine, redis_server: RedisServer, redis_client: Redis
) -> None:
    """It comes when a supervisor is killed during a stop, and from service managers that signal whole groups."""
    with (
        FeedServer(1, broken=0) as server,
        worker(tmp_path, migrated_url, redis_server, "block", CASCADE_STOP_SECONDS="6") as stopping,
    ):
        plan(engine, redis_client, server)
        wait_until(lambda: counted(engine, Allocation) == {"executing": 1}, 60, "the begin")
        stopping.process.terminate()
        # RQ itself ignores a second one within a second.
        with pytest.raises(subprocess.TimeoutExpired):
            stopping.process.wait(1.3)
        stopping.process.terminate()
        assert stopping.process.wait(60) == 0
    assert (counted(engine, Allocation), row_of(engine, WorkItem).state) == ({"cancelled": 1}, "waiting")
