"""What each process of a node that works is built of, after its fork."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend import bootstrap
from backend.dispatch import progress
from backend.workers.execution import Executor
from backend.workers.hosts import HostGate
from backend.workers.kit import Kit, Slots, Stop
from backend.workers.lane import Lane
from backend.workers.leases import Leases
from backend.workers.run import use_lane
from backend.workers.signals import Signals, signals_for
from backend.workers.transport import Place, Plugins, Transport
from backend.workers.vitals import Start

if TYPE_CHECKING:
    from config import Settings

STOP_MARGIN_SECONDS = 3.0
# Before the lease is over: the reason is then known, and what the process held is given back at once.
SILENT_SHARE = 2 / 3
SILENT_SECONDS = 6.0
# From asking the ledger to the first byte of the call that publishes: so soon that nobody else can have begun meanwhile.
CALL_SECONDS = 10.0
CALL_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What the supervisor knows of a worker before it is forked: its one queue, and how many items it may have in work."""

    settings: Settings
    transport: Transport
    place: Place
    queue: str
    slots: int
    plugins: Plugins


def silent_seconds(place: Place) -> float:
    """How long a process may show no sign of life."""
    return max(SILENT_SECONDS, place.lease_seconds * SILENT_SHARE)


def grace_seconds(settings: Settings) -> float:
    """How long what runs may go on after a stop was asked for."""
    return max(1.0, settings.stop_seconds - STOP_MARGIN_SECONDS)


def worker_name(queue: str, start: Start) -> str:
    """How Redis knows the worker."""
    return f"{queue}.{start.worker}".replace(":", ".")


def build_lane(plan: WorkerPlan, start: Start, stop: Stop, *, single: bool = False) -> Lane:
    """What begins, works and settles in this process, made the one that RQ's jobs find."""
    settings = plan.settings
    parts = plan.transport.worker(plan.place, start)
    signals = signals_for(settings.redis_url, plan.queue)
    kit = build_kit(settings, signals, plan.slots, plan.plugins, plan.place.lease_seconds, stop)
    leases = Leases(parts.ledger, plan.place.renew_seconds)
    executor = Executor(parts.ledger, parts.outbox, leases, kit, settled=signals.wake, flowed=parts.flowed)
    lane = Lane(plan.queue, parts.ledger, executor, signals.backlog, signals.withdraw, single=single)
    use_lane(lane, parts.prove)
    leases.start()
    return lane


def build_kit(
    settings: Settings,
    signals: Signals,
    slots: int,
    plugins: Plugins,
    lease_seconds: float,
    stop: Stop | None = None,
) -> Kit:
    """The tools of phase 2 for this process."""
    if plugins.notifiers:
        bootstrap.guard_requests(settings.egress_allow)
    publishes = bool(plugins.publishers)
    return Kit(
        sources=plugins.sources,
        notifiers=plugins.notifiers,
        publishers=plugins.publishers,
        options=dict(one.split("=", 1) for one in settings.publish_options),
        http=bootstrap.build_publishing_http(settings) if publishes else bootstrap.build_http(settings),
        pool=ThreadPoolExecutor(max_workers=slots, thread_name_prefix="item"),
        slots=Slots(slots),
        stop=stop or Stop(grace_seconds(settings)),
        hosts=HostGate(signals, bootstrap.build_host_limits(settings)),
        tell=lambda one, words: signals.ask(lambda redis: progress.tell(redis, {one: words}), None),
        call_seconds=min(CALL_SECONDS, lease_seconds * CALL_SHARE),
    )
