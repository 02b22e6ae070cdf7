"""The node process: checks, then forks and supervises its workers and its presence from one preloaded image.

The supervising process itself opens no connection and starts no thread, so that it may fork at any time.
"""

from __future__ import annotations

import gc
import json
import logging
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.orm import Session, configure_mappers

from backend import bootstrap, metrics
from backend.dispatch import queues
from backend.dispatch.broker import fault_of
from backend.domain.errors import CascadeError, ConfigurationError
from backend.domain.identifiers import new_id
from backend.outbound.client import GuardedHttpClient
from backend.store import nodes
from backend.store.allocations import Taker
from backend.store.schema import require_current
from backend.store.session import transact
from backend.workers.deaths import DeathPipe
from backend.workers.estates import Heir
from backend.workers.execution import Executor
from backend.workers.flow_mark import FlowMark
from backend.workers.forking import Child, Supervisor, fork_child, share_heaps
from backend.workers.hosts import HostGate
from backend.workers.instances import Instances
from backend.workers.kit import Kit, Slots, Stop
from backend.workers.lane import Lane
from backend.workers.leases import Leases
from backend.workers.ledger import SqlLedger
from backend.workers.outbox import Outbox
from backend.workers.presence import Presence, SharedCount
from backend.workers.redis_watch import RedisWatch
from backend.workers.run import use_lane
from backend.workers.signals import Signals, signals_for
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


@dataclass(frozen=True, slots=True)
class Place:
    """What a node process must know of its node; found out by a child before anything else starts."""

    node_id: str
    name: str
    capacity: int
    queues: tuple[str, ...]


def main(
    node_name: str | None,
    workers: int,
    names: Sequence[str],
    settings: Settings,
    metrics_at: tuple[str, int] | None = None,
) -> int:
    """Run a node's workers until SIGTERM; `None` means the parent's own, on `default`.

    `metrics_at`: where Prometheus may ask this node, an address and a port.
    Returns 0 after a warm stop and 2 when something needed is missing, said in one sentence before any worker starts.
    """
    bootstrap.configure_logging(settings, node_name or "workers")
    try:
        place = _find_place(node_name, names, settings)
    except CascadeError as error:
        log.error("%s", error)  # noqa: TRY400
        return REFUSED
    return _run(place, workers, settings, metrics_at)


def _run(place: Place, workers: int, settings: Settings, metrics_at: tuple[str, int] | None) -> int:
    plugins = _preload(place)
    metrics.share(settings.metrics_dir)
    instance = new_id()
    count, deaths = SharedCount(), DeathPipe()
    slots = max(1, math.ceil(place.capacity / max(1, workers)))
    children = [
        _worker(f"worker {number + 1} of {name}", settings, place, instance, name, slots, plugins)
        for name in place.queues
        for number in range(workers)
    ]
    presence = Child(
        "presence",
        lambda: _presence(settings, place, instance, count, deaths, plugins, metrics_at),
        counted=False,
    )
    log.info(
        "node %s: %d workers on each of %s, %d slots each",
        place.name,
        workers,
        ", ".join(place.queues),
        slots,
    )
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
        silent_seconds=max(SILENT_SECONDS, settings.lease_seconds * SILENT_SHARE),
    ).run()
    instances.forget(instance)
    return 0


def _instances(settings: Settings, place: Place, instance: str) -> Instances:
    return Instances(settings.data_dir / "instances" / place.node_id, instance)


def _find_place(node_name: str | None, names: Sequence[str], settings: Settings) -> Place:
    """Ask a child that may open connections; this process must not."""
    reading, writing = os.pipe()
    child = fork_child(lambda: _report_place(node_name, names, settings, writing))
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    if not text:
        raise ConfigurationError("node_check_died")
    content = json.loads(text)
    if "error" in content:
        raise ConfigurationError("refused", sentence=content["error"])
    return Place(content["node_id"], content["name"], content["capacity"], tuple(content["queues"]))


def _report_place(node_name: str | None, names: Sequence[str], settings: Settings, writing: int) -> int:
    try:
        place = look_around(node_name, names, settings)
        content: dict[str, Any] = {
            "node_id": place.node_id,
            "name": place.name,
            "capacity": place.capacity,
            "queues": place.queues,
        }
    except CascadeError as error:
        content = {"error": str(error)}
    with os.fdopen(writing, "w", encoding="utf-8") as pipe:
        pipe.write(json.dumps(content))
    return 0


def look_around(node_name: str | None, names: Sequence[str], settings: Settings) -> Place:
    """Check Redis and the database, find or make the node, and check the queue names. Raises `CascadeError`."""
    redis = bootstrap.build_redis(settings, says=False)
    try:
        redis.ping()
    except RedisError as error:
        fault = fault_of(error)
        raise ConfigurationError(fault.code, detail=fault.detail) from error
    engine = bootstrap.build_engine(settings, pooled=False)
    require_current(engine)
    bootstrap.build_cipher(settings)
    return transact(engine, lambda session: _place(session, node_name, names))


def _place(session: Session, node_name: str | None, names: Sequence[str]) -> Place:
    node = nodes.ensure_attached(session, node_name) if node_name else nodes.ensure_parent(session)
    session.flush()
    existing = queues.existing_queues(nodes.all_slugs(session))
    own = queues.node_queue(node.slug) if node.node_type else queues.DEFAULT_QUEUE
    wanted = tuple(dict.fromkeys(queues.check_queue_name(name, existing) for name in names)) or (own,)
    for name in wanted:
        # Work is begun by the node that it was planned for: another node's workers would only ever be refused.
        if name != own:
            raise ConfigurationError("foreign_queue", name=name, node=node.name, own=own)
    return Place(node.id, node.name, node.max_capacity, wanted)


@dataclass(frozen=True, slots=True)
class Plugins:
    """What the workers share by fork."""

    sources: dict[str, Any]
    notifiers: dict[str, Any]


def _preload(place: Place) -> Plugins:
    """Load what the workers will need before they are forked, and nothing that they won't: memory is shared by fork."""
    delivering = queues.DEFAULT_QUEUE in place.queues
    return Plugins(
        sources={} if delivering else bootstrap.load_plugins(bootstrap.SOURCES),
        notifiers=bootstrap.load_plugins(bootstrap.NOTIFIERS) if delivering else {},
    )


def _worker(
    told: str, settings: Settings, place: Place, instance: str, name: str, slots: int, plugins: Plugins
) -> Child:
    vitals = Vitals()

    def main() -> int:
        vitals.keep_stamping()
        code = work(settings, place, Start(instance, vitals.worker), name, slots, plugins)
        if code == 0:
            vitals.say_farewell()
        return code

    return Child(told, main, vitals=vitals)


def work(settings: Settings, place: Place, start: Start, name: str, slots: int, plugins: Plugins) -> int:
    """One worker process, after its fork: build everything that connects, then serve."""
    share_heaps()
    engine = bootstrap.build_engine(settings, pooled=False)
    signals = signals_for(settings.redis_url, name)
    ledger = build_ledger(settings, engine, place.node_id, start)
    kit = _kit(settings, signals, slots, plugins)
    leases = Leases(ledger, settings.renew_seconds)
    executor = Executor(
        ledger, _outbox(settings, place), leases, kit, settled=signals.wake, flowed=FlowMark(engine)
    )
    lane = Lane(
        queue=name,
        ledger=ledger,
        executor=executor,
        backlog=signals.backlog,
        withdraw=signals.withdraw,
    )
    use_lane(lane, ledger.prove)
    leases.start()
    worker = WakeUpWorker(
        settings.redis_url,
        name,
        f"{name}.{start.worker}".replace(":", "."),
        on_stop=kit.stop.set,
        limits=Limits(megabytes=settings.worker_megabytes, abandoned=lambda: kit.slots.abandoned),
        serve=lane.serve,
        work_seconds=max(settings.update_seconds, settings.deliver_seconds),
    )
    return worker.serve()


def _kit(settings: Settings, signals: Signals, slots: int, plugins: Plugins) -> Kit:
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
    settings: Settings,
    place: Place,
    instance: str,
    count: SharedCount,
    deaths: DeathPipe,
    plugins: Plugins,
    metrics_at: tuple[str, int] | None,
) -> int:
    if metrics_at is not None:
        _serve_metrics(settings, *metrics_at)
    engine = bootstrap.build_engine(settings, pooled=False)
    ledger = build_ledger(settings, engine, place.node_id, Start(instance, ""))
    signals = signals_for(settings.redis_url, place.queues[0])
    delivering = queues.DEFAULT_QUEUE in place.queues
    heir = Heir(
        engine=engine,
        node_id=place.node_id,
        outbox=_outbox(settings, place),
        ledger=ledger,
        delivery_attempts=settings.delivery_attempts,
        listen=deaths.heard,
        instances=_instances(settings, place, instance),
        offer=lambda placed: signals.offer(placed, bootstrap.build_limits(settings).work_seconds),
    )
    watched = bootstrap.build_redis(settings, retries=0, rest_seconds=0.0, says=False)
    presence = Presence(
        engine=engine,
        ledger=ledger,
        outbox=_outbox(settings, place),
        node_id=place.node_id,
        instance=instance,
        version=version("cascade-workers"),
        workers=count,
        sources=None if delivering else tuple(plugins.sources),
        inherit=heir.settle_estates,
        others_live=heir.instances.others_live,
        redis=RedisWatch(engine, watched, place.node_id, place.name),
    )
    return presence.serve()


def _serve_metrics(settings: Settings, address: str, port: int) -> None:
    try:
        metrics.serve(settings.metrics_dir, address, port)
        log.info("metrics of this node: http://%s:%d/metrics", address, port)
    except OSError as error:
        # Work goes on unwatched rather than not at all.
        log.error("the metrics can't be served on %s:%d: %s", address, port, error)  # noqa: TRY400


def _outbox(settings: Settings, place: Place) -> Outbox:
    return Outbox(settings.outbox_dir / place.node_id, bootstrap.build_cipher(settings))


def build_ledger(settings: Settings, engine: Engine, node_id: str, start: Start) -> SqlLedger:
    """The ledger of one worker process."""
    return SqlLedger(
        engine=engine,
        taker=Taker(node_id, start.instance, settings.lease_seconds, start.worker),
        terms=bootstrap.build_terms(settings),
    )
