"""Memory and CPU of groups of processes, as the kernel counts them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

SAMPLE_SECONDS = 0.2


def proportional_megabytes(pids: Iterable[int]) -> float:
    """PSS of the processes together: a page that n processes share counts as 1/n for each of them."""
    kilobytes = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    kilobytes += int(line.split()[1])
    return kilobytes / 1024


def family(pids: Iterable[int]) -> set[int]:
    """The processes and everything that descends from them now."""
    found: set[int] = set()
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found |= {pid, *(child.pid for child in process.children(recursive=True))}
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time, user and system, of the processes and of children that have ended and were waited for."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


class Watch:
    """While entered: samples the groups' PSS, and at the end knows each group's CPU seconds.

    `groups` names functions that return the process ids of a group; they are asked again at each sample.
    """

    def __init__(
        self, memory: Callable[[], Iterable[int]], cpu: dict[str, Callable[[], Iterable[int]]]
    ) -> None:
        self._memory, self._cpu = memory, cpu
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="watch", daemon=True)
        self._before: dict[str, float] = {}
        self.samples: list[float] = []
        self.cpu: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._before = {name: cpu_seconds(pids()) for name, pids in self._cpu.items()}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.cpu = {name: cpu_seconds(pids()) - self._before[name] for name, pids in self._cpu.items()}

    def _sample(self) -> None:
        while True:
            self.samples.append(proportional_megabytes(self._memory()))
            if self._stop.wait(SAMPLE_SECONDS):
                return

    @property
    def peak(self) -> float:
        """The largest sum that a sample saw, in megabytes."""
        return max(self.samples, default=0.0)
