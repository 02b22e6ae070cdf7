"""The running system of one data directory: which parts it has, in which order they start and stop."""

from __future__ import annotations

import gc
import http.client
import json
import logging
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from backend.bootstrap import ensure_secret_key
from backend.cli.language import say
from backend.cli.opening import reachable_engine
from backend.cli.output import result
from backend.cli.parts import ADMIN_PASSWORD, Recipe, environment_of
from backend.cli.redis_part import RedisPart
from backend.cli.stages import APP, PARENT_STAGE, REDIS_STAGE, WORKERS_STAGE, stop_limits
from backend.cli.starting import ANY_ADDRESS, url_of
from backend.cli.supervision import StopRequested, Supervisor
from backend.domain.errors import ConfigurationError, InvalidInput
from backend.domain.identifiers import new_id
from backend.store.migrate import upgrade
from backend.store.nodes import ensure_attached
from backend.store.passwords import hash_password
from backend.store.session import read, transact
from backend.store.users import create_user, list_users
from config import ROOT, Settings

STILL_STARTING_SECONDS = 20.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Size:
    """How many attached nodes, worker processes for each, and items that a node may hold at once."""

    nodes: int
    workers: int
    capacity: int


def recipes(settings: Settings, size: Size, environ: Mapping[str, str]) -> list[Recipe]:
    """Every part but Redis, in the order of their start."""
    environment = environment_of(settings, environ)
    script = ["/bin/sh", str(ROOT / "start_workers.sh"), "--workers", str(size.workers)]
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), APP]
    commands = {
        "parent": (gunicorn, PARENT_STAGE),
        "beat": ([sys.executable, "-m", "backend.dispatch.beat"], WORKERS_STAGE),
        "workers": (script, WORKERS_STAGE),
    }
    for name in node_names(size.nodes):
        commands[name] = ([*script, "--node", name], WORKERS_STAGE)
    return [Recipe(name, command, environment, stage, ROOT) for name, (command, stage) in commands.items()]


def node_names(count: int) -> list[str]:
    """`node-1` … `node-N`."""
    return [f"node-{number}" for number in range(1, count + 1)]


class System:
    """Starts the parts, waits until they serve, and keeps them running until a signal comes."""

    def __init__(self, settings: Settings, size: Size) -> None:
        self._settings, self._size = settings, size
        self._supervisor = Supervisor()
        self._redis = RedisPart(self._supervisor, settings, REDIS_STAGE)

    def run(self) -> None:
        """Returns after a clean stop. Raises `ConfigurationError` when it can't start."""
        with self._supervisor.listening_to_signals():
            try:
                self._start()
                self._supervisor.run()
            except StopRequested:
                log.debug("asked to stop while starting")
            finally:
                self._supervisor.stop(stop_limits(self._settings.stop_seconds))
                self._redis.cleaned_up()
                # As in the parts: the last collections would take a third of a second.
                gc.freeze()

    def _start(self) -> None:
        self._settings = replace(self._settings, redis_url=self._redis.provide())
        self._settings = ensure_secret_key(self._settings)
        engine = reachable_engine(self._settings)
        try:
            upgrade(engine)
            create_first_user(engine, os.environ.get(ADMIN_PASSWORD, ""))
            transact(engine, self._ensure_nodes)
        finally:
            engine.dispose()
        for recipe in recipes(self._settings, self._size, os.environ):
            self._supervisor.start(recipe)
        while not self._supervisor.wait_until(self._is_ready, STILL_STARTING_SECONDS, every=0.25):
            log.warning("not ready yet: %s", readiness(self._settings)[1])
        result(say("ready", url=url_of(self._settings.host, self._settings.port)))

    def _ensure_nodes(self, session: Session) -> None:
        for name in node_names(self._size.nodes):
            ensure_attached(session, name, self._size.capacity)

    def _is_ready(self) -> bool:
        return readiness(self._settings)[0]


def create_first_user(engine: Engine, given_password: str) -> None:
    """User `admin` when there is nobody yet; a generated password is shown on the terminal, here and never again."""
    if read(engine, list_users):
        return
    password = given_password or secrets.token_urlsafe(15)
    try:
        hashed, user_id = hash_password(password), new_id()
    except InvalidInput as error:
        detail = "; ".join(error.fields.values()) or str(error)
        raise ConfigurationError("bad_admin_password", detail=detail) from error
    transact(
        engine,
        lambda session: create_user(
            session, user_id=user_id, name="admin", password_hash=hashed, role="admin"
        ),
    )
    result(say("admin_made_given") if given_password else say("admin_made", password=password))


def readiness(settings: Settings) -> tuple[bool, str]:
    """Whether /readyz answers 200, and else what it says."""
    host = ANY_ADDRESS.get(settings.host, settings.host)
    connection = http.client.HTTPConnection(host, settings.port, timeout=3)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(65536)
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer ({error})"
    finally:
        connection.close()
    return answer.status == http.HTTPStatus.OK, _message(body)


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
