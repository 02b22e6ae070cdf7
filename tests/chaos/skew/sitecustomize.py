"""Shifts the wall clock of the Python process that imports it at its start, by what a file says, in seconds.

Only what Python code asks for is shifted: `time.time`, `time.time_ns` and `datetime.now`/`utcnow`/`today`; the
monotonic clock goes on, as it does on a machine whose clock is set. CPython keeps `datetime`'s methods in an
ordinary dictionary, which this puts others into: a subclass would be another type to drivers that look types up.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import os
import time
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.5

_file = Path(os.environ["CHAOS_CLOCK_FILE"])
_true_time, _true_time_ns = time.time, time.time_ns
_state = {"looked": float("-inf"), "shift": 0.0}


def shift() -> float:
    """How many seconds this process's clock is ahead."""
    now = time.monotonic()
    if now - _state["looked"] > LOOK_SECONDS:
        _state["looked"] = now
        try:
            _state["shift"] = float(_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            # It is being written: the shift of before still holds.
            return _state["shift"]
    return _state["shift"]


def _now(kind: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> datetime.datetime:
    return kind.fromtimestamp(time.time(), tz)


def _utcnow(kind: type[datetime.datetime]) -> datetime.datetime:
    return kind.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)


def _today(kind: type[datetime.datetime]) -> datetime.datetime:
    return kind.fromtimestamp(time.time())


def install() -> None:
    """Put the shifted clock in the place of the true one. Fails loudly where it can't."""
    time.time = lambda: _true_time() + shift()
    time.time_ns = lambda: _true_time_ns() + int(shift() * 1e9)
    methods: dict[str, Any] = gc.get_referents(datetime.datetime.__dict__)[0]
    methods["now"] = classmethod(_now)
    methods["utcnow"] = classmethod(_utcnow)
    methods["today"] = classmethod(_today)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))


install()
