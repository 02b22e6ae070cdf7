"""The node process: checks, then forks and supervises its workers and its presence from one preloaded image.

The supervising process itself opens no connection and starts no thread, so that it may fork at any time.
"""

from __future__ import annotations

import gc
import json
import logging
import math
import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import configure_mappers

from backend import bootstrap, metrics
from backend.domain.errors import CascadeError, ConfigurationError
from backend.domain.identifiers import new_id
from backend.workers.building import WorkerPlan, build_lane, grace_seconds, silent_seconds, worker_name
from backend.workers.deaths import DeathPipe
from backend.workers.forking import Child, Supervisor, fork_child, share_heaps
from backend.workers.horses import HorseWorker, Stable
from backend.workers.instances import Instances
from backend.workers.kit import Stop
from backend.workers.presence import SharedCount
from backend.workers.transport import Place, Plugins, PresenceParts, Transport
from backend.workers.vitals import Start, Vitals
from backend.workers.worker import Limits, WakeUpWorker

if TYPE_CHECKING:
    from config import Settings

log = logging.getLogger(__name__)

REFUSED = 2
# A publish worker that has had nothing to do for so long ends.
IDLE_SECONDS = 30.0


def main(
    transport: Transport, workers: int, settings: Settings, metrics_at: tuple[str, int] | None = None
) -> int:
    """Run a node's workers until SIGTERM; `transport` is how it reaches its parent.

    `metrics_at`: where Prometheus may ask this node, an address and a port.
    Returns 0 after a warm stop and 2 when something needed is missing, said in one sentence before any worker starts.
    """
    bootstrap.configure_logging(settings, transport.told_name)
    instance = new_id()
    try:
        place = _find_place(transport, instance)
    except CascadeError as error:
        log.error("%s", error)  # noqa: TRY400
        return REFUSED
    return _run(transport, place, instance, workers, settings, metrics_at)


def _run(
    transport: Transport,
    place: Place,
    instance: str,
    workers: int,
    settings: Settings,
    metrics_at: tuple[str, int] | None,
) -> int:
    plugins = _preload(place)
    metrics.share(settings.metrics_dir)
    count, demand, deaths = SharedCount(), SharedCount(), DeathPipe()
    slots = max(1, math.ceil(place.capacity / max(1, workers)))
    plan = WorkerPlan(settings, transport, place, "", slots, plugins)
    children = [
        _worker(f"worker {number + 1} of {name}", replace(plan, queue=name), instance)
        for name in place.steady_queues
        for number in range(workers)
    ]
    if place.publish_queue:
        children += _publish_workers(replace(plan, queue=place.publish_queue, slots=1), instance, deaths)
    presence_parts = PresenceParts(place, instance, count, deaths.heard, plugins, demand)
    presence = Child(
        "presence", lambda: _presence(settings, transport, presence_parts, metrics_at), counted=False
    )
    _say_what_runs(place, workers, settings.publish_workers, slots)
    # What is loaded and made now is shared with every child as long as the collector does not touch it.
    configure_mappers()
    gc.freeze()
    instances = _instances(settings, place, instance)
    instances.arrive()
    Supervisor(
        [*children, presence],
        settings.stop_seconds,
        on_change=count.set,
        on_death=deaths.tell,
        silent_seconds=silent_seconds(place),
        # A server ends the transactions of a frozen client; SQLite's one lock would be held for as long as it stands.
        frozen_seconds=silent_seconds(place) if settings.embedded_database else math.inf,
        demand=demand.get,
    ).run()
    instances.forget(instance)
    return 0


def _say_what_runs(place: Place, workers: int, publish_workers: int, slots: int) -> None:
    if place.steady_queues:
        names = ", ".join(place.steady_queues)
        log.info("node %s: %d workers on each of %s, %d slots each", place.name, workers, names, slots)
    if place.publish_queue:
        log.info(
            "node %s: up to %d workers on %s, when there is work",
            place.name,
            publish_workers,
            place.publish_queue,
        )


def _instances(settings: Settings, place: Place, instance: str) -> Instances:
    return Instances(settings.data_dir / "instances" / place.node_id, instance)


def _find_place(transport: Transport, instance: str) -> Place:
    """Ask a child that may open connections; this process must not."""
    reading, writing = os.pipe()
    child = fork_child(lambda: _report_place(transport, instance, writing))
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    if not text:
        raise ConfigurationError("node_check_died")
    content = json.loads(text)
    if "error" in content:
        raise ConfigurationError("refused", sentence=content["error"])
    return Place(**content | {"queues": tuple(content["queues"])})


def _report_place(transport: Transport, instance: str, writing: int) -> int:
    try:
        content: dict[str, Any] = asdict(transport.look_around(instance))
    except CascadeError as error:
        content = {"error": str(error)}
    with os.fdopen(writing, "w", encoding="utf-8") as pipe:
        pipe.write(json.dumps(content))
    return 0


def _preload(place: Place) -> Plugins:
    """Load what the workers will need before they are forked, and nothing that they won't: memory is shared by fork."""
    return Plugins(
        sources=bootstrap.load_plugins(bootstrap.SOURCES) if place.updates else {},
        notifiers=bootstrap.load_plugins(bootstrap.NOTIFIERS) if place.delivers else {},
        publishers=bootstrap.load_plugins(bootstrap.PUBLISHERS) if place.publish_queue else {},
    )


def _worker(told: str, plan: WorkerPlan, instance: str) -> Child:
    vitals = Vitals()

    def main() -> int:
        vitals.keep_stamping()
        code = work(plan, Start(instance, vitals.worker))
        if code == 0:
            vitals.say_farewell()
        return code

    return Child(told, main, vitals=vitals)


def work(plan: WorkerPlan, start: Start) -> int:
    """One worker process, after its fork: build everything that connects, then serve."""
    share_heaps()
    settings = plan.settings
    stop = Stop(grace_seconds(settings))
    lane = build_lane(plan, start, stop)
    worker = WakeUpWorker(
        settings.redis_url,
        plan.queue,
        worker_name(plan.queue, start),
        on_stop=stop.set,
        limits=Limits(
            megabytes=settings.worker_megabytes, abandoned=lambda: lane.executor.kit.slots.abandoned
        ),
        serve=lane.serve,
        work_seconds=max(settings.update_seconds, settings.deliver_seconds),
    )
    return worker.serve()


def _publish_workers(plan: WorkerPlan, instance: str, deaths: DeathPipe) -> list[Child]:
    """They stand in for others that the node tells of where it serves nothing else."""
    return [
        _publish_worker(f"worker {number + 1} of {plan.queue}", plan, instance, deaths)
        for number in range(max(1, plan.settings.publish_workers))
    ]


def _publish_worker(told: str, plan: WorkerPlan, instance: str, deaths: DeathPipe) -> Child:
    vitals = Vitals()

    def main() -> int:
        vitals.keep_stamping(forks=True)
        code = work_on_demand(plan, Start(instance, vitals.worker), vitals, deaths)
        if code == 0:
            vitals.say_farewell()
        return code

    return Child(told, main, counted=not plan.place.steady_queues, vitals=vitals, on_demand=True)


def work_on_demand(plan: WorkerPlan, start: Start, vitals: Vitals, deaths: DeathPipe) -> int:
    """One publish worker, after its fork. What connects to the ledger is built in its horses only."""
    share_heaps()
    settings = plan.settings

    stable = Stable(
        vitals=vitals,
        saddle=lambda horse, stop: build_lane(plan, Start(start.instance, horse), stop, single=True),
        tell=deaths.tell,
        silent_seconds=silent_seconds(plan.place),
        idle_seconds=IDLE_SECONDS,
        grace_seconds=grace_seconds(settings),
        work_seconds=settings.publish_seconds,
    )
    return HorseWorker(settings.redis_url, plan.queue, worker_name(plan.queue, start), stable).serve()


def _presence(
    settings: Settings, transport: Transport, parts: PresenceParts, metrics_at: tuple[str, int] | None
) -> int:
    if metrics_at is not None:
        _serve_metrics(settings, *metrics_at)
    return transport.presence(parts)


def _serve_metrics(settings: Settings, address: str, port: int) -> None:
    try:
        metrics.serve(settings.metrics_dir, address, port)
        log.info("metrics of this node: http://%s:%d/metrics", address, port)
    except OSError as error:
        # Work goes on unwatched rather than not at all.
        log.error("the metrics can't be served on %s:%d: %s", address, port, error)  # noqa: TRY400
