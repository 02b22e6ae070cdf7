"""The node process: checks, then forks and supervises its workers and its presence from one preloaded image.

The supervising process itself opens no connection and starts no thread, so that it may fork at any time.
"""

from __future__ import annotations

import gc
import json
import logging
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import configure_mappers

from backend import bootstrap, metrics
from backend.dispatch import queues
from backend.domain.errors import CascadeError, ConfigurationError
from backend.domain.identifiers import new_id
from backend.outbound.client import GuardedHttpClient
from backend.workers.deaths import DeathPipe
from backend.workers.execution import Executor
from backend.workers.forking import Child, Supervisor, fork_child, share_heaps
from backend.workers.hosts import HostGate
from backend.workers.instances import Instances
from backend.workers.kit import Kit, Slots, Stop
from backend.workers.lane import Lane
from backend.workers.leases import Leases
from backend.workers.presence import SharedCount
from backend.workers.run import use_lane
from backend.workers.signals import Signals, signals_for
from backend.workers.transport import Place, Plugins, PresenceParts, Transport
from backend.workers.vitals import Start, Vitals
from backend.workers.worker import Limits, WakeUpWorker

if TYPE_CHECKING:
    from config import Settings

log = logging.getLogger(__name__)

REFUSED = 2
STOP_MARGIN_SECONDS = 3.0
# Before the lease is over: the reason is then known, and what the process held is given back at once.
SILENT_SHARE = 2 / 3
SILENT_SECONDS = 6.0


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
    count, deaths = SharedCount(), DeathPipe()
    slots = max(1, math.ceil(place.capacity / max(1, workers)))
    children = [
        _worker(
            f"worker {number + 1} of {name}",
            WorkerPlan(settings, transport, place, name, slots, plugins),
            instance,
        )
        for name in place.queues
        for number in range(workers)
    ]
    presence_parts = PresenceParts(place, instance, count, deaths.heard, plugins)
    presence = Child(
        "presence", lambda: _presence(settings, transport, presence_parts, metrics_at), counted=False
    )
    told = ", ".join(place.queues)
    log.info("node %s: %d workers on each of %s, %d slots each", place.name, workers, told, slots)
    # What is loaded and made now is shared with every child as long as the collector does not touch it.
    configure_mappers()
    gc.freeze()
    instances = _instances(settings, place, instance)
    instances.arrive()
    silent_seconds = max(SILENT_SECONDS, place.lease_seconds * SILENT_SHARE)
    Supervisor(
        [*children, presence],
        settings.stop_seconds,
        on_change=count.set,
        on_death=deaths.tell,
        silent_seconds=silent_seconds,
        # A server ends the transactions of a frozen client; SQLite's one lock would be held for as long as it stands.
        frozen_seconds=silent_seconds if settings.embedded_database else math.inf,
    ).run()
    instances.forget(instance)
    return 0


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
    delivering = queues.DEFAULT_QUEUE in place.queues
    return Plugins(
        sources={} if delivering else bootstrap.load_plugins(bootstrap.SOURCES),
        notifiers=bootstrap.load_plugins(bootstrap.NOTIFIERS) if delivering else {},
    )


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What the supervisor knows of a worker before it is forked: its one queue, and how many items it may have in work."""

    settings: Settings
    transport: Transport
    place: Place
    queue: str
    slots: int
    plugins: Plugins


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
    parts = plan.transport.worker(plan.place, start)
    signals = signals_for(settings.redis_url, plan.queue)
    kit = build_kit(settings, signals, plan.slots, plan.plugins)
    leases = Leases(parts.ledger, plan.place.renew_seconds)
    executor = Executor(parts.ledger, parts.outbox, leases, kit, settled=signals.wake, flowed=parts.flowed)
    lane = Lane(
        queue=plan.queue,
        ledger=parts.ledger,
        executor=executor,
        backlog=signals.backlog,
        withdraw=signals.withdraw,
    )
    use_lane(lane, parts.prove)
    leases.start()
    worker = WakeUpWorker(
        settings.redis_url,
        plan.queue,
        f"{plan.queue}.{start.worker}".replace(":", "."),
        on_stop=kit.stop.set,
        limits=Limits(megabytes=settings.worker_megabytes, abandoned=lambda: kit.slots.abandoned),
        serve=lane.serve,
        work_seconds=max(settings.update_seconds, settings.deliver_seconds),
    )
    return worker.serve()


def build_kit(settings: Settings, signals: Signals, slots: int, plugins: Plugins) -> Kit:
    """The tools of phase 2 for this process."""
    if plugins.notifiers:
        bootstrap.guard_requests(settings.egress_allow)
    return Kit(
        sources=plugins.sources,
        notifiers=plugins.notifiers,
        http=GuardedHttpClient(settings.egress_allow),
        pool=ThreadPoolExecutor(max_workers=slots, thread_name_prefix="item"),
        slots=Slots(slots),
        stop=Stop(max(1.0, settings.stop_seconds - STOP_MARGIN_SECONDS)),
        hosts=HostGate(signals, bootstrap.build_host_limits(settings)),
    )


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
