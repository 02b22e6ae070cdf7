"""What only the parent's processes build: sweeper, watch and alarms. Nodes do without, and without its memory."""

from __future__ import annotations

import functools
from typing import Any

from redis import Redis
from sqlalchemy import Engine

from backend import bootstrap
from backend.dispatch.sweeping import Sweeper
from backend.dispatch.telling import Sender, Telling, labelled
from backend.dispatch.watching import Vitals, Watching, WatchLimits
from backend.domain.alarms import Thresholds
from backend.domain.retention import Retention
from config import Settings


def build_retention(settings: Settings) -> Retention:
    """For how long history is kept."""
    return Retention(settings.runs_days, settings.articles_days, settings.sync_log_days, settings.alert_days)


def build_sweeper(settings: Settings) -> Sweeper:
    """A sweeper over the settings' database and Redis, if they name one."""
    return Sweeper(
        engine=bootstrap.build_engine(settings, pooled=True),
        redis=bootstrap.build_redis(settings) if settings.redis_url else None,
        delivery_attempts=settings.delivery_attempts,
        work_seconds=bootstrap.build_limits(settings).work_seconds,
        retention=build_retention(settings),
        publishing=bootstrap.build_publish_limits(settings),
    )


def build_thresholds(settings: Settings) -> Thresholds:
    """When each rule of the alarms holds."""
    return Thresholds(
        work_seconds=settings.alarm_work_seconds,
        slow_factor=settings.alarm_slow_factor,
        offline_seconds=settings.alarm_offline_seconds,
        unserved_seconds=settings.alarm_unserved_seconds,
        latency_seconds=settings.alarm_latency_seconds,
        flow_seconds=settings.alarm_flow_seconds,
        outbox_seconds=settings.alarm_outbox_seconds,
        outbox_dead=settings.alarm_outbox_dead,
        pool_percent=settings.alarm_pool_percent,
        failed_percent=settings.alarm_failed_percent,
        failed_items=settings.alarm_failed_items,
        beat_seconds=settings.alarm_beat_seconds,
        disk_percent=settings.alarm_disk_percent,
        account_login=settings.alarm_account_login,
        unconfirmed_hours=settings.alarm_unconfirmed_hours,
    )


def build_watching(settings: Settings, pooled: Engine, redis: Redis | None, part: str) -> Watching:
    """What watches in one process, of whose pool of connections it tells; make it after the last fork."""
    engine = bootstrap.build_engine(settings, pooled=False)
    limits = WatchLimits(
        every_seconds=settings.watch_seconds,
        canary_seconds=settings.canary_seconds,
        clear_seconds=settings.alert_clear_seconds,
        thresholds=build_thresholds(settings),
    )
    vitals = Vitals(part, settings.data_dir, pooled)
    telling = (
        Telling(engine, build_sender(settings), settings.alert_language, settings.alert_repeat_hours * 3600)
        if settings.alert_urls
        else None
    )
    return Watching(engine, redis, vitals, limits, telling)


def build_sender(settings: Settings) -> Sender:
    """How alerts are sent."""
    return Sender(
        labelled(settings.alert_urls),
        functools.cache(lambda: _load_notifiers(settings.egress_allow)),
        bootstrap.build_http(settings),
    )


def _load_notifiers(egress_allow: tuple[str, ...]) -> dict[str, Any]:
    bootstrap.guard_requests(egress_allow)
    return bootstrap.load_plugins(bootstrap.NOTIFIERS)
