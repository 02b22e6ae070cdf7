"""A kind of feed whose collecting ends badly, as the last part of its address says; written as somebody else's plug-in might be.

`fine` brings an article; `slow` brings one when the file that `DEADLY_GATE` names is gone; `exit` and `segfault` end the
process; `wait` never returns, `loop` neither and keeps the interpreter busy, `hold` never gives the interpreter back.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path

from backend.domain.orders import ArticleDraft, FeedOrder, FetchResult
from backend.domain.ports import HttpClient


def _exit() -> None:
    os._exit(0)


def _segfault() -> None:
    ctypes.string_at(0)


def _wait() -> None:
    threading.Event().wait()


def _loop() -> None:
    while True:
        pass


def _hold() -> None:
    # Unlike CDLL, PyDLL keeps the interpreter's lock while C code runs.
    while True:
        ctypes.PyDLL(None).pause()


def _slow() -> None:
    gate, pause = Path(os.environ["DEADLY_GATE"]), threading.Event()
    while gate.exists():
        pause.wait(0.05)


ENDS: dict[str, Callable[[], None]] = {
    "exit": _exit,
    "segfault": _segfault,
    "wait": _wait,
    "loop": _loop,
    "hold": _hold,
    "slow": _slow,
    "fine": lambda: None,
}


class DeadlySource:
    """Collects one feed, or does not survive it."""

    kind = "deadly"

    def fetch(self, feed: FeedOrder, http: HttpClient) -> FetchResult:
        """One article, if it comes to that."""
        ENDS[feed.url.rpartition("/")[2]]()
        return FetchResult((ArticleDraft(feed.feed_id, feed.name, feed.url),))
