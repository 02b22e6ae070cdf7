"""The HTTP processes of a parent or a child, read from the settings by `gunicorn -c gunicorn.conf.py`."""

from __future__ import annotations

import gc
import logging
from typing import Any

from gunicorn.glogging import Logger

from backend.api.context import NAME
from backend.bootstrap import configure_logging, load_settings

settings = load_settings()
is_child = settings.node_type == "child"
configure_logging(settings, "http" if is_child else "parent")


class PartLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Sends gunicorn's own lines the way of all others, so that they say which part speaks."""

    def setup(self, cfg: Any) -> None:
        """See gunicorn: called at start and after a reload."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
            log.setLevel(logging.NOTSET)


def pre_fork(server: Any, _worker: object) -> None:
    """Nothing that is open may be shared by two processes."""
    server.app.wsgi().extensions[NAME].before_fork()
    # What is loaded now is shared with every process as long as the collector does not touch it.
    gc.freeze()


def post_worker_init(worker: Any) -> None:
    """Threads start here: those of before the fork would be lost."""
    worker.app.wsgi().extensions[NAME].after_fork(lambda: not worker.alive)


def worker_exit(_server: object, _worker: object) -> None:
    """The last collections of an ending interpreter would look at everything; on a busy machine, stops wait for that."""
    gc.freeze()


def on_exit(_server: object) -> None:
    """The master ends as its processes do."""
    gc.freeze()


host = f"[{settings.host}]" if ":" in settings.host else settings.host
bind = f"{host}:{settings.listens_on}"
workers = 1 if is_child else settings.gunicorn_workers
worker_class = "gthread"
threads = 2 if is_child else settings.gunicorn_threads
# The app is built once, before the fork: its code is shared between the processes.
preload_app = True
timeout = 60
graceful_timeout = max(1, int(settings.stop_seconds) - 1)
keepalive = 5
logger_class = PartLogger
loglevel = settings.log_level.lower()
accesslog = None
# A thread in the master would be lost in every fork, and nothing uses this socket.
control_socket_disable = True
proc_name = f"cascade-{settings.node_type}"
