"""The application factory: it only assembles, and nothing connects here."""

from __future__ import annotations

import functools
import logging
from importlib.metadata import entry_points
from ipaddress import ip_network
from pathlib import Path

from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.orm import configure_mappers
from werkzeug.routing import BaseConverter

from backend import bootstrap, bootstrap_parent, metrics
from backend.api.access import guard
from backend.api.access_keys import access_keys
from backend.api.alerts import alerts
from backend.api.allocations import allocations
from backend.api.articles import articles
from backend.api.cascade import cascade
from backend.api.child_app import ChildMode, create_child_app
from backend.api.child_parts import ChildParts
from backend.api.child_reports import child_reports
from backend.api.child_work import child_work
from backend.api.children import children
from backend.api.claiming import Claiming, Leases
from backend.api.context import NAME, MetricsPart, Parts
from backend.api.contract import Contract
from backend.api.cors import allow_origins
from backend.api.docs import docs
from backend.api.errors import answer_errors
from backend.api.feeds import feeds
from backend.api.health import health
from backend.api.heartbeats import Heartbeats
from backend.api.home import home
from backend.api.joining import joining
from backend.api.login import login
from backend.api.login_guard import LoginGuard
from backend.api.login_page import login_page
from backend.api.message_tasks import message_tasks
from backend.api.metrics import watching
from backend.api.nodes import nodes
from backend.api.operations import operations
from backend.api.publish_accounts import publish_accounts
from backend.api.publishing import publishing
from backend.api.queue_dashboard import mount
from backend.api.remote_work import remote_work
from backend.api.reserve import keep_reserve
from backend.api.scheduler import scheduler
from backend.api.tokens import Tokens
from backend.api.tracing import log_request_ids, trace
from backend.api.users import users
from backend.api.waiting import WorkWaits
from backend.domain import condition
from backend.domain.condition import Condition
from backend.domain.errors import Unavailable
from backend.store.cipher import Cipher
from backend.store.schema import require_current
from backend.store.session import Patience, is_stuck
from config import Settings

log = logging.getLogger(__name__)

BODY_BYTES = 1024 * 1024

PAGES = (
    docs,
    home,
    login_page,
    watching,
)
ROUTES = (
    access_keys,
    alerts,
    articles,
    feeds,
    health,
    login,
    message_tasks,
    publish_accounts,
    publishing,
    users,
)
# Each stands under the seeds' prefix and under the one of deployed WeRSS children.
CASCADE_ROUTES = (
    allocations,
    cascade,
    child_reports,
    child_work,
    children,
    joining,
    nodes,
    operations,
    remote_work,
    scheduler,
)
PREFIXES = {"": "/api/v1/cascade", "wx_": "/api/v1/wx/cascade"}


class IdConverter(BaseConverter):
    """An id in a path; anything else is no route."""

    regex = "[A-Za-z0-9_.~@:+=-]{1,64}"


def create_app(settings: Settings, *, threads: int = 0) -> Contract:
    """The parent's HTTP application on the given settings; `threads` is how many its server has, 0 for any number."""
    app = Contract("backend.api")
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.converters["id"] = IdConverter
    app.url_map.strict_slashes = False
    app.extensions[NAME] = _build(settings)
    # In this order: a request has its id before anything can refuse it.
    trace(app)
    allow_origins(app, settings.cors_origins)
    if threads:
        keep_reserve(app, threads, lambda: is_stuck(app.extensions[NAME].engine))
    guard(app)
    answer_errors(app)
    for pages in PAGES:
        app.register_blueprint(pages)
    mount(app, _dashboard_redis(settings))
    for routes in ROUTES:
        app.register_api(routes)
    for routes in CASCADE_ROUTES:
        for begin, prefix in PREFIXES.items():
            app.register_api(routes, name=begin + routes.name, url_prefix=prefix)
    return app


def create_app_from_environment() -> Contract:
    """The application as gunicorn starts it, in each of its processes.

    Raises `ConfigurationError` for settings or a schema that can't be used; a database that is away does not
    stop the start.
    """
    settings = bootstrap.load_settings()
    if settings.node_type == "child":
        return _create_child_app(settings)
    settings = bootstrap.ensure_secret_key(settings)
    bootstrap.configure_logging(settings, "parent")
    metrics.share(settings.metrics_dir)
    log_request_ids()
    # Once, before the fork, instead of at the first request of each process.
    configure_mappers()
    app = create_app(settings, threads=settings.gunicorn_threads)
    try:
        require_current(app.extensions[NAME].engine)
    except Unavailable as error:
        log.warning("%s /readyz says when it can be used", error)
    return app


def _create_child_app(settings: Settings) -> Contract:
    bootstrap.configure_logging(settings, "http")
    metrics.share(settings.metrics_dir)
    log_request_ids()
    return create_child_app(
        ChildMode(
            pair=lambda: _pair(settings),
            condition=lambda: _condition(settings.data_dir),
            redis=_dashboard_redis(settings),
            metrics=MetricsPart(settings.metrics_dir, settings.metrics_token),
        )
    )


def _pair(settings: Settings) -> tuple[str, str]:
    # Read each time: the parent may rotate it, and few calls come.
    now = bootstrap.load_settings(data_dir=settings.data_dir, config_file=settings.config_file)
    return now.api_key, now.api_secret


def _condition(data_dir: Path) -> Condition | None:
    try:
        return condition.from_text((data_dir / condition.FILE).read_text(encoding="utf-8"))
    except OSError:
        return None


def _build(settings: Settings) -> Parts:
    # Somebody waits for each answer, and holds a thread: better an early "try again" than a late one.
    patience = Patience(settings.database_seconds, settings.database_seconds, fails_fast=True)
    engine, redis = bootstrap.build_engine(settings, pooled=True, patience=patience), _redis(settings)
    keys = bootstrap.build_secret_keys(settings)
    cipher = Cipher(keys)
    return Parts(
        engine=engine,
        redis=redis,
        cipher=cipher,
        tokens=Tokens(keys, settings.token_seconds),
        browser_tokens=Tokens(keys, settings.token_seconds, "browser"),
        # Names only: the sources themselves belong to the workers.
        feed_kinds=frozenset(entry.name for entry in entry_points(group=bootstrap.SOURCES)),
        # When the first article comes: most processes never see one.
        publishers=functools.cache(lambda: bootstrap.load_plugins(bootstrap.PUBLISHERS)),
        limits=bootstrap.build_limits(settings),
        http=bootstrap.build_http(settings),
        freshness=bootstrap.build_freshness(settings),
        login_guard=_login_guard(settings),
        metrics=MetricsPart(settings.metrics_dir, settings.metrics_token),
        trusted_proxies=tuple(ip_network(one) for one in settings.trusted_proxies),
        children=_build_child_parts(settings, engine, redis, cipher),
        flow_seconds=settings.alarm_flow_seconds,
        watch=lambda stop: bootstrap_parent.build_watching(settings, engine, redis, "parent").start(stop),
    )


def _build_child_parts(settings: Settings, engine: Engine, redis: Redis | None, cipher: Cipher) -> ChildParts:
    terms = bootstrap.build_terms(settings)
    leases = Leases(settings.lease_seconds, settings.child_lease_seconds)
    return ChildParts(
        heartbeats=Heartbeats(engine, leases.others),
        claiming=Claiming(engine, cipher, leases),
        # The other half of the threads answers everybody else.
        waits=WorkWaits(engine, redis, settings.gunicorn_threads // 2),
        leases=leases,
        policy=terms.items,
        terms=terms,
    )


def _login_guard(settings: Settings) -> LoginGuard:
    # Somebody waits for the login: better a count of one's own at once than a shared one after many retries.
    redis = (
        bootstrap.build_redis(settings, retries=0, answer_seconds=1.0, says=False)
        if settings.redis_url
        else None
    )
    return LoginGuard(redis, settings.login_lock_seconds)


def _dashboard_redis(settings: Settings) -> Redis | None:
    # Somebody looks at a page: better an answer soon than a patient one.
    return bootstrap.build_redis(settings, retries=1, answer_seconds=3.0) if settings.redis_url else None


def _redis(settings: Settings) -> Redis | None:
    return bootstrap.build_redis(settings) if settings.redis_url else None
